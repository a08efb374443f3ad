//! A member's state machine: the production store, over tables in memory or in a database file on a simulated disk,
//! and beside it a handful of registers and hashes that say what must be in it.
//!
//! It is durable at flushes; a crash takes it back to the last one, or to the one under way, and the log is applied
//! again from there.

use super::checks::{Verdict, Violation, ensure};
use super::image::Base;
use super::medium::End;
use super::rng::Rng;
use super::write::{Deed, Write, register};
use bytes::Bytes;
use mvcc::{Backend, Image, MemoryBackend, RangeRequest, Restore, Revision, Store};
use quorate::disk::{Fate, SimDisk};
use quorate::node::{Outcome, apply_entries};
use quorate::store::{Options, RedbBackend};
use raft::{Entry, EntryKind, Index, MemberId, Membership};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// How many registers there are.
pub const KEYS: usize = 8;
/// Pages a database keeps in memory, in bytes: few, so that it reads from its disk.
const CACHE_BYTES: usize = 256 << 10;
/// Rows swept at a flush: few, so that sweeping takes several.
const SWEEP_ROWS: usize = 20;
/// Effects of a flush that is under way when the end comes, at most.
const EFFECTS_MAX: u64 = 40;

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
    /// In memory; every commit is whole and durable.
    Memory(Arc<MemoryBackend>),
    /// In a database file.
    File(SimDisk),
}

/// One member's state machine.
pub struct Machine {
    /// What reads see.
    pub state: State,
    /// What the last flush made durable.
    pub checkpoint: State,
    /// Handed over and not applied yet, oldest first.
    pub queue: VecDeque<Vec<Entry>>,
    /// The last entry handed over.
    pub handed: Index,
    me: MemberId,
    shelf: Shelf,
    store: Option<Store>,
    /// A flush has failed: nobody asks the store for another one.
    failed: bool,
}

/// A state machine on its way to another member.
#[derive(Debug)]
pub struct Snapshot {
    /// What it must amount to.
    pub state: State,
    blocks: Vec<Bytes>,
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
        if let Some(Write { id, key, deed }) = Write::of(entry).filter(|write| write.deed != Deed::Compact) {
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
    fn new(on_disk: bool) -> Self {
        if on_disk { Self::File(SimDisk::new()) } else { Self::Memory(Arc::default()) }
    }

    fn backend(&self) -> Result<Arc<dyn Backend>, String> {
        match self {
            Self::Memory(backend) => Ok(Arc::clone(backend) as Arc<dyn Backend>),
            Self::File(disk) => match RedbBackend::open(disk, Options { cache_bytes: CACHE_BYTES }) {
                Ok(backend) => Ok(Arc::new(backend)),
                Err(fault) => Err(format!("the database: {fault}")),
            },
        }
    }
}

impl Machine {
    /// The machine of a new member, with its tables in memory or in a file.
    #[must_use]
    pub fn format(me: MemberId, first: Option<Arc<Membership>>, on_disk: bool) -> Self {
        let state = State::format(first);
        Self {
            handed: Index::ZERO,
            checkpoint: state.clone(),
            state,
            queue: VecDeque::new(),
            me,
            shelf: Shelf::new(on_disk),
            store: None,
            failed: false,
        }
    }

    /// Opens the store for a process that starts.
    ///
    /// # Errors
    /// S5 when it does not open, or holds neither what the last flush made durable nor what one under way would have.
    pub fn start(&mut self) -> Verdict {
        let me = self.me;
        let broken = |what| Violation { check: "S5", what: format!("{me}: {what}") };
        let store = self.shelf.backend().and_then(|backend| Store::open(backend).map_err(|fault| fault.to_string()));
        let store = store.map_err(broken)?;
        let found = store.state_hash();
        let is = |state: &State| (state.applied.last.index.0, state.store) == found;
        if is(&self.state) {
            self.checkpoint = self.state.clone();
        }
        ensure("S5", is(&self.checkpoint), || {
            let (kept, latest) = (&self.checkpoint, &self.state);
            format!("{me} finds {found:?} in its store, flushed were {:?} and then {:?}", kept.applied, latest.applied)
        })?;
        self.state = self.checkpoint.clone();
        self.handed = self.state.applied.last.index;
        self.store = Some(store);
        Ok(())
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("a running process has its store open")
    }

    /// Applies committed entries; what this member's own requests among them led to.
    ///
    /// # Errors
    /// S5 when the store fails.
    pub fn apply(&mut self, entries: &[Entry]) -> Result<Vec<Outcome>, Violation> {
        let applied = apply_entries(self.store(), self.me, entries);
        self.state.store = self.store().state_hash().1;
        applied.map_err(|fault| Violation { check: "S5", what: format!("{} cannot apply: {fault}", self.me) })
    }

    /// What the store says of a register, held against what was applied.
    ///
    /// # Errors
    /// S5 when they differ.
    pub fn read(&self, key: usize) -> Result<Cell, Violation> {
        let request = RangeRequest { range: register(u8::try_from(key).expect("a few keys")), ..Default::default() };
        let broken = |what: String| Violation { check: "S5", what: format!("{} reads {key}: {what}", self.me) };
        let found = self.store().range(&request).map_err(|error| broken(error.to_string()))?;
        let held = found.kvs.first().and_then(|kv| kv.value.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
        let cell = self.state.cells[key];
        let expected = (cell.write > 0 && !cell.gone).then_some(cell.write);
        ensure("S5", held == expected, || format!("{} holds {held:?} in {key} instead of {expected:?}", self.me))?;
        Ok(cell)
    }

    /// Makes what was applied durable. False when the disk has failed, and the process must end.
    pub fn flush(&mut self) -> bool {
        let flushed = self.store().flush(SWEEP_ROWS).is_ok();
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
        let hash = self.store().hash_kv(Revision(0));
        let hash = hash.map_err(|error| Violation { check: "S5", what: format!("{}: {error}", self.me) })?;
        Ok((hash.revision, hash.hash))
    }

    /// The process ends, perhaps in the middle of a flush.
    pub fn end(&mut self, how: End, rng: &mut Rng) {
        self.queue.clear();
        let Some(store) = self.store.take() else { return };
        if let Shelf::File(disk) = &self.shelf {
            disk.lose_power_after(disk.counts().effects + rng.below(EFFECTS_MAX));
        }
        if rng.coin() && !std::mem::take(&mut self.failed) {
            // Nobody hears of it any more, done or not.
            store.flush(SWEEP_ROWS).ok();
        }
        drop(store);
        if let Shelf::File(disk) = &mut self.shelf {
            if how == End::Power {
                *disk = disk.crash(Fate::Chance(rng.bits()));
            }
            disk.heal();
        }
    }

    /// The next sync of its file fails.
    pub fn fail_next_sync(&self) {
        if let Shelf::File(disk) = &self.shelf {
            disk.fail_sync(disk.counts().syncs + 1);
        }
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        if let Shelf::File(disk) = &self.shelf {
            disk.heal();
        }
    }

    /// The whole of it, made durable first, to be sent.
    ///
    /// # Errors
    /// S5 when it cannot be read.
    pub fn snapshot(&mut self) -> Result<Option<Snapshot>, Violation> {
        self.heal();
        let Some(store) = &self.store else { return Ok(None) };
        let broken = |fault: mvcc::Fault| Violation { check: "S5", what: format!("no snapshot: {fault}") };
        let image = store.image().map_err(broken)?;
        // It flushes.
        self.checkpoint = self.state.clone();
        let blocks = blocks_of(&image).map_err(broken)?;
        ensure("S5", image.applied() == self.state.applied.last.index.0, || {
            format!("{} has applied {}, its snapshot {}", self.me, self.state.applied.last, image.applied())
        })?;
        Ok(Some(Snapshot { state: self.state.clone(), blocks }))
    }

    /// Becomes what a snapshot says, durably.
    ///
    /// # Errors
    /// S5 when the snapshot is not sound, or is not what it was.
    pub fn install(&mut self, snapshot: Snapshot) -> Verdict {
        self.store = None;
        self.shelf = Shelf::new(matches!(self.shelf, Shelf::File(_)));
        let restored = self.shelf.backend().and_then(|backend| {
            let mut restore = Restore::new(&*backend);
            let blocks = snapshot.blocks.into_iter().try_for_each(|block| restore.block(block));
            blocks.and_then(|()| restore.finish(mvcc::Rebirth::Same)).map_err(|error| error.to_string())
        });
        restored.map_err(|what| Violation { check: "S5", what: format!("{} installs: {what}", self.me) })?;
        (self.state, self.checkpoint) = (snapshot.state.clone(), snapshot.state);
        self.queue.clear();
        self.start()
    }
}

fn blocks_of(image: &Image) -> Result<Vec<Bytes>, mvcc::Fault> {
    let (mut reader, mut blocks) = (image.blocks(), Vec::new());
    while let Some(block) = reader.next_block()? {
        blocks.push(block);
    }
    Ok(blocks)
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
            let snapshot = one.snapshot().expect("readable").expect("it runs");
            other.install(snapshot).expect("sound");
            assert_eq!(one.hash().expect("readable"), other.hash().expect("readable"));
        }
    }
}
