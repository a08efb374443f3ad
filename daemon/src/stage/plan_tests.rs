//! When there is a snapshot to take, which ones go, and that the newest never does.

use super::*;
use mvcc::Revision;
use proptest::prelude::*;

const HOUR_MS: u64 = 3_600_000;
const HOUR: Duration = Duration::from_secs(3_600);
const RULES: Rules = Rules { interval: Some(HOUR), count: 3, age: Some(Duration::from_secs(24 * 3_600)), grace: HOUR };

/// The snapshot of index `at`, staged at that hour.
fn staged(at: u64) -> StagedSnapshot {
    let id = [u8::try_from(at).expect("small"); 32];
    StagedSnapshot { id, index: at, revision: Revision(1), bytes: 1, staged_ms: at * HOUR_MS, retired_ms: None }
}

fn retired(at: u64, when: u64) -> StagedSnapshot {
    StagedSnapshot { retired_ms: Some(when * HOUR_MS), ..staged(at) }
}

fn at(hour: u64, snapshots: &[StagedSnapshot], wanted: Option<u64>) -> Step {
    next(&RULES, &Known { staged: snapshots, wanted, now_ms: hour * HOUR_MS })
}

#[test]
fn a_snapshot_is_taken_when_there_is_none_and_when_the_newest_is_an_interval_old() {
    assert_eq!(at(5, &[], None), Step::Stage);
    assert_eq!(at(6, &[staged(5)], None), Step::Stage);
    let almost = Known { staged: &[staged(5)], wanted: None, now_ms: 6 * HOUR_MS - 1 };
    assert_eq!(next(&RULES, &almost), Step::Rest);
    assert_eq!(at(5, &[staged(6)], None), Step::Rest, "staged by a member whose clock is ahead");
}

#[test]
fn a_snapshot_that_was_asked_for_is_taken_once() {
    let by_hand = Rules { interval: None, ..RULES };
    let asked = |snapshots: &[StagedSnapshot], wanted| {
        next(&by_hand, &Known { staged: snapshots, wanted, now_ms: 5 * HOUR_MS })
    };
    assert_eq!(asked(&[], None), Step::Rest);
    assert_eq!(asked(&[], Some(3)), Step::Stage);
    assert_eq!(asked(&[staged(2)], Some(3)), Step::Stage);
    assert_eq!(asked(&[staged(3)], Some(3)), Step::Rest);
}

#[test]
fn one_that_only_a_retired_snapshot_answers_is_taken_again() {
    assert_eq!(at(6, &[staged(5), retired(7, 6)], Some(6)), Step::Stage);
}

#[test]
fn the_oldest_beyond_the_count_are_retired_and_later_deleted() {
    let five = [staged(1), staged(2), staged(3), staged(4), staged(5)];
    assert_eq!(at(5, &five, None), Step::Retire(vec![[2; 32], [1; 32]]));
    let after = [retired(1, 5), retired(2, 5), staged(3), staged(4), staged(5)];
    assert_eq!(at(5, &after, None), Step::Rest, "the grace has not passed");
    let later = [retired(1, 5), retired(2, 6), staged(4), staged(5), staged(6)];
    assert_eq!(at(6, &later, None), Step::Delete(vec![retired(1, 5)]));
}

#[test]
fn a_deletion_waits_for_a_snapshot_that_is_due_but_not_for_ever() {
    let due_all_the_time = [retired(1, 5), retired(2, 6), staged(3), staged(4), staged(5)];
    assert_eq!(at(6, &due_all_the_time, None), Step::Stage, "people wait for that");
    assert_eq!(
        at(7, &due_all_the_time, None),
        Step::Delete(vec![retired(1, 5), retired(2, 6)]),
        "spared twice as long"
    );
}

#[test]
fn the_newest_is_kept_at_any_age() {
    let by_hand = Rules { interval: None, ..RULES };
    let known = Known { staged: &[staged(1), staged(2)], wanted: None, now_ms: 1_000 * HOUR_MS };
    assert_eq!(next(&by_hand, &known), Step::Retire(vec![[1; 32]]));
    let known = Known { staged: &[staged(2)], ..known };
    assert_eq!(next(&by_hand, &known), Step::Rest);
}

fn any_staged() -> impl Strategy<Value = Vec<StagedSnapshot>> {
    let one = (1..200u64, 0..50u64, prop::option::of(0..50u64));
    let many = prop::collection::vec(one, 0..12);
    many.prop_map(|all| {
        let number = |(at, (index, hour, retired)): (usize, (u64, u64, Option<u64>))| StagedSnapshot {
            id: [u8::try_from(at).expect("small"); 32],
            index,
            staged_ms: hour * HOUR_MS,
            retired_ms: retired.map(|hour| hour * HOUR_MS),
            ..staged(1)
        };
        all.into_iter().enumerate().map(number).collect()
    })
}

proptest! {
    /// Whatever the list and the rules: the newest kept one is never retired, nothing kept is ever deleted, nothing
    /// retired is deleted before its time, and following the plan comes to rest within the rules.
    #[test]
    fn the_plan_keeps_what_it_must_and_comes_to_rest(
        mut staged in any_staged(),
        count in 1..6usize,
        age_hours in prop::option::of(0..40u64),
        grace_hours in 1..10u64,
        hour in 0..60u64,
    ) {
        let hours = |hours| Duration::from_secs(hours * 3_600);
        let rules = Rules { interval: None, count, age: age_hours.map(hours), grace: hours(grace_hours) };
        let now_ms = hour * HOUR_MS;
        let newest_before = newest(&staged).copied();
        for _ in 0..30 {
            match next(&rules, &Known { staged: &staged, wanted: None, now_ms }) {
                Step::Retire(ids) => {
                    prop_assert!(newest_before.is_none_or(|newest| !ids.contains(&newest.id)));
                    for snapshot in staged.iter_mut().filter(|snapshot| ids.contains(&snapshot.id)) {
                        prop_assert_eq!(snapshot.retired_ms, None);
                        snapshot.retired_ms = Some(now_ms);
                    }
                }
                Step::Delete(doomed) => {
                    for snapshot in &doomed {
                        let retired = snapshot.retired_ms.expect("only what is retired is deleted");
                        prop_assert!(now_ms - retired >= grace_hours * HOUR_MS);
                    }
                    staged.retain(|snapshot| !doomed.contains(snapshot));
                }
                Step::Stage => prop_assert!(false, "nobody asked"),
                Step::Rest => break,
            }
        }
        prop_assert_eq!(next(&rules, &Known { staged: &staged, wanted: None, now_ms }), Step::Rest);
        prop_assert_eq!(newest(&staged).copied(), newest_before);
        prop_assert!(kept(&staged).count() <= count);
    }
}
