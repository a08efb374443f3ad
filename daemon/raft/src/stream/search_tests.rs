use super::*;
use crate::entry::{Entry, EntryKind};
use crate::types::{StreamId, Term};
use proptest::prelude::*;

/// A log as its terms, the first at index 1.
fn log(terms: &[u64]) -> Log {
    let mut log = Log::new(LogId::ZERO, Vec::new(), LogId::ZERO, Vec::new(), u64::MAX);
    let entries =
        (1..).zip(terms).map(|(index, term)| Entry::new(LogId::new(*term, index), EntryKind::Command, 0, b""));
    log.append(entries.collect());
    log
}

/// What an honest follower with these terms says to a probe it does not match.
fn refusal(terms: &[u64], prev: LogId) -> Option<Reject> {
    let at = |index: u64| index.checked_sub(1).and_then(|at| terms.get(at as usize)).copied();
    let held = if prev.index == Index::ZERO { Some(0) } else { at(prev.index.0) };
    if held == Some(prev.term.0) {
        return None;
    }
    let first_of = |term| terms.iter().position(|other| *other == term).map_or(0, |at| at as u64 + 1);
    let last = LogId::new(terms.last().copied().unwrap_or(0), terms.len() as u64);
    let conflict = held.map(|term| (Term(term), Index(first_of(term))));
    Some(Reject { stream: StreamId(1), prev, last, conflict })
}

/// Searches to the end; returns where the logs part as found, and the probes it took.
fn search(leader: &[u64], follower: &[u64]) -> (Search, u32) {
    let log = log(leader);
    let mut search = Search::open(Index::ZERO);
    for probes in 1..200 {
        let prev = search.probe(&log).expect("the log is whole");
        search.probed();
        match refusal(follower, prev) {
            None => search.raise(prev.index),
            Some(reject) => search.refused(&reject, &log),
        }
        if refusal(follower, prev).is_none() && search.settled() {
            return (search, probes);
        }
    }
    panic!("the search does not end");
}

/// Two logs with a common beginning that go on with terms of their own.
fn two_logs() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let steps = || prop::collection::vec(prop_oneof![8 => Just(0u64), 2 => 1..4u64], 0..300);
    (steps(), steps(), steps()).prop_map(|(common, one, other)| {
        let ascend = |steps: &[u64], from: u64, parity: u64| {
            // Terms of one side are even, of the other odd: a term has one leader, so it has one log.
            let mut term = from;
            let mut terms = Vec::new();
            for step in steps {
                term += step * 2;
                terms.push(term + parity);
            }
            terms
        };
        let start = ascend(&common, 2, 0);
        let last = start.last().copied().unwrap_or(2) + 2;
        let with = |tail: Vec<u64>| start.iter().copied().chain(tail).collect();
        (with(ascend(&one, last, 0)), with(ascend(&other, last, 1)))
    })
}

fn common(one: &[u64], other: &[u64]) -> u64 {
    one.iter().zip(other).take_while(|(a, b)| a == b).count() as u64
}

proptest! {
    #[test]
    fn the_match_point_is_found_near_the_truth_in_few_probes((leader, follower) in two_logs()) {
        let truth = common(&leader, &follower);
        let (search, probes) = search(&leader, &follower);
        prop_assert!(search.lo().0 <= truth, "{search:?} claims more than the truth {truth}");
        prop_assert!(search.hi().0 >= truth.min(leader.len() as u64), "{search:?} gave up the truth {truth}");
        prop_assert!(probes <= HINTED_PROBES + 12, "{probes} probes");
    }

    #[test]
    fn hints_from_nowhere_never_break_the_bounds(
        length in 0..200u64, refusals in prop::collection::vec(any::<[u64; 6]>(), 1..50), lo in 0..50u64,
    ) {
        let log = log(&vec![1; length as usize]);
        let mut search = Search::open(Index(lo.min(length)));
        for [prev_term, prev, last_term, last, term, first] in refusals {
            let Some(asked) = search.probe(&log) else { break };
            prop_assert!(asked.index >= search.lo() && asked.index <= search.hi());
            search.probed();
            let (prev, before) = (if prev % 2 == 0 { asked } else { LogId::new(prev_term, prev) }, search.hi());
            let conflict = (first % 3 > 0).then_some((Term(term), Index(first)));
            search.refused(&Reject { stream: StreamId(1), prev, last: LogId::new(last_term, last), conflict }, &log);
            prop_assert!(search.hi() <= before && search.lo() <= search.hi());
        }
    }
}

#[test]
fn a_follower_with_the_same_log_takes_one_probe() {
    assert_eq!(search(&[1; 100], &[1; 100]).1, 1);
}

#[test]
fn a_follower_that_is_behind_or_ahead_takes_two() {
    assert_eq!(search(&[1; 100], &[1; 40]).1, 2);
    assert_eq!(search(&[1; 100], &[1; 400]).1, 1);
}

#[test]
fn whole_terms_are_skipped_on_both_sides() {
    let leader = [&[1; 50][..], &[4; 30], &[8; 200]].concat();
    let follower = [&[1; 50][..], &[4; 10], &[5; 100], &[7; 100]].concat();
    assert!(search(&leader, &follower).1 <= 3);
}

#[test]
fn a_probe_never_asks_below_the_start_of_the_log() {
    let mut log = log(&[1; 100]);
    log.compact(LogId::new(1, 60));
    let mut search = Search::open(Index::ZERO);
    (0..10).for_each(|_| search.probed());
    assert_eq!(search.probe(&log), Some(LogId::new(1, 60)));
    search.refused(&refusal(&[], LogId::new(1, 60)).expect("refused"), &log);
    assert_eq!(search.probe(&log), None);
}

#[test]
fn a_known_match_is_confirmed_before_anything_else_is_asked() {
    let log = log(&[1; 100]);
    let mut search = Search::confirm(Index(7));
    assert_eq!(search.probe(&log), Some(LogId::new(1, 7)));
    assert!(search.settled());
}
