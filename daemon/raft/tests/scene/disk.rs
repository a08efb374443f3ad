//! A member's disk: what was written, and how much of it would survive.

use raft::{Boot, Entry, EntryKind, HardState, Index, IoId, LogId, Membership, Persist, Term};
use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) start: LogId,
    pub(crate) base: Option<(Index, Membership)>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) applied: Vec<LogId>,
    /// Writes that would be lost in a crash.
    pending: VecDeque<Persist>,
}

impl Disk {
    pub(crate) fn formatted(membership: Option<Membership>) -> Self {
        Self { base: membership.map(|membership| (Index::ZERO, membership)), ..Self::default() }
    }

    pub(crate) fn write(&mut self, persist: Persist) {
        self.pending.push_back(persist);
    }

    pub(crate) fn lose_pending(&mut self) {
        self.pending.clear();
    }

    /// Makes the oldest `writes` durable; the last of them.
    pub(crate) fn flush(&mut self, writes: usize) -> Option<IoId> {
        let mut last = None;
        for _ in 0..writes {
            let Some(persist) = self.pending.pop_front() else { break };
            last = Some(persist.io);
            self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
            if let Some(from) = persist.truncate_from {
                self.entries.retain(|entry| entry.index() < from);
            }
            self.entries.extend(persist.append.into_iter().filter(|entry| entry.index() > self.start.index));
        }
        last
    }

    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.start, Entry::id)
    }

    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        self.read(index, index).first().map(Entry::id)
    }

    pub(crate) fn read(&self, from: Index, through: Index) -> Vec<Entry> {
        let wanted = |entry: &&Entry| entry.index() >= from && entry.index() <= through;
        self.entries.iter().filter(wanted).cloned().collect()
    }

    /// Drops entries up to `through`, keeping the configuration they lead to.
    pub(crate) fn compact(&mut self, through: Index) -> Option<LogId> {
        let id = self.id_at(through)?;
        self.base = self.memberships().into_iter().rfind(|(at, _)| *at <= through);
        self.entries.retain(|entry| entry.index() > through);
        self.start = id;
        Some(id)
    }

    /// Takes a snapshot that ends at `last`.
    pub(crate) fn install(&mut self, last: LogId, base: (Index, Membership), applied: Vec<LogId>) {
        let connects = self.id_at(last.index) == Some(last);
        self.entries.retain(|entry| connects && entry.index() > last.index);
        (self.start, self.base, self.applied) = (last, Some(base), applied);
    }

    pub(crate) fn memberships(&self) -> Vec<(Index, Membership)> {
        let changes = self.entries.iter().filter(|entry| entry.kind() == EntryKind::Membership);
        let decoded = |entry: &Entry| (entry.index(), Membership::decode(entry.payload()).expect("written by raft"));
        self.base.iter().cloned().chain(changes.map(decoded)).collect()
    }

    pub(crate) fn boot(&self) -> Boot {
        let mut terms: Vec<(Index, Term)> = Vec::new();
        for entry in &self.entries {
            if terms.last().is_none_or(|(_, term)| *term != entry.term()) {
                terms.push((entry.index(), entry.term()));
            }
        }
        let applied = self.applied.last().map_or(Index::ZERO, |id| id.index);
        Boot {
            hard_state: self.hard_state,
            start: self.start,
            terms,
            last: self.last(),
            recent: Vec::new(),
            memberships: self.memberships(),
            applied,
            commit: applied,
        }
    }
}
