use super::*;
use crate::entry::EntryKind;
use proptest::prelude::*;

fn entry(term: u64, index: u64) -> Entry {
    Entry::new(LogId::new(term, index), EntryKind::Command, 0, &[3; 20])
}

/// Sixty-four bytes.
const ENTRY_BYTES: u64 = 64;

fn empty(cache_bytes_max: u64) -> Log {
    Log::new(LogId::ZERO, Vec::new(), LogId::ZERO, Vec::new(), cache_bytes_max)
}

fn with_terms(terms: &[u64]) -> Log {
    let mut log = empty(1 << 20);
    log.append(terms.iter().zip(1..).map(|(term, index)| entry(*term, index)).collect());
    log
}

fn indexes(slice: &Slice) -> Option<Vec<u64>> {
    match slice {
        Slice::Cached(entries) => Some(entries.iter().map(|entry| entry.index().0).collect()),
        Slice::Cold | Slice::Compacted => None,
    }
}

#[test]
fn the_cache_keeps_what_is_not_durable_and_otherwise_its_budget() {
    let mut log = empty(3 * ENTRY_BYTES);
    log.append((1..=5).map(|index| entry(1, index)).collect());
    assert_eq!(log.cached_bytes(), 5 * ENTRY_BYTES);
    log.set_durable(LogId::new(1, 4));
    assert_eq!(log.cached_bytes(), 3 * ENTRY_BYTES);
    assert_eq!(log.slice(Index(1), Index(5), 1 << 20), Slice::Cold);
    assert_eq!(indexes(&log.slice(Index(3), Index(5), 1 << 20)), Some(vec![3, 4, 5]));
}

#[test]
fn a_slice_is_bounded_in_bytes_but_never_empty() {
    let log = with_terms(&[1; 5]);
    assert_eq!(indexes(&log.slice(Index(2), Index(5), 2 * ENTRY_BYTES)), Some(vec![2, 3]));
    assert_eq!(indexes(&log.slice(Index(2), Index(5), 1)), Some(vec![2]));
    assert_eq!(indexes(&log.slice(Index(2), Index(3), 1 << 20)), Some(vec![2, 3]));
    assert_eq!(log.slice(Index(6), Index(9), 1 << 20), Slice::Cold, "there is nothing to give");
}

#[test]
fn after_a_cut_the_terms_of_what_is_left_are_known() {
    let mut log = with_terms(&[1, 1, 2, 2, 4]);
    log.compact(LogId::new(2, 3));
    assert_eq!((log.first(), log.start()), (Index(4), LogId::new(2, 3)));
    assert_eq!(
        [2, 3, 4, 5, 6].map(|index| log.term_at(Index(index)).map(|term| term.0)),
        [None, Some(2), Some(2), Some(4), None]
    );
    assert_eq!(log.slice(Index(3), Index(5), 1 << 20), Slice::Compacted);
    assert!(log.contains(LogId::new(9, 2)), "what is gone was committed: it is no conflict");
    assert!(!log.contains(LogId::new(9, 3)));
}

#[test]
fn a_log_that_was_cut_to_its_end_goes_on() {
    let mut log = with_terms(&[1, 1]);
    log.set_durable(LogId::new(1, 2));
    log.compact(LogId::new(1, 2));
    log.append(vec![entry(1, 3), entry(3, 4)]);
    assert_eq!([2, 3, 4].map(|index| log.term_at(Index(index)).map(|term| term.0)), [Some(1), Some(1), Some(3)]);
    log.truncate(Index(3));
    assert_eq!(log.last(), LogId::new(1, 2));
    log.append(vec![entry(5, 3)]);
    assert_eq!(log.term_at(Index(3)), Some(Term(5)));
}

#[test]
fn a_truncation_takes_the_durable_mark_with_it() {
    let mut log = with_terms(&[1, 1, 1]);
    log.set_durable(LogId::new(1, 3));
    log.truncate(Index(2));
    assert_eq!((log.last(), log.durable()), (LogId::new(1, 1), LogId::new(1, 1)));
}

#[test]
fn a_hint_skips_whole_terms() {
    let log = with_terms(&[1, 1, 3, 3, 5]);
    assert_eq!(log.run_at(Index(4)), Some((Term(3), Index(3))));
    assert_eq!(log.last_not_after(Index(5), Term(4)), LogId::new(3, 4));
    assert_eq!(log.last_not_after(Index(4), Term(2)), LogId::new(1, 2));
    assert_eq!(log.last_not_after(Index(9), Term(9)), LogId::new(5, 5));
}

/// What may happen to a log, as its owners do it.
#[derive(Clone, Debug)]
enum Deed {
    Append { more_terms: u64, entries: u64 },
    Truncate(u64),
    Durable(u64),
    Compact(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..3u64, 1..6u64).prop_map(|(more_terms, entries)| Deed::Append { more_terms, entries }),
        (0..8u64).prop_map(Deed::Truncate),
        (0..8u64).prop_map(Deed::Durable),
        (0..8u64).prop_map(Deed::Compact),
    ]
}

/// The plainest log there is: every id ever appended, from the first.
#[derive(Default)]
struct Model {
    ids: Vec<LogId>,
    start: usize,
    durable: usize,
}

impl Model {
    fn play(&mut self, log: &mut Log, deed: &Deed) {
        let last = self.ids.last().copied().unwrap_or_default();
        match *deed {
            Deed::Append { more_terms, entries } => {
                let term = (last.term.0 + more_terms).max(1);
                let new: Vec<_> = (1..=entries).map(|more| entry(term, last.index.0 + more)).collect();
                self.ids.extend(new.iter().map(Entry::id));
                log.append(new);
            }
            Deed::Truncate(back) => {
                let from = (self.ids.len() + 1).saturating_sub(back as usize).max(self.start + 1);
                if from <= self.ids.len() {
                    log.truncate(Index(from as u64));
                    self.ids.truncate(from - 1);
                    self.durable = self.durable.min(self.ids.len());
                }
            }
            Deed::Durable(more) => {
                self.durable = (self.durable + more as usize).min(self.ids.len());
                if let Some(id) = self.durable.checked_sub(1).map(|at| self.ids[at]) {
                    log.set_durable(id);
                }
            }
            // Only what is durable is ever cut.
            Deed::Compact(more) => {
                self.start = (self.start + more as usize).min(self.durable);
                if let Some(id) = self.start.checked_sub(1).map(|at| self.ids[at]) {
                    log.compact(id);
                }
            }
        }
    }

    fn check(&self, log: &Log) -> Result<(), TestCaseError> {
        prop_assert_eq!(log.last(), self.ids.last().copied().unwrap_or_default());
        prop_assert_eq!(log.first().0 as usize, self.start + 1);
        prop_assert_eq!(log.durable().index.0 as usize, self.durable);
        for index in 0..self.ids.len() as u64 + 3 {
            let known = index.checked_sub(1).map_or(Some(LogId::ZERO), |at| self.ids.get(at as usize).copied());
            let expected = known.filter(|id| id.index.0 as usize >= self.start);
            prop_assert_eq!(log.id_at(Index(index)), expected, "at {}", index);
            if let Slice::Cached(entries) = log.slice(Index(index), log.last().index, 200) {
                let found: Vec<_> = entries.iter().map(Entry::id).collect();
                prop_assert_eq!(&found[..], &self.ids[index as usize - 1..][..found.len()]);
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_log_behaves_like_a_list_of_ids(deeds in prop::collection::vec(deed(), 1..60)) {
        let (mut log, mut model) = (empty(6 * ENTRY_BYTES), Model::default());
        for deed in &deeds {
            model.play(&mut log, deed);
            model.check(&log)?;
        }
    }
}
