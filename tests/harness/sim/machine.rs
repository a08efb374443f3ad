//! The replicated state machine: a handful of registers, and the hash of everything applied.
//!
//! It is durable at checkpoints; a crash takes it back to the last one and the log is applied again from there.

use super::image::Base;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::{Entry, EntryKind, Index, Membership};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many registers there are.
pub const KEYS: usize = 8;

/// A register: what was written last, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The number of the write.
    pub write: u64,
    /// The index of its entry.
    pub at: Index,
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
}

/// One member's state machine.
#[derive(Debug, Default)]
pub struct Machine {
    /// What reads see.
    pub state: State,
    /// What a crash leaves.
    pub checkpoint: State,
    /// Handed over and not applied yet, oldest first.
    pub queue: VecDeque<Vec<Entry>>,
    /// The last entry handed over.
    pub handed: Index,
}

/// A write of one register, as a log entry carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its number, never used twice.
    pub id: u64,
    /// The register.
    pub key: u8,
}

impl Write {
    const BYTES: usize = 9;

    /// Its bytes, followed by `padding` more.
    #[must_use]
    pub fn encode(self, padding: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::BYTES + padding);
        out.put_u64_le(self.id);
        out.put_u8(self.key);
        out.put_bytes(0x5a, padding);
        out.freeze()
    }

    /// The write an entry carries, if it carries one.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        let mut payload = entry.payload();
        (entry.kind() == EntryKind::Command && payload.len() >= Self::BYTES)
            .then(|| Self { id: payload.get_u64_le(), key: payload.get_u8() })
    }
}

impl State {
    /// The state of a new cluster with this first configuration.
    #[must_use]
    pub fn format(first: Option<Arc<Membership>>) -> Self {
        Self { membership: (Index::ZERO, first.unwrap_or_default()), ..Self::default() }
    }

    /// Applies one entry. The caller has checked that it is the next one.
    pub fn apply(&mut self, entry: &Entry) {
        self.applied = self.applied.then(entry);
        if let Some(write) = Write::of(entry) {
            self.cells[usize::from(write.key) % KEYS] = Cell { write: write.id, at: entry.index() };
        }
        if entry.kind() == EntryKind::Membership
            && let Ok(membership) = Membership::decode(entry.payload())
        {
            self.membership = (entry.index(), Arc::new(membership));
        }
    }
}

impl Machine {
    /// A machine that starts from this durable state.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { handed: state.applied.last.index, checkpoint: state.clone(), state, queue: VecDeque::new() }
    }

    /// Loses power.
    pub fn crash(&mut self) {
        *self = Self::new(self.checkpoint.clone());
    }

    /// Becomes what a snapshot says, durably.
    pub fn install(&mut self, state: State) {
        *self = Self::new(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::LogId;

    fn write(index: u64, key: u8) -> Entry {
        let payload = Write { id: 100 + index, key }.encode(3);
        Entry::new(LogId::new(1, index), EntryKind::Command, 0, &payload)
    }

    #[test]
    fn a_register_holds_the_last_write_and_where_it_was() {
        let mut state = State::format(None);
        [write(1, 2), write(2, 2), write(3, 4)].iter().for_each(|entry| state.apply(entry));
        assert_eq!(state.cells[2], Cell { write: 102, at: Index(2) });
        assert_eq!(state.cells[4], Cell { write: 103, at: Index(3) });
        assert_eq!(state.applied.last, LogId::new(1, 3));
    }

    #[test]
    fn a_crash_goes_back_to_the_checkpoint() {
        let mut machine = Machine::new(State::format(None));
        machine.state.apply(&write(1, 0));
        machine.checkpoint = machine.state.clone();
        machine.state.apply(&write(2, 0));
        machine.crash();
        assert_eq!(machine.state.applied.last, LogId::new(1, 1));
        assert_eq!(machine.handed, Index(1));
    }
}
