//! The production log on a simulated disk: every byte goes through it, and every crash through its recovery.
//!
//! Beside it stand two models: what has been reported durable, and what will be once everything queued is. Whatever a
//! crash leaves must be found again as the first of them, the second, or one of the steps between; a log that does not
//! open, or says anything else, has failed. The models say what is right; the engine is fed from the log alone.

use super::image::{Base, LogImage};
use super::rng::Rng;
use quorate::disk::{Disk, Fate, SimDisk};
use quorate::install::{Intent, recover_log};
use quorate::wal::{
    Completion, Identity, Listener, OpenError, Options, ReadError, Recovered, Remembered, Room, Wal, WalError,
    WalReader, WalRequest,
};
use raft::{Entry, Index, IoId, LogId, LogRead, LogReadFailure, MemberId, Membership};
use std::fmt;
use std::sync::Arc;

/// The ways a process can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed: what it has written is still in the machine's memory, durable or not.
    Process,
    /// The machine loses power: of what was not synced, every sector, length and name fares on its own.
    Power,
}

/// Effects of a write that is under way when the end comes, at most: sectors and syncs of a batch or two.
const EFFECTS_MAX: u64 = 7;
/// More than any entry of a run.
const READ_ALL: u64 = 1 << 30;

/// One member's log directory, and the log while its process runs.
pub struct Medium {
    disk: SimDisk,
    identity: Identity,
    options: Options,
    wal: Option<Wal>,
    /// What the last crash has left, as it was found at once; the next start must find the same.
    found: Option<Remembered>,
    room: Room,
}

/// Why a log is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It cannot follow the snapshot that the state was switched to before the disk has room for a mark of that.
    NoRoom,
    /// It does not open, or not with what it must hold.
    Broken(String),
}

/// What the log has reported during one call.
#[derive(Debug, Default)]
pub struct Heard {
    /// The last write that is durable.
    pub persisted: Option<IoId>,
    /// Everything, in order.
    pub all: Vec<Completion>,
}

impl Listener for Heard {
    fn completed(&mut self, completion: Completion) {
        if let Completion::Persisted { io, .. } = completion {
            self.persisted = Some(io);
        }
        self.all.push(completion);
    }

    fn failed(&mut self, _: &WalError) {}
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Medium").field("counts", &self.disk.counts()).field("open", &self.wal.is_some()).finish()
    }
}

impl Medium {
    /// An empty directory for `member`.
    #[must_use]
    pub fn new(member: MemberId, options: Options) -> Self {
        let identity = Identity { cluster: 1, member, storage: [7; 16] };
        Self { disk: SimDisk::new(), identity, options, wal: None, found: None, room: Room::Enough }
    }

    /// Begins the log, with the first configuration of a new cluster or none, and closes it again.
    ///
    /// # Errors
    /// What the log says.
    pub fn format(&mut self, first: Option<&Membership>) -> Result<(), String> {
        let options = Options { create_if_missing: true, ..self.options.clone() };
        let mut recovered = self.open_with(&self.disk, &options)?;
        if let Some(first) = first {
            let membership = Some((Index::ZERO, first.encode()));
            let begin = WalRequest::Reset { start: LogId::ZERO, membership };
            recovered.wal.perform([begin], &mut Heard::default()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Opens the log, and lets it follow a snapshot that the state was switched to; `salt` differs from start to start.
    ///
    /// # Errors
    /// When there is no room to follow the snapshot; when it does not open, or not with what it held when the process
    /// before ended.
    pub fn open(&mut self, salt: u64, intent: Option<&Intent>) -> Result<Remembered, Closed> {
        self.options.salt_seed = salt;
        let mut recovered = self.open_with(&self.disk, &self.options).map_err(Closed::Broken)?;
        if let Some(found) = self.found.take().filter(|found| *found != recovered.remembered) {
            let now = recovered.remembered;
            return Err(Closed::Broken(format!("the log said {found:?} after the crash and says {now:?} now")));
        }
        if let Some(intent) = intent {
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            recovered = recover_log(recovered, intent, (&disk, self.identity, &self.options)).map_err(closed)?;
        }
        let Recovered { remembered, wal, .. } = recovered;
        self.wal = Some(wal);
        Ok(remembered)
    }

    /// The log as it is read.
    #[must_use]
    pub fn reader(&self) -> WalReader {
        self.wal.as_ref().expect("a running process has its log open").reader()
    }

    fn open_with(&self, disk: &SimDisk, options: &Options) -> Result<Recovered, String> {
        Wal::open(Arc::new(disk.clone()), self.identity, options).map_err(|error| format!("the log: {error}"))
    }

    /// Does what is asked as the log's thread does, here and now. What was reported counts even when it failed.
    pub fn perform(&mut self, requests: Vec<WalRequest>) -> (Heard, Result<(), WalError>) {
        let mut heard = Heard::default();
        let wal = self.wal.as_mut().expect("a running process has its log open");
        let done = wal.perform(requests, &mut heard);
        (heard, done)
    }

    /// Looks after spares and dropped segments, as their thread does. Says whether the room has changed, and to what.
    pub fn look_after(&mut self) -> Option<Room> {
        let wal = self.wal.as_mut().expect("a running process has its log open");
        // What the disk refuses is tried again later; a sync that fails here has promised nothing to anybody.
        let room = wal.look_after().unwrap_or(Room::Low);
        (std::mem::replace(&mut self.room, room) != room).then_some(room)
    }

    /// Reads entries back from the disk.
    ///
    /// # Errors
    /// As the daemon tells the engine.
    pub fn read(&self, ask: &LogRead) -> Result<Vec<Entry>, LogReadFailure> {
        let wal = self.wal.as_ref().expect("a running process has its log open");
        wal.reader().read(ask.from, ask.through, ask.bytes_max).map_err(|error| match error {
            ReadError::Compacted(_) => LogReadFailure::Compacted,
            ReadError::Absent(_) | ReadError::Unreadable { .. } => LogReadFailure::Unreadable,
        })
    }

    /// As [`Medium::read`], while one bit of some segment is the wrong way round.
    pub fn read_rotten(&self, ask: &LogRead, rng: &mut Rng) -> Result<Vec<Entry>, LogReadFailure> {
        let place = self.rotten_place(&self.disk, rng);
        let result = self.read(ask);
        if let Some((name, at, mask)) = place {
            self.disk.flip(&name, at, mask);
        }
        result
    }

    /// Flips a bit of a segment, and says which.
    fn rotten_place(&self, disk: &SimDisk, rng: &mut Rng) -> Option<(String, u64, u8)> {
        let names = quorate::disk::Disk::list(disk).ok()?;
        let segments: Vec<String> = names.into_iter().filter(|name| name.ends_with(".wal")).collect();
        let name = rng.pick(&segments)?.clone();
        // Headers are half of a short segment: most flips go where the batches are.
        let used = disk.contents(&name)?.iter().rposition(|byte| *byte != 0)? as u64 + 1;
        let at = if rng.below(8) == 0 { rng.below(used) } else { rng.between(used.min(4096), used - 1) };
        let mask = 1 << rng.below(8);
        disk.flip(&name, at, mask).then_some((name, at, mask))
    }

    /// The disk as a loss of power would leave it now, if nothing that is not synced survived that.
    #[must_use]
    pub fn synced(&self) -> SimDisk {
        self.disk.crash(Fate::Lost)
    }

    /// The process has ended, and this is what the disk turns out to hold.
    pub fn becomes(&mut self, disk: SimDisk) {
        (self.disk, self.found) = (disk, None);
    }

    /// The next sync fails.
    pub fn fail_next_sync(&self) {
        self.disk.fail_sync(self.disk.counts().syncs + 1);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.disk.heal();
    }

    /// From now on the disk takes this many bytes more.
    pub fn limit(&self, bytes: Option<u64>) {
        self.disk.set_budget(bytes.map(|bytes| self.disk.used_bytes() + bytes));
    }

    /// The bytes that the files on it may take; none for no limit.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.disk.budget()
    }

    /// Sets that.
    pub fn set_budget(&self, bytes: Option<u64>) {
        self.disk.set_budget(bytes);
    }

    /// The process ends while these requests are on their way, and the log is opened at once: what does it say?
    ///
    /// # Errors
    /// When the log does not open.
    pub fn end(
        &mut self,
        requests: Vec<WalRequest>,
        how: End,
        rng: &mut Rng,
    ) -> Result<(Remembered, Vec<Entry>), String> {
        let budget = self.disk.budget();
        self.disk.lose_power_after(self.disk.counts().effects + rng.below(EFFECTS_MAX));
        if let Some(mut wal) = self.wal.take() {
            // Nobody hears of it any more, done or not.
            wal.perform(requests, &mut Heard::default()).ok();
            wal.look_after().ok();
        }
        if how == End::Power {
            self.disk = self.disk.crash(match rng.below(10) {
                0 => Fate::Kept,
                1 => Fate::Lost,
                _ => Fate::Chance(rng.bits()),
            });
        }
        self.disk.heal();
        self.disk.set_budget(budget);
        self.room = Room::Enough;
        let Recovered { remembered, wal, .. } = self.open_with(&self.disk, &self.options)?;
        self.found = Some(remembered.clone());
        let entries = entries_of(&wal, &remembered)?;
        Ok((remembered, entries))
    }

    /// Opens a copy of the disk with a bit flipped. Says what came of it: a log and its entries, or why it does not
    /// open.
    ///
    /// # Errors
    /// Whatever the log says; that is how damage is to be noticed.
    pub fn rot(&self, rng: &mut Rng) -> Result<(Remembered, Vec<Entry>), String> {
        let copy = self.disk.crash(Fate::Kept);
        self.rotten_place(&copy, rng);
        let Recovered { remembered, wal, .. } = self.open_with(&copy, &self.options)?;
        let entries = entries_of(&wal, &remembered)?;
        Ok((remembered, entries))
    }
}

/// Why a log did not follow a snapshot.
fn closed(error: OpenError) -> Closed {
    match error {
        OpenError::Create(WalError::DiskFull) => Closed::NoRoom,
        error => Closed::Broken(format!("the log: {error}")),
    }
}

fn entries_of(wal: &Wal, remembered: &Remembered) -> Result<Vec<Entry>, String> {
    let (reader, last) = (wal.reader(), remembered.last.index);
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(from) = Some(remembered.start.index.0 + entries.len() as u64 + 1).filter(|from| *from <= last.0) {
        entries.extend(reader.read(Index(from), last, READ_ALL).map_err(|error| format!("the log: {error}"))?);
    }
    Ok(entries)
}

/// Whether a log that was found is this one, up to its start; `None` where this one does not reach back to that.
#[must_use]
pub fn is_log(image: &LogImage, remembered: &Remembered, entries: &[Entry]) -> Option<bool> {
    let start = image.at(remembered.start.index).filter(|base| base.last == remembered.start)?;
    let end = entries.iter().fold(start, Base::then);
    let memberships = || image.memberships_from(start.last.index).iter();
    let same = image.hard_state == remembered.hard_state
        && image.last() == end
        && end.last == remembered.last
        && memberships().len() == remembered.memberships.len()
        && memberships().zip(&remembered.memberships).all(|(ours, found)| (ours.0, ours.1.encode()) == *found);
    Some(same)
}
