//! What the applied part of the log says besides commands: the term of an entry, and the configuration in force there.
//! An image of the store knows its index only; this gives it the rest of its name.

use bytes::Bytes;
use raft::{Entry, EntryKind, Index, LogId, Term};
use std::sync::{Mutex, MutexGuard};

/// Kept by the apply thread, read by whoever names an image.
#[derive(Debug)]
pub(crate) struct Trail {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Where each run of entries of one term begins. The first run reaches back to what is not asked for any more.
    terms: Vec<LogId>,
    /// Every configuration from the one in force at the first of `terms` on.
    memberships: Vec<(Index, Bytes)>,
    applied: Index,
}

/// The name of a place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) last: LogId,
    pub(crate) membership_at: Index,
    pub(crate) membership: Bytes,
}

impl Trail {
    /// From what the log remembers, as far as it is applied: what follows comes through [`Trail::apply`].
    pub(crate) fn new(start: LogId, terms: &[(Index, Term)], memberships: &[(Index, Bytes)], applied: Index) -> Self {
        let runs = terms.iter().map(|&(index, term)| LogId { term, index });
        let terms = std::iter::once(start).chain(runs).filter(|run| run.index <= applied).collect();
        let memberships = memberships.iter().filter(|(at, _)| *at <= applied).cloned().collect();
        Self { inner: Mutex::new(Inner { terms, memberships, applied }) }
    }

    /// These have been applied, in order.
    pub(crate) fn apply(&self, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        let mut inner = self.lock();
        // Almost always nothing of this changes within a batch.
        if inner.terms.last().map(|run| run.term) != Some(last.term()) {
            for entry in entries {
                if inner.terms.last().is_none_or(|run| run.term != entry.term()) {
                    inner.terms.push(entry.id());
                }
            }
        }
        for entry in entries.iter().filter(|entry| entry.kind() == EntryKind::Membership) {
            // A copy: the payload is a view of its batch.
            inner.memberships.push((entry.index(), Bytes::copy_from_slice(&entry.payload())));
        }
        inner.applied = last.index();
    }

    /// The store was replaced by one that stands here.
    pub(crate) fn replace(&self, place: &Place) {
        *self.lock() = Inner {
            terms: vec![place.last],
            memberships: vec![(place.membership_at, place.membership.clone())],
            applied: place.last.index,
        };
    }

    /// Nobody asks for earlier indexes any more.
    pub(crate) fn forget_before(&self, index: Index) {
        let mut inner = self.lock();
        let runs = inner.terms.partition_point(|run| run.index <= index).saturating_sub(1);
        inner.terms.drain(..runs);
        let older = inner.memberships.partition_point(|(at, _)| *at <= index).saturating_sub(1);
        inner.memberships.drain(..older);
    }

    /// The name of an applied index; none if it is not applied or was forgotten.
    pub(crate) fn at(&self, index: Index) -> Option<Place> {
        let inner = self.lock();
        if index > inner.applied {
            return None;
        }
        let run = inner.terms.iter().rev().find(|run| run.index <= index)?;
        let (membership_at, membership) = inner.memberships.iter().rev().find(|(at, _)| *at <= index)?.clone();
        Some(Place { last: LogId { term: run.term, index }, membership_at, membership })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the trail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, membership: bool) -> Entry {
        let kind = if membership { EntryKind::Membership } else { EntryKind::Command };
        Entry::new(LogId::new(term, index), kind, 0, format!("at {index}").as_bytes())
    }

    fn place(trail: &Trail, index: u64) -> Option<(u64, u64)> {
        trail.at(Index(index)).map(|place| (place.last.term.0, place.membership_at.0))
    }

    fn filled() -> Trail {
        let memberships = [(Index(3), Bytes::new()), (Index(6), Bytes::new()), (Index(9), Bytes::new())];
        let terms = [(Index(5), Term(2)), (Index(8), Term(4)), (Index(10), Term(5))];
        let trail = Trail::new(LogId::new(2, 4), &terms, &memberships, Index(8));
        trail.apply(&[entry(9, 4, true), entry(10, 5, false), entry(11, 7, true)]);
        trail.apply(&[entry(12, 7, false)]);
        trail
    }

    #[test]
    fn every_applied_index_has_its_term_and_its_configuration() {
        let trail = filled();
        let places = [4, 5, 6, 7, 8, 9, 10, 11, 12].map(|index| place(&trail, index).expect("applied"));
        assert_eq!(places, [(2, 3), (2, 3), (2, 6), (2, 6), (4, 6), (4, 9), (5, 9), (7, 11), (7, 11)]);
        assert_eq!([3, 13].map(|index| place(&trail, index)), [None, None]);
        assert_eq!(trail.at(Index(12)).expect("applied").membership, "at 11");
    }

    #[test]
    fn what_is_forgotten_leaves_the_rest_as_it_was() {
        let trail = filled();
        trail.forget_before(Index(9));
        let places = [9, 10, 12].map(|index| place(&trail, index).expect("applied"));
        assert_eq!(places, [(4, 9), (5, 9), (7, 11)]);
        assert_eq!(place(&trail, 7), None);
    }

    #[test]
    fn a_new_log_has_no_place_before_its_first_configuration() {
        let trail = Trail::new(LogId::ZERO, &[], &[], Index::ZERO);
        assert_eq!(trail.at(Index::ZERO), None);
        trail.apply(&[entry(1, 1, true)]);
        assert_eq!(place(&trail, 1), Some((1, 1)));
    }

    #[test]
    fn a_replacement_starts_over() {
        let trail = filled();
        let place_40 = Place { last: LogId::new(9, 40), membership_at: Index(33), membership: Bytes::new() };
        trail.replace(&place_40);
        assert_eq!((trail.at(Index(40)), place(&trail, 39), place(&trail, 12)), (Some(place_40), None, None));
        trail.apply(&[entry(41, 9, false)]);
        assert_eq!(place(&trail, 41), Some((9, 33)));
    }
}
