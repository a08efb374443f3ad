//! A member's state machine: the production store, over tables in memory or in a database file on a simulated disk,
//! and beside it a handful of registers and hashes that say what must be in it.
//!
//! It is durable at flushes; a crash takes it back to the last one, or to the one under way, and the log is applied
//! again from there.

use super::checks::{Violation, ensure};
use super::image::Base;
use super::medium::End;
use super::rng::Rng;
use super::write::{Deed, Write, register};
use bytes::Bytes;
use mvcc::{Backend, MemoryBackend, RangeRequest, Revision, Store};
use quorate::bootstrap::ClusterId;
use quorate::disk::{Disk, Fate, SimDisk};
use quorate::install::{Intent, NEXT_FILE, Switch, drop_next, finish_switch, recover_state};
use quorate::node::{Outcome, apply_entries};
use quorate::snapshot::{Manifest, Take};
use quorate::store::{Options, RedbBackend, STATE_FILE};
use raft::{Entry, EntryKind, Index, MemberId, Membership, SnapshotPoint};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How many registers there are.
pub const KEYS: usize = 8;
/// Every cluster of a run.
pub const CLUSTER: ClusterId = ClusterId(1);
/// Pages a database keeps in memory, in bytes: few, so that it reads from its disk.
const CACHE_BYTES: usize = 256 << 10;
/// Rows swept at a flush: few, so that sweeping takes several.
const SWEEP_ROWS: usize = 20;
/// Effects of a flush or a switch that is under way when the end comes, at most.
const EFFECTS_MAX: u64 = 40;
/// When every snapshot was taken, after 1970: some day in 2026.
const TAKEN_AFTER: Duration = Duration::from_secs(1_790_000_000);

/// A register: what was written last, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The number of the write.
    pub write: u64,
    /// The index of its entry.
    pub at: Index,
    /// It was a deletion.
    pub gone: bool,
}

/// Everything the log has led to up to some index.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// How far, and the hash of everything up to there.
    pub applied: Base,
    /// The registers.
    pub cells: [Cell; KEYS],
    /// The newest applied configuration.
    pub membership: (Index, Arc<Membership>),
    /// The hash the store has of itself there.
    pub store: u64,
}

/// Where the tables lie.
enum Shelf {
    /// In memory; every commit is whole and durable. The state file holds the number of the one that counts.
    Memory(BTreeMap<u8, Arc<MemoryBackend>>),
    /// In the state file.
    File,
}

/// One member's state machine.
pub struct Machine {
    /// What reads see.
    pub state: State,
    /// What the last flush made durable.
    pub checkpoint: State,
    /// Handed over and not applied yet, oldest first.
    pub queue: VecDeque<Vec<Entry>>,
    /// To be switched to after that.
    pub switch: Option<Box<Switch>>,
    /// The last entry handed over.
    pub handed: Index,
    me: MemberId,
    /// The data directory.
    disk: SimDisk,
    shelf: Shelf,
    store: Option<Arc<Store>>,
    /// What the state is once the switch that is prepared has been carried out.
    next: Option<State>,
    /// A flush has failed: nobody asks the store for another one.
    failed: bool,
    /// Its disk has no room: what is to be written there waits.
    pub full: bool,
    /// The loop has been told so.
    pub told_full: bool,
}

/// What the medium of a state machine holds.
#[derive(Clone)]
pub struct Held {
    disk: SimDisk,
    checkpoint: State,
}

/// A state machine on its way to another member.
#[derive(Debug)]
pub struct Snapshot {
    /// What it must amount to.
    pub state: State,
    manifest: Manifest,
    chunks: Vec<Bytes>,
}

impl State {
    /// The state of a new cluster with this first configuration.
    #[must_use]
    pub fn format(first: Option<Arc<Membership>>) -> Self {
        Self { membership: (Index::ZERO, first.unwrap_or_default()), ..Self::default() }
    }

    /// Takes note of one entry. The caller has checked that it is the next one.
    pub fn apply(&mut self, entry: &Entry) {
        self.applied = self.applied.then(entry);
        if let Some(Write { id, key, deed }) = Write::of(entry).filter(|write| write.deed.writes()) {
            let cell = Cell { write: id, at: entry.index(), gone: deed == Deed::Delete };
            self.cells[usize::from(key) % KEYS] = cell;
        }
        if entry.kind() == EntryKind::Membership
            && let Ok(membership) = Membership::decode(entry.payload())
        {
            self.membership = (entry.index(), Arc::new(membership));
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("state", &self.state).field("handed", &self.handed).finish_non_exhaustive()
    }
}

impl Shelf {
    fn new(disk: &SimDisk, on_disk: bool) -> Self {
        if on_disk {
            return Self::File;
        }
        put_number(disk, STATE_FILE, 0).and_then(|()| disk.sync_dir()).expect("a new disk is sound");
        Self::Memory(BTreeMap::from([(0, Arc::default())]))
    }

    fn backend(&self, disk: &SimDisk) -> Result<Arc<dyn Backend>, String> {
        match self {
            Self::Memory(all) => {
                let number = disk.contents(STATE_FILE).and_then(|bytes| bytes.first().copied());
                let found = number.and_then(|number| all.get(&number)).ok_or("the state file names no state")?;
                Ok(Arc::clone(found) as Arc<dyn Backend>)
            }
            Self::File => match RedbBackend::open(disk, Options { cache_bytes: CACHE_BYTES }) {
                Ok(backend) => Ok(Arc::new(backend)),
                Err(fault) => Err(format!("the database: {fault}")),
            },
        }
    }

    /// What the next state is built in, if not in the next file.
    fn next(&mut self, disk: &SimDisk) -> io::Result<Option<Arc<dyn Backend>>> {
        let Self::Memory(all) = self else { return Ok(None) };
        let number = all.last_key_value().map_or(0, |(number, _)| number.wrapping_add(1));
        drop_next(disk)?;
        put_number(disk, NEXT_FILE, number)?;
        let backend = Arc::new(MemoryBackend::new());
        all.insert(number, Arc::clone(&backend));
        Ok(Some(backend))
    }
}

fn put_number(disk: &SimDisk, name: &str, number: u8) -> io::Result<()> {
    let file = disk.create(name)?;
    file.write_at(0, &[IoSlice::new(&[number])])?;
    file.sync()
}

impl Machine {
    /// The machine of a new member, with its tables in memory or in a file.
    #[must_use]
    pub fn format(me: MemberId, first: Option<Arc<Membership>>, on_disk: bool) -> Self {
        let (state, disk) = (State::format(first), SimDisk::new());
        Self {
            handed: Index::ZERO,
            checkpoint: state.clone(),
            state,
            queue: VecDeque::new(),
            switch: None,
            me,
            shelf: Shelf::new(&disk, on_disk),
            disk,
            store: None,
            next: None,
            failed: false,
            full: false,
            told_full: false,
        }
    }

    /// Opens the store for a process that starts. The switch to a snapshot that it goes on with, if there is one:
    /// [`Machine::installed`] is to be said once the log has followed.
    ///
    /// # Errors
    /// S5 when it does not open, or holds neither what the last flush made durable nor what one under way would have,
    /// nor the snapshot that it was switched to.
    pub fn start(&mut self) -> Result<Option<Intent>, Violation> {
        let me = self.me;
        let broken = |what: String| Violation { check: "S5", what: format!("{me}: {what}") };
        let intent = recover_state(&self.disk).map_err(|error| broken(error.to_string()))?;
        let store = self.shelf.backend(&self.disk);
        let store = store.and_then(|backend| Store::open(backend).map_err(|fault| fault.to_string()));
        let store = store.map_err(broken)?;
        let found = store.state_hash();
        let is = |state: &State| (state.applied.last.index.0, state.store) == found;
        match self.next.take().filter(|next| is(next)) {
            Some(next) => self.checkpoint = next,
            None if is(&self.state) => self.checkpoint = self.state.clone(),
            None => {}
        }
        ensure("S5", is(&self.checkpoint), || {
            let (kept, latest) = (&self.checkpoint, &self.state);
            format!("{me} finds {found:?} in its store, flushed were {:?} and then {:?}", kept.applied, latest.applied)
        })?;
        self.state = self.checkpoint.clone();
        self.handed = self.state.applied.last.index;
        self.store = Some(Arc::new(store));
        Ok(intent)
    }

    /// The store of a running process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn open_store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("a running process has its store open")
    }

    /// Applies committed entries; what this member's own requests among them led to.
    ///
    /// # Errors
    /// S5 when the store fails.
    pub fn apply(&mut self, entries: &[Entry]) -> Result<Vec<Outcome>, Violation> {
        let applied = apply_entries(self.open_store(), self.me, entries);
        self.state.store = self.open_store().state_hash().1;
        applied.map_err(|fault| Violation { check: "S5", what: format!("{} cannot apply: {fault}", self.me) })
    }

    /// How many entries it has applied and not made durable.
    #[must_use]
    pub fn unflushed(&self) -> u64 {
        self.state.applied.last.index.0 - self.checkpoint.applied.last.index.0
    }

    /// What the store says of a register, held against what was applied.
    ///
    /// # Errors
    /// S5 when they differ.
    pub fn read(&self, key: usize) -> Result<Cell, Violation> {
        let request = RangeRequest { range: register(u8::try_from(key).expect("a few keys")), ..Default::default() };
        let broken = |what: String| Violation { check: "S5", what: format!("{} reads {key}: {what}", self.me) };
        let found = self.open_store().range(&request).map_err(|error| broken(error.to_string()))?;
        let held = found.kvs.first().and_then(|kv| kv.value.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
        let cell = self.state.cells[key];
        let expected = (cell.write > 0 && !cell.gone).then_some(cell.write);
        ensure("S5", held == expected, || format!("{} holds {held:?} in {key} instead of {expected:?}", self.me))?;
        Ok(cell)
    }

    /// Makes what was applied durable. False when the disk has failed, and the process must end.
    pub fn flush(&mut self) -> bool {
        let flushed = self.open_store().flush(SWEEP_ROWS).is_ok();
        if flushed {
            self.checkpoint = self.state.clone();
        }
        self.failed = !flushed;
        flushed
    }

    /// A hash of every row, and the revision it belongs to.
    ///
    /// # Errors
    /// S5 when the store cannot be read.
    pub fn hash(&self) -> Result<(Revision, u32), Violation> {
        let hash = self.open_store().hash_kv(Revision(0));
        let hash = hash.map_err(|error| Violation { check: "S5", what: format!("{}: {error}", self.me) })?;
        Ok((hash.revision, hash.hash))
    }

    /// The process ends, perhaps in the middle of a flush or of the switch to a snapshot.
    pub fn end(&mut self, how: End, rng: &mut Rng) {
        self.queue.clear();
        let switch = self.switch.take();
        let Some(store) = self.store.take() else { return };
        self.disk.lose_power_after(self.disk.counts().effects + rng.below(EFFECTS_MAX));
        let failed = std::mem::take(&mut self.failed);
        // Nobody hears of it any more, done or not.
        match switch.filter(|_| rng.coin()) {
            Some(switch) => drop(switch.run(&self.disk, &store)),
            None if rng.coin() && !failed => drop(store.flush(SWEEP_ROWS)),
            None => {}
        }
        drop(store);
        if how == End::Power {
            self.disk = self.disk.crash(Fate::Chance(rng.bits()));
        }
        self.disk.heal();
    }

    /// What would be there if no sync from now on did what it says. None where that cannot be told: tables in memory have no
    /// syncs, and a state that is being replaced has two files.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        let settled = matches!(self.shelf, Shelf::File) && self.next.is_none() && self.switch.is_none();
        settled.then(|| Held { disk: self.disk.crash(Fate::Lost), checkpoint: self.checkpoint.clone() })
    }

    /// The process has ended, and the disk holds no more than this.
    pub fn holds_only(&mut self, held: Held) {
        (self.disk, self.next) = (held.disk, None);
        (self.state, self.checkpoint) = (held.checkpoint.clone(), held.checkpoint);
    }

    /// The next sync of its file fails.
    pub fn fail_next_sync(&self) {
        self.disk.fail_sync(self.disk.counts().syncs + 1);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.disk.heal();
    }

    /// The whole of it, made durable first, to be sent; none if the process does not run, has no room for that, or the log
    /// does not know where it is.
    ///
    /// # Errors
    /// S5 when it cannot be read.
    pub fn snapshot(
        &mut self,
        point: impl FnOnce(Index) -> Option<SnapshotPoint>,
    ) -> Result<Option<Snapshot>, Violation> {
        self.heal();
        let Some(store) = self.store.as_ref().filter(|_| !self.full) else { return Ok(None) };
        let broken = |fault: mvcc::Fault| Violation { check: "S5", what: format!("no snapshot: {fault}") };
        let image = store.image().map_err(broken)?;
        // It flushes.
        self.checkpoint = self.state.clone();
        ensure("S5", image.applied() == self.state.applied.last.index.0, || {
            format!("{} has applied {}, its snapshot {}", self.me, self.state.applied.last, image.applied())
        })?;
        let Some(point) = point(self.state.applied.last.index) else { return Ok(None) };
        let (mut take, mut chunks) =
            (Take::new(&image, CLUSTER, point, SystemTime::UNIX_EPOCH + TAKEN_AFTER), Vec::new());
        while let Some(sealed) = take.next_chunk().map_err(broken)? {
            chunks.push(sealed.bytes);
        }
        Ok(Some(Snapshot { state: self.state.clone(), manifest: take.finish(), chunks }))
    }

    /// Builds what a snapshot says beside the state there is, ready to be switched to.
    ///
    /// # Errors
    /// S5 when the snapshot is not sound.
    pub fn prepare(&mut self, snapshot: Snapshot) -> Result<Switch, Violation> {
        self.heal();
        let me = self.me;
        let broken = |what: String| Violation { check: "S5", what: format!("{me} installs: {what}") };
        let place = self.shelf.next(&self.disk).map_err(|error| broken(error.to_string()))?;
        let switch = Switch::build(&self.disk, place, &snapshot.manifest, snapshot.chunks).map_err(broken)?;
        self.next = Some(snapshot.state);
        Ok(switch)
    }

    /// Switches to what was prepared. False when the disk has failed, and the process must end.
    pub fn switched(&mut self) -> bool {
        let Some(switch) = self.switch.take() else { return true };
        if switch.run(&self.disk, self.open_store()).is_err() {
            self.failed = true;
            return false;
        }
        let next = self.next.clone().expect("what is switched to was prepared");
        self.handed = next.applied.last.index;
        (self.state, self.checkpoint) = (next.clone(), next);
        true
    }

    /// The log follows the snapshot that was switched to.
    pub fn installed(&mut self) {
        self.next = None;
        // What the disk refuses now is done at the next start.
        let _ = finish_switch(&self.disk);
        if let Shelf::Memory(all) = &mut self.shelf {
            let current = self.disk.contents(STATE_FILE).and_then(|bytes| bytes.first().copied());
            all.retain(|number, _| Some(*number) == current);
        }
    }

    /// What was prepared is not needed any more.
    pub fn not_needed(&mut self) {
        self.next = None;
        let _ = drop_next(&self.disk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::LogId;

    const ME: MemberId = MemberId(1);

    fn entry(index: u64, key: u8, deed: Deed) -> Entry {
        let payload = Write { id: 100 + index, key, deed }.encode(ME, 3);
        Entry::new(LogId::new(1, index), EntryKind::Command, 0, &payload)
    }

    fn started(on_disk: bool) -> Machine {
        let mut machine = Machine::format(ME, None, on_disk);
        machine.start().expect("an empty store");
        machine
    }

    fn apply(machine: &mut Machine, entries: &[Entry]) -> Vec<Outcome> {
        entries.iter().for_each(|entry| machine.state.apply(entry));
        machine.apply(entries).expect("sound")
    }

    #[test]
    fn a_register_holds_the_last_write_and_where_it_was_and_so_does_the_store() {
        let mut machine = started(false);
        let entries =
            [entry(1, 2, Deed::Put), entry(2, 2, Deed::Replace), entry(3, 4, Deed::Put), entry(4, 4, Deed::Delete)];
        let outcomes = apply(&mut machine, &entries);
        assert_eq!(outcomes.iter().map(|outcome| outcome.sequence).collect::<Vec<_>>(), [101, 102, 103, 104]);
        assert_eq!(machine.read(2).expect("the same"), Cell { write: 102, at: Index(2), gone: false });
        assert!(machine.read(4).expect("the same").gone);
        machine.state.cells[2].write = 7;
        assert_eq!(machine.read(2).expect_err("the store holds another write").check, "S5");
    }

    #[test]
    fn an_end_goes_back_to_the_last_flush_or_forward_to_the_one_under_way() {
        let mut rng = Rng::new(3);
        for on_disk in [false, true] {
            let mut found = std::collections::BTreeSet::new();
            for _ in 0..40 {
                let mut machine = started(on_disk);
                apply(&mut machine, &[entry(1, 0, Deed::Put)]);
                assert!(machine.flush());
                apply(&mut machine, &[entry(2, 0, Deed::Put)]);
                machine.end(End::Power, &mut rng);
                machine.start().expect("one or the other");
                found.insert(machine.handed.0);
            }
            assert_eq!(found.into_iter().collect::<Vec<_>>(), [1, 2], "on disk: {on_disk}");
        }
    }

    #[test]
    fn a_snapshot_makes_another_member_the_same() {
        for on_disk in [false, true] {
            let (mut one, mut other) = (started(!on_disk), started(on_disk));
            apply(&mut one, &(1..40).map(|at| entry(at, 3, Deed::Put)).collect::<Vec<_>>());
            let snapshot = one.snapshot(point).expect("readable").expect("it runs");
            other.switch = Some(Box::new(other.prepare(snapshot).expect("sound")));
            assert!(other.switched());
            other.installed();
            assert_eq!(one.hash().expect("readable"), other.hash().expect("readable"));
        }
    }

    #[test]
    fn an_end_amid_a_switch_leaves_the_old_state_or_the_new_one_and_says_so() {
        let mut rng = Rng::new(5);
        for on_disk in [false, true] {
            let mut found = std::collections::BTreeSet::new();
            for _ in 0..60 {
                let (mut one, mut other) = (started(false), started(on_disk));
                apply(&mut one, &(1..9).map(|at| entry(at, 3, Deed::Put)).collect::<Vec<_>>());
                let snapshot = one.snapshot(point).expect("readable").expect("it runs");
                other.switch = Some(Box::new(other.prepare(snapshot).expect("sound")));
                other.end(End::Power, &mut rng);
                let intent = other.start().expect("one or the other");
                assert_eq!(intent.map(|intent| intent.last().index.0), (other.handed.0 > 0).then_some(8));
                found.insert(other.handed.0);
                other.installed();
            }
            assert_eq!(found.into_iter().collect::<Vec<_>>(), [0, 8], "on disk: {on_disk}");
        }
    }

    fn point(index: Index) -> Option<SnapshotPoint> {
        let membership = Membership::bootstrap([(ME, Bytes::new())]);
        Some(SnapshotPoint { last: LogId::new(1, index.0), membership_at: Index::ZERO, membership })
    }
}
