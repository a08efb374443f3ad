//! What the log says, without its entries: the fold of everything written so far. The writer keeps it to begin each
//! segment with it, recovery computes it again, and the two must agree.

use super::control::Control;
use super::error::Problem;
use bytes::Bytes;
use raft::{Entry, EntryKind, HardState, Index, LogId, Term};

/// Higher than any log gets in its life, and low enough that whatever follows it can still be counted.
const INDEX_MAX: Index = Index(1 << 62);

/// The log in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogState {
    pub(super) hard_state: HardState,
    /// The entry before the first one; the state machine covers everything up to it.
    pub(super) start: LogId,
    pub(super) last: LogId,
    /// The first index of each run of entries of one term, ascending, after `start`.
    pub(super) terms: Vec<(Index, Term)>,
    /// The membership in force at `start`, if there is one, then every later one in the log.
    pub(super) memberships: Vec<(Index, Bytes)>,
    pub(super) commit: Index,
}

impl LogState {
    /// Whether a log can be like this. What is read is believed only if it can: everything here counts on it.
    pub(super) fn is_sound(&self) -> bool {
        let bounds = self.start.index <= self.last.index && self.last.index <= INDEX_MAX;
        bounds && self.runs_are_sound() && memberships_are_sound(&self.memberships, self.start.index, self.last.index)
    }

    /// The runs begin after the start, ascend, and end with the term of the last entry.
    fn runs_are_sound(&self) -> bool {
        let (Some(first), Some(last)) = (self.terms.first(), self.terms.last()) else { return self.last == self.start };
        let ends = first.0 == self.start.index.next() && last.0 <= self.last.index;
        let terms = first.1 >= self.start.term && last.1 == self.last.term;
        ends && terms && self.terms.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
    }

    /// Takes up what a control record says.
    pub(super) fn apply(&mut self, control: &Control) -> Result<(), Problem> {
        match control {
            Control::Checkpoint { state, .. } => return self.agree(state),
            Control::HardState(hard_state) => self.hard_state = *hard_state,
            Control::TruncateFrom(from) => return self.truncate_from(*from),
            Control::CommitHint(commit) => self.commit = self.commit.max(*commit),
            Control::Start { start, .. } if self.id_at(start.index) != Some(*start) => return Err(Problem::Checkpoint),
            Control::Start { start, .. } => self.compact(*start),
            Control::Reset { start, membership, .. } => {
                let whole = memberships_are_sound(membership.as_slice(), start.index, start.index);
                if start.index > INDEX_MAX || !whole {
                    return Err(Problem::Contradiction);
                }
                self.reset(*start, membership.clone());
            }
            Control::Closed => {}
        }
        Ok(())
    }

    /// A checkpoint knows nothing else, except perhaps a later commit index that was not written until then.
    fn agree(&mut self, checkpoint: &Self) -> Result<(), Problem> {
        self.commit = self.commit.max(checkpoint.commit);
        if self == checkpoint { Ok(()) } else { Err(Problem::Checkpoint) }
    }

    /// Takes up the next entry.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), Problem> {
        let id = entry.id();
        if id.index != self.last.index.next() || id.term < self.last.term {
            return Err(Problem::Gap { found: id, last: self.last });
        }
        if self.terms.last().is_none_or(|&(_, term)| term != id.term) {
            self.terms.push((id.index, id.term));
        }
        if entry.kind() == EntryKind::Membership {
            // A copy: the payload is a view of its batch, which would stay in memory as long as the membership.
            self.memberships.push((id.index, Bytes::copy_from_slice(&entry.payload())));
        }
        self.last = id;
        Ok(())
    }

    /// Forgets the entries from `from` on.
    pub(super) fn truncate_from(&mut self, from: Index) -> Result<(), Problem> {
        if from > self.last.index {
            return Ok(());
        }
        if from <= self.start.index {
            return Err(Problem::Gap { found: LogId { term: Term(0), index: from }, last: self.start });
        }
        let last = from.prev();
        self.last = self.id_at(last).expect("the index is neither below the start nor above the last");
        self.terms.retain(|&(first, _)| first < from);
        self.memberships.retain(|&(at, _)| at < from);
        Ok(())
    }

    /// Forgets the entries up to `start`.
    pub(super) fn compact(&mut self, start: LogId) {
        self.start = start;
        let first = start.index.next();
        let gone = self.terms.partition_point(|&(begins, _)| begins <= first).saturating_sub(1);
        self.terms.drain(..gone);
        if let Some(run) = self.terms.first_mut() {
            run.0 = run.0.max(first);
        }
        self.terms.retain(|&(begins, _)| begins <= self.last.index);
        let older = self.memberships.partition_point(|&(at, _)| at <= start.index).saturating_sub(1);
        self.memberships.drain(..older);
    }

    /// Forgets every entry.
    pub(super) fn reset(&mut self, start: LogId, membership: Option<(Index, Bytes)>) {
        *self = Self {
            hard_state: self.hard_state,
            start,
            last: start,
            terms: Vec::new(),
            memberships: membership.into_iter().collect(),
            commit: self.commit.max(start.index),
        };
    }

    /// Whether a log that starts after `start` has nothing to say that this one does not.
    pub(super) fn reaches(&self, start: LogId) -> bool {
        self.last != LogId::ZERO && (start.index <= self.start.index || self.id_at(start.index) == Some(start))
    }

    /// Whether these entries follow each other, and what is left of the log after a truncation.
    pub(super) fn follows<'a>(
        &self,
        truncate_from: Option<Index>,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> bool {
        let left = truncate_from.map_or(self.last.index, |from| from.prev().min(self.last.index));
        let Some(mut before) = self.id_at(left) else { return false };
        entries.into_iter().all(|entry| {
            let follows = entry.index() == before.index.next() && entry.term() >= before.term;
            before = entry.id();
            follows
        })
    }

    /// The log id at an index from `start` to `last`.
    pub(super) fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.start.index {
            return Some(self.start);
        }
        if index < self.start.index || index > self.last.index {
            return None;
        }
        let run = self.terms.partition_point(|&(first, _)| first <= index).checked_sub(1)?;
        Some(LogId { term: self.terms[run].1, index })
    }
}

/// They ascend, none is of an entry after the last, and one at most is of an entry that is gone.
fn memberships_are_sound(memberships: &[(Index, Bytes)], start: Index, last: Index) -> bool {
    let ends = memberships.last().is_none_or(|&(at, _)| at <= last);
    ends && memberships.is_sorted_by(|a, b| a.0 < b.0) && memberships.iter().skip(1).all(|&(at, _)| at > start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, kind: EntryKind) -> Entry {
        Entry::new(LogId::new(term, index), kind, 0, b"members")
    }

    /// Entries 1..=9: three of each term, a membership at 2 and at 7.
    fn nine() -> LogState {
        let mut state = LogState::default();
        for index in 1..=9 {
            let kind = if matches!(index, 2 | 7) { EntryKind::Membership } else { EntryKind::Command };
            state.append(&entry(index, index.div_ceil(3), kind)).unwrap();
        }
        state
    }

    fn places(state: &LogState) -> Vec<u64> {
        state.memberships.iter().map(|&(at, _)| at.0).collect()
    }

    fn runs(state: &LogState) -> Vec<(u64, u64)> {
        state.terms.iter().map(|&(first, term)| (first.0, term.0)).collect()
    }

    #[test]
    fn terms_and_memberships_follow_the_entries() {
        let state = nine();
        assert_eq!((runs(&state), places(&state)), (vec![(1, 1), (4, 2), (7, 3)], vec![2, 7]));
        for index in 1..=9 {
            assert_eq!(state.id_at(Index(index)), Some(LogId::new(index.div_ceil(3), index)));
        }
        assert_eq!(state.id_at(Index(10)), None);
    }

    #[test]
    fn an_entry_that_does_not_follow_is_refused() {
        for (index, term) in [(9, 3), (11, 3), (10, 2)] {
            assert!(nine().append(&entry(index, term, EntryKind::Command)).is_err(), "{index}@{term}");
        }
    }

    #[test]
    fn what_would_be_written_is_known_to_follow_or_not() {
        let entries =
            |from: u64, term: u64| [entry(from, term, EntryKind::Noop), entry(from + 1, term, EntryKind::Noop)];
        let follows = |truncate: Option<u64>, from, term| nine().follows(truncate.map(Index), &entries(from, term));
        assert!(follows(None, 10, 3) && follows(Some(10), 10, 4) && follows(Some(7), 7, 2) && follows(Some(1), 1, 1));
        assert!(!follows(None, 9, 3) && !follows(None, 11, 3) && !follows(None, 10, 2) && !follows(Some(7), 7, 1));
        let mut state = nine();
        state.compact(LogId::new(2, 4));
        assert!(state.follows(Some(Index(5)), &entries(5, 2)) && !state.follows(Some(Index(4)), &entries(4, 2)));
        assert!(!nine().follows(None, [&entry(10, 3, EntryKind::Noop), &entry(12, 3, EntryKind::Noop)]));
    }

    #[test]
    fn a_log_reaches_what_it_has_or_has_had() {
        let mut state = nine();
        assert!(!LogState::default().reaches(LogId::ZERO), "a new log takes its first membership");
        state.compact(LogId::new(2, 4));
        let ids =
            [(1, 2, true), (2, 4, true), (2, 5, true), (3, 9, true), (3, 6, false), (4, 9, false), (3, 10, false)];
        for (term, index, expected) in ids {
            assert_eq!(state.reaches(LogId::new(term, index)), expected, "{index}@{term}");
        }
    }

    #[test]
    fn truncation_takes_back_terms_and_memberships() {
        for from in 1..=9 {
            let mut state = nine();
            state.truncate_from(Index(from)).unwrap();
            let expected = if from == 1 { LogId::ZERO } else { LogId::new((from - 1).div_ceil(3), from - 1) };
            assert_eq!(state.last, expected);
            assert!(runs(&state).iter().all(|&(first, _)| first < from));
            assert!(places(&state).iter().all(|&at| at < from));
        }
        assert!(nine().truncate_from(Index(10)).is_ok());
    }

    #[test]
    fn compaction_keeps_the_membership_in_force() {
        let cases = [(1, vec![2, 7]), (2, vec![2, 7]), (6, vec![2, 7]), (7, vec![7]), (9, vec![7])];
        for (through, left) in cases {
            let mut state = nine();
            state.compact(LogId::new(1, through));
            assert_eq!(places(&state), left, "through {through}");
        }
    }

    #[test]
    fn compaction_cuts_the_runs_of_terms() {
        let mut state = nine();
        state.compact(LogId::new(2, 4));
        assert_eq!(runs(&state), [(5, 2), (7, 3)]);
        state.compact(LogId::new(2, 6));
        assert_eq!(runs(&state), [(7, 3)]);
        assert!(state.truncate_from(Index(6)).is_err());
        state.compact(LogId::new(3, 9));
        assert_eq!(runs(&state), []);
        assert_eq!(state.id_at(Index(9)), Some(LogId::new(3, 9)));
        state.append(&entry(10, 3, EntryKind::Command)).unwrap();
        assert_eq!(runs(&state), [(10, 3)]);
    }

    #[test]
    fn what_a_log_can_be_like_is_sound_and_nothing_else() {
        let mut state = nine();
        assert!(LogState::default().is_sound() && state.is_sound());
        state.compact(LogId::new(2, 5));
        assert!(state.is_sound(), "{state:?}");
        let unsound: [fn(&mut LogState); 12] = [
            |state| state.start = LogId::new(2, 10),
            |state| state.start = LogId::new(3, 9),
            |state| state.start.term = Term(3),
            |state| state.last.index = Index(u64::MAX),
            |state| state.last.term = Term(4),
            |state| state.last.index = Index(6),
            |state| state.terms.clear(),
            |state| state.terms[0].0 = Index(5),
            |state| state.terms[1].0 = Index(6),
            |state| state.terms[1].1 = Term(2),
            |state| state.memberships[1].0 = Index(5),
            |state| state.memberships[1].0 = Index(10),
        ];
        for (nth, spoil) in unsound.into_iter().enumerate() {
            let mut spoilt = state.clone();
            spoil(&mut spoilt);
            assert!(!spoilt.is_sound(), "{nth}: {spoilt:?}");
        }
    }

    #[test]
    fn a_reset_to_where_no_log_gets_is_refused() {
        let membership = |at| Some((Index(at), Bytes::from_static(b"m")));
        for (start, membership) in [(u64::MAX, None), (40, membership(41))] {
            let control = Control::Reset { start: LogId::new(5, start), first_segment: 1, membership };
            let mut state = nine();
            assert_eq!((state.apply(&control), state), (Err(Problem::Contradiction), nine()));
        }
    }

    #[test]
    fn a_reset_leaves_term_and_vote() {
        let mut state = nine();
        state.hard_state.term = Term(8);
        state.reset(LogId::new(5, 40), Some((Index(33), Bytes::from_static(b"m"))));
        assert_eq!((state.last, state.start, places(&state)), (LogId::new(5, 40), LogId::new(5, 40), vec![33]));
        assert_eq!(state.hard_state.term, Term(8));
    }
}
