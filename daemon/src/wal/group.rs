//! Requests that share one write and one sync.

use raft::{Entry, HardState, Index, IoId, Persist};

/// A group is not made larger than this: a mebibyte is written in well under the time of a sync, and several of them
/// would delay the answer to the first.
const GROUP_BYTES_MAX: u64 = 4 << 20;

/// What has been gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) io: IoId,
    pub(super) hard_state: Option<HardState>,
    pub(super) truncate_from: Option<Index>,
    pub(super) appends: Vec<Vec<Entry>>,
    pub(super) commit: Index,
    pub(super) persists: u32,
    pub(super) entries: u64,
    bytes: u64,
}

impl Gathered {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.hard_state.is_none() && self.truncate_from.is_none() && self.entries == 0
    }

    /// Takes one more in, or gives it back when it has to begin the next group.
    ///
    /// Within a batch the hard state and the truncation come before the entries, so a truncation can only be taken
    /// while there are none. The batch counts as a whole or not at all: of several hard states the last one is enough.
    pub(super) fn take(&mut self, persist: Persist) -> Result<(), Persist> {
        let bytes: u64 = persist.append.iter().map(Entry::bytes).sum();
        let cuts_into_group = persist.truncate_from.is_some() && (self.truncate_from.is_some() || self.entries > 0);
        if self.persists > 0 && (cuts_into_group || self.bytes + bytes > GROUP_BYTES_MAX) {
            return Err(persist);
        }
        assert!(self.persists == 0 || persist.io > self.io, "writes come in order");
        self.io = persist.io;
        self.hard_state = persist.hard_state.or(self.hard_state);
        self.truncate_from = persist.truncate_from.or(self.truncate_from);
        self.entries += persist.append.len() as u64;
        self.bytes += bytes;
        self.commit = persist.commit;
        self.persists += 1;
        if !persist.append.is_empty() {
            self.appends.push(persist.append);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{EntryKind, LogId, Term};

    fn persist(io: u64, hard_term: Option<u64>, truncate_from: Option<u64>, append: &[u64]) -> Persist {
        Persist {
            io: IoId(io),
            hard_state: hard_term.map(|term| HardState { term: Term(term), vote: None }),
            truncate_from: truncate_from.map(Index),
            append: append.iter().map(|&at| Entry::new(LogId::new(1, at), EntryKind::Command, 0, &[0; 1000])).collect(),
            commit: Index(io),
        }
    }

    fn gathered(persists: impl IntoIterator<Item = Persist>) -> (Gathered, usize) {
        let mut group = Gathered::default();
        let taken = persists.into_iter().take_while(|persist| group.take(persist.clone()).is_ok()).count();
        (group, taken)
    }

    #[test]
    fn appends_and_hard_states_share_a_group() {
        let (group, taken) = gathered([
            persist(1, Some(2), Some(5), &[5, 6]),
            persist(2, None, None, &[7]),
            persist(3, Some(3), None, &[]),
        ]);
        assert_eq!((taken, group.io, group.entries, group.truncate_from), (3, IoId(3), 3, Some(Index(5))));
        assert_eq!((group.hard_state.map(|hard| hard.term), group.commit), (Some(Term(3)), Index(3)));
    }

    #[test]
    fn a_truncation_behind_entries_or_another_begins_the_next_group() {
        assert_eq!(gathered([persist(1, None, None, &[5]), persist(2, None, Some(5), &[5])]).1, 1);
        assert_eq!(gathered([persist(1, None, Some(7), &[]), persist(2, None, Some(5), &[5])]).1, 1);
        assert_eq!(gathered([persist(1, Some(2), None, &[]), persist(2, None, Some(5), &[5])]).1, 2);
    }

    #[test]
    fn a_group_is_bounded_and_takes_any_first_request() {
        let large = persist(1, None, None, &(1..=5000).collect::<Vec<_>>());
        assert_eq!(gathered([large, persist(2, None, None, &[5001])]).1, 1);
    }
}
