//! A member's log disk: the production log on a [`Medium`], and what it must hold.
//!
//! One flush runs at a time and takes with it everything queued when it began, as the real log does. `durable` is what
//! has been reported, `live` what the member believes it has asked for; what a crash leaves lies between.

use super::checks::{Violation, ensure};
use super::image::{Base, LogImage};
use super::medium::{End, Medium, is_log};
use super::rng::Rng;
use quorate::wal::{Options, Room, WalRequest};
use raft::{Boot, Entry, HardState, Index, IoId, LogId, LogRead, LogReadFailure, MemberId, Membership, Persist, Term};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many of the latest votes are remembered for the checks.
const VOTES_KEPT: usize = 64;

/// One member's log disk.
#[derive(Debug)]
pub struct Disk {
    /// What survives a crash.
    pub durable: LogImage,
    /// What will be there once every queued write is durable: the member's own view.
    pub live: LogImage,
    /// The votes that are durable, by term.
    pub votes: BTreeMap<Term, MemberId>,
    /// The bytes.
    pub medium: Medium,
    member: MemberId,
    queued: VecDeque<Persist>,
    /// How many of the queued writes the running flush covers.
    flushing: usize,
    /// Tells the completion of the running flush from that of one a crash has forgotten.
    pub flush: u64,
    last_io: Option<IoId>,
    /// What a sound batch follows: damage to it cannot pass for a write that never finished.
    settled: LogId,
    /// A write behind that took entries back: damage to it brings them up again.
    cut_last: bool,
    /// No room for entries: a write that carries some waits, and everything behind it.
    pub full: bool,
    /// How many times slower than usual.
    pub slowness: u64,
}

/// What a flush has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The last write that is durable now.
    pub durable: Option<IoId>,
    /// The disk has failed, or is full: the process must end.
    pub failed: bool,
}

impl Disk {
    /// A formatted disk with an empty log: with the first configuration of a new cluster, or without one.
    ///
    /// # Panics
    /// When the log cannot be begun on a disk without faults.
    #[must_use]
    pub fn format(member: MemberId, first: Option<Arc<Membership>>, options: Options) -> Self {
        let mut medium = Medium::new(member, options);
        medium.format(first.as_deref()).expect("a new log on a sound disk");
        let image = LogImage::format(first);
        Self {
            durable: image.clone(),
            live: image,
            votes: BTreeMap::new(),
            medium,
            member,
            queued: VecDeque::new(),
            flushing: 0,
            flush: 0,
            last_io: None,
            settled: LogId::ZERO,
            cut_last: false,
            full: false,
            slowness: 1,
        }
    }

    /// Opens the log for a process that starts over a state machine that has applied everything up to `applied`.
    ///
    /// # Errors
    /// S6 when the log does not open or holds anything but what it must.
    pub fn start(&mut self, salt: u64, applied: Index) -> Result<Boot, Violation> {
        let broken = |what: String| Violation { check: "S6", what: format!("{}: {what}", self.member) };
        let remembered = self.medium.open(salt).map_err(broken)?;
        remembered.into_boot(applied).map_err(|error| broken(error.to_string()))
    }

    /// Queues a write.
    ///
    /// # Errors
    /// What is wrong with it: its number, or what it does to the log.
    pub fn submit(&mut self, persist: Persist) -> Result<(), String> {
        if self.last_io.is_some_and(|last| persist.io.0 != last.0 + 1) {
            return Err(format!("write {} follows {:?}", persist.io, self.last_io));
        }
        self.last_io = Some(persist.io);
        self.live.apply(&persist)?;
        self.queued.push_back(persist);
        Ok(())
    }

    /// Starts a flush of everything that is queued and may be written; true when there is one to wait for.
    pub fn start_flush(&mut self) -> bool {
        if self.flushing > 0 {
            return false;
        }
        let blocked = self.queued.iter().position(|write| self.full && !write.append.is_empty());
        self.flushing = blocked.unwrap_or(self.queued.len());
        self.flush += u64::from(self.flushing > 0);
        self.flushing > 0
    }

    /// Ends the running flush.
    pub fn end_flush(&mut self) -> Flushed {
        let count = std::mem::take(&mut self.flushing);
        let requests = self.queued.iter().take(count).cloned().map(WalRequest::Persist).collect();
        let (heard, done) = self.medium.perform(requests);
        if heard.persisted.is_some() {
            (self.settled, self.cut_last) = (self.durable.last().last, false);
        }
        let reported = self.queued.iter().take_while(|write| Some(write.io) <= heard.persisted).count();
        for write in self.queued.drain(..reported) {
            self.cut_last |= write.truncate_from.is_some();
            self.durable.apply(&write).expect("it was applied to the live log already");
            if let Some(HardState { term, vote: Some(vote) }) = write.hard_state {
                self.votes.insert(term, vote);
            }
        }
        while self.votes.len() > VOTES_KEPT {
            self.votes.pop_first();
        }
        Flushed { durable: heard.persisted, failed: done.is_err() }
    }

    /// Looks after the files at hand. Says whether there is room now, if that has changed.
    pub fn look_after(&mut self) -> Option<bool> {
        self.medium.look_after().map(|room| room == Room::Enough)
    }

    /// Lets entries up to `through` go. Says where the log starts now, if that has changed, and whether it failed.
    pub fn compact(&mut self, through: Index) -> (Option<LogId>, bool) {
        let (heard, done) = self.medium.perform(vec![WalRequest::Compact { through }]);
        if let Some(start) = heard.start {
            self.durable.compact(start.index);
            self.live.compact(start.index);
        }
        (heard.start, done.is_err())
    }

    /// Puts the log behind a snapshot. Says whether that failed.
    pub fn install(&mut self, base: Base, (at, membership): &(Index, Arc<Membership>)) -> bool {
        let reset = WalRequest::Reset { start: base.last, membership: Some((*at, membership.encode())) };
        let (heard, done) = self.medium.perform(vec![reset]);
        if heard.start.is_some() || done.is_ok() {
            self.durable.install(base, (*at, Arc::clone(membership)));
            self.live.install(base, (*at, Arc::clone(membership)));
        }
        done.is_err()
    }

    /// Reads entries back for a follower, perhaps from a disk with a bit that is the wrong way round.
    ///
    /// # Errors
    /// S3 when what comes back is not what was written.
    pub fn read(
        &self,
        ask: &LogRead,
        rotten: Option<&mut Rng>,
    ) -> Result<Result<Vec<Entry>, LogReadFailure>, Violation> {
        let result = match rotten {
            Some(rng) => self.medium.read_rotten(ask, rng),
            None => self.medium.read(ask),
        };
        let wrong = result.iter().flatten().find(|entry| {
            let known = self.live.entry(entry.index()).into_iter().chain(self.durable.entry(entry.index()));
            known.into_iter().all(|logged| logged.entry.record()[..8] != entry.record()[..8])
        });
        ensure("S3", wrong.is_none(), || format!("{} reads back {wrong:?}, which was never there", self.member))?;
        Ok(result)
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queued.is_empty()
    }

    /// Writes that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// The process ends, with some of what is queued on its way, and perhaps a compaction up to `compacting`. How many
    /// writes are lost.
    ///
    /// # Errors
    /// S6 when what is left cannot be opened, or is not a step between what was reported and what was asked for.
    pub fn end(&mut self, how: End, compacting: Option<Index>, rng: &mut Rng) -> Result<usize, Violation> {
        let count = usize::try_from(rng.below(self.queued.len() as u64 + 1)).expect("not above a length");
        let writes = self.queued.iter().take(count).cloned().map(WalRequest::Persist);
        let requests = writes.chain(compacting.map(|through| WalRequest::Compact { through })).collect();
        let member = self.member;
        let broken = |what| Violation { check: "S6", what: format!("{member} after {how:?}: {what}") };
        let (remembered, entries) = self.medium.end(requests, how, rng).map_err(broken)?;
        let (reported, mut kept, mut cut) = (self.durable.last().last, 0, false);
        while is_log(&self.durable, &remembered, &entries) != Some(true) {
            let Some(write) = self.queued.pop_front() else {
                let what = format!("found {remembered:?}, durable was {:?}", self.durable.last().last);
                return Err(broken(what));
            };
            self.durable.apply(&write).expect("it was applied to the live log already");
            if let Some(HardState { term, vote: Some(vote) }) = write.hard_state {
                self.votes.insert(term, vote);
            }
            (kept, cut) = (kept + 1, cut || write.truncate_from.is_some());
        }
        self.durable.compact(remembered.start.index);
        let lost = self.queued.len();
        self.queued.clear();
        if kept > 0 {
            (self.settled, self.cut_last) = (reported, cut);
        }
        (self.flushing, self.last_io) = (0, None);
        self.flush += 1;
        self.live = self.durable.clone();
        Ok(lost)
    }

    /// Opens a copy of the disk with one bit the wrong way round. Says what the log made of it.
    ///
    /// # Errors
    /// S6 when the log says something that it never held.
    pub fn rot(&self, rng: &mut Rng) -> Result<&'static str, Violation> {
        let Ok((remembered, entries)) = self.medium.rot(rng) else { return Ok("bit flip: noticed") };
        if is_log(&self.durable, &remembered, &entries) == Some(true) {
            return Ok("bit flip: harmless");
        }
        // Damage to the last batch cannot be told from a write that never finished.
        let held = entries.iter().all(|entry| {
            let known = self.durable.entry(entry.index());
            known.is_some_and(|logged| logged.entry.record()[..8] == entry.record()[..8])
        });
        let held = self.cut_last || held && self.settled.index <= remembered.last.index;
        ensure("S6", held, || format!("{} says {remembered:?} after a bit was flipped", self.member))?;
        Ok("bit flip: last batch cut")
    }
}

/// What a log of a run is like: small, so that segments, spares and the ballast all come into play.
#[must_use]
pub fn draw_options(rng: &mut Rng) -> Options {
    Options {
        segment_bytes: rng.between(6, 32) << 10,
        spare_segments: usize::try_from(rng.below(3)).expect("small"),
        ballast_bytes: rng.below(3) * (8 << 10),
        recent_bytes: rng.below(4) << 10,
        ..Options::default()
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
