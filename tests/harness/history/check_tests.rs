//! The judge itself, on histories known to be good and known to be bad.

use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn put(n: u64, answer: Answer) -> Operation {
    let request = Request::Put { key: "k".to_owned(), value: format!("v{n}") };
    Operation { client: 0, invoked: ms(n * 10), returned: ms(n * 10 + 5), request, answer }
}

fn read(at: u64, revision: i64, found: Option<(&str, i64)>) -> Operation {
    let found = found.map(|(value, at)| (value.to_owned(), at));
    let request = Request::Get { key: "k".to_owned(), serializable: false };
    Operation { client: 1, invoked: ms(at), returned: ms(at + 1), request, answer: Answer::Read { revision, found } }
}

fn change(revision: i64, value: &str) -> Change {
    Change { revision, key: "k".to_owned(), value: Some(value.to_owned()) }
}

/// Twenty puts, one after the other; put `n` writes `vn` at revision `n + 2`.
fn good() -> (Vec<Operation>, Vec<Change>) {
    let history = (0..20).map(|n| put(n, Answer::Written { revision: n.cast_signed() + 2 })).collect();
    let log = (0..20).map(|n| change(n + 2, &format!("v{n}"))).collect();
    (history, log)
}

#[test]
fn a_sequence_of_writes_and_reads_is_accepted() {
    let (mut history, log) = good();
    history.push(read(47, 6, Some(("v4", 6))));
    let report = judge(&history, &log).expect("good");
    assert_eq!((report.acknowledged, report.reads, report.longest_stall), (20, 1, ms(10)));
}

#[test]
fn a_lost_write_is_found() {
    let (history, mut log) = good();
    log.truncate(19);
    assert!(matches!(judge(&history, &log), Err(Violation::Lost(_))));
}

#[test]
fn a_swapped_pair_is_found() {
    let (history, mut log) = good();
    (log[3].value, log[4].value) = (log[4].value.clone(), log[3].value.clone());
    assert!(matches!(judge(&history, &log), Err(Violation::Lost(_))));
}

#[test]
fn a_write_applied_twice_is_found() {
    let (history, mut log) = good();
    log.push(change(22, "v7"));
    assert!(matches!(judge(&history, &log), Err(Violation::Twice { first: 9, second: 22, .. })));
}

#[test]
fn a_value_nobody_wrote_is_found() {
    let (history, mut log) = good();
    log.push(change(22, "stranger"));
    assert!(matches!(judge(&history, &log), Err(Violation::Invented { revision: 22, .. })));
}

#[test]
fn a_hole_in_the_log_is_found() {
    let (history, mut log) = good();
    log.remove(10);
    assert_eq!(judge(&history, &log), Err(Violation::Hole(11, 13)));
}

#[test]
fn a_stale_read_is_found() {
    let (mut history, log) = good();
    history.push(read(47, 5, Some(("v3", 5))));
    assert!(matches!(judge(&history, &log), Err(Violation::Stale { floor: 6, .. })));
}

#[test]
fn a_stale_serializable_read_is_accepted() {
    let (mut history, log) = good();
    let mut stale = read(47, 5, Some(("v3", 5)));
    stale.request = Request::Get { key: "k".to_owned(), serializable: true };
    history.push(stale);
    judge(&history, &log).expect("allowed");
}

#[test]
fn a_read_of_another_value_is_found() {
    let (mut history, log) = good();
    history.push(read(47, 6, Some(("v3", 5))));
    assert!(matches!(judge(&history, &log), Err(Violation::Wrong { .. })));
}

#[test]
fn a_read_from_the_future_is_found() {
    let (mut history, log) = good();
    history.push(read(47, 12, Some(("v10", 12))));
    assert!(matches!(judge(&history, &log), Err(Violation::Future { revision: 12, .. })));
}

#[test]
fn a_write_that_goes_back_in_time_is_found() {
    let (mut history, log) = good();
    history[12].invoked = ms(0);
    history[12].returned = ms(1);
    assert!(matches!(judge(&history, &log), Err(Violation::Stale { .. } | Violation::Future { .. })));
}

#[test]
fn an_unknown_write_may_show_or_not() {
    let (mut history, log) = good();
    history[19].answer = Answer::Unknown;
    history.push(put(20, Answer::Unknown));
    let report = judge(&history, &log).expect("good");
    assert_eq!((report.unknown, report.unknown_applied), (2, 1));
}

#[test]
fn a_refused_write_that_shows_is_found() {
    let (mut history, log) = good();
    history[19].answer = Answer::Refused;
    assert!(matches!(judge(&history, &log), Err(Violation::Refused { revision: 21, .. })));
}

#[test]
fn a_comparison_that_should_have_failed_is_found() {
    let (mut history, log) = good();
    history[5].request = Request::CompareAndPut { key: "k".to_owned(), expected: 3, value: "v5".to_owned() };
    assert!(matches!(judge(&history, &log), Err(Violation::Lost(_))));
    history[5].request = Request::CompareAndPut { key: "k".to_owned(), expected: 6, value: "v5".to_owned() };
    judge(&history, &log).expect("good");
}

#[test]
fn a_comparison_that_failed_and_took_effect_all_the_same_is_found() {
    let (mut history, log) = good();
    let request = Request::CompareAndPut { key: "k".to_owned(), expected: 3, value: "v5".to_owned() };
    history[5] = Operation { request, answer: Answer::Unchanged { revision: 6 }, ..history[5].clone() };
    assert!(matches!(judge(&history, &log), Err(Violation::Refused { revision: 7, .. })));
}

#[test]
fn a_deletion_that_found_nothing_where_something_was_is_found() {
    let (mut history, log) = good();
    let request = Request::Delete { key: "k".to_owned() };
    history.push(Operation {
        client: 1,
        invoked: ms(47),
        returned: ms(48),
        request,
        answer: Answer::Unchanged { revision: 6 },
    });
    assert!(matches!(judge(&history, &log), Err(Violation::Wrong { .. })));
}

/// A delete of `k`, asked for at `at`.
fn delete(at: u64, answer: Answer) -> Operation {
    Operation {
        client: 2,
        invoked: ms(at),
        returned: ms(at + 1),
        request: Request::Delete { key: "k".to_owned() },
        answer,
    }
}

fn deletion(revision: i64) -> Change {
    Change { revision, key: "k".to_owned(), value: None }
}

/// The good history, and behind it, at revisions 22 to 24, a deletion, another put, and the same deletion again.
fn deleted_twice() -> (Vec<Operation>, Vec<Change>) {
    let (mut history, mut log) = good();
    history.push(put(30, Answer::Written { revision: 23 }));
    log.extend([deletion(22), change(23, "v30"), deletion(24)]);
    (history, log)
}

#[test]
fn a_deletion_that_took_effect_twice_is_found() {
    let (mut history, log) = deleted_twice();
    history.push(delete(200, Answer::Written { revision: 22 }));
    // One that found nothing made no deletion.
    history.push(delete(202, Answer::Unchanged { revision: 22 }));
    assert!(matches!(judge(&history, &log), Err(Violation::Invented { revision: 24, .. })));
}

#[test]
fn a_refused_deletion_that_took_effect_is_found() {
    let (mut history, mut log) = good();
    log.push(deletion(22));
    history.push(delete(200, Answer::Refused));
    assert!(matches!(judge(&history, &log), Err(Violation::Invented { revision: 22, .. })));
    history[20].answer = Answer::Unknown;
    judge(&history, &log).expect("that one may have taken effect");
}

#[test]
fn two_deletions_acknowledged_with_one_revision_are_found() {
    let (mut history, mut log) = good();
    log.push(deletion(22));
    history.extend([200, 200].map(|at| delete(at, Answer::Written { revision: 22 })));
    assert!(matches!(judge(&history, &log), Err(Violation::Shared { revision: 22, .. })));
}

#[test]
fn a_deletion_that_shows_before_it_was_asked_for_is_found() {
    let (mut history, mut log) = good();
    log.push(deletion(22));
    history.push(read(300, 22, None));
    history.push(delete(302, Answer::Unknown));
    assert!(matches!(judge(&history, &log), Err(Violation::Future { revision: 22, .. })));
    history[21].invoked = ms(299);
    judge(&history, &log).expect("it may take effect before its client gives up on it");
}

#[test]
fn unknown_deletions_may_take_effect_late_and_in_any_order() {
    let (mut history, log) = deleted_twice();
    history.push(delete(310, Answer::Unknown));
    history.push(delete(200, Answer::Unknown));
    history.push(read(400, 24, None));
    judge(&history, &log).expect("one before the put and one after it");
    history.push(read(306, 24, None));
    assert!(matches!(judge(&history, &log), Err(Violation::Future { revision: 24, .. })));
}

#[test]
fn a_deletion_of_what_is_not_there_is_found() {
    let (mut history, mut log) = good();
    log.extend([deletion(22), deletion(23)]);
    history.extend([22_i64, 23].map(|revision| delete(revision.cast_unsigned() * 10, Answer::Written { revision })));
    assert!(matches!(judge(&history, &log), Err(Violation::Invented { revision: 23, .. })));
}

#[test]
fn a_comparison_that_took_effect_though_it_failed_is_found_when_nobody_knows_its_outcome() {
    let (mut history, log) = good();
    let compare = |expected| Request::CompareAndPut { key: "k".to_owned(), expected, value: "v5".to_owned() };
    history[5] = Operation { request: compare(3), answer: Answer::Unknown, ..history[5].clone() };
    assert!(matches!(judge(&history, &log), Err(Violation::Wrong { .. })));
    history[5].request = compare(6);
    judge(&history, &log).expect("good");
}

#[test]
fn a_value_that_two_ask_for_judges_nothing() {
    let (mut history, log) = good();
    history.push(put(19, Answer::Unknown));
    assert!(matches!(judge(&history, &log), Err(Violation::Evidence(_))));
}

/// A serializable read of client 1.
fn serializable(at: u64, revision: i64, found: &str) -> Operation {
    let request = Request::Get { key: "k".to_owned(), serializable: true };
    Operation { request, ..read(at, revision, Some((found, revision))) }
}

#[test]
fn a_member_that_shows_a_client_less_than_before_is_found() {
    let (mut history, log) = good();
    history.extend([serializable(47, 5, "v3"), serializable(57, 4, "v2")]);
    assert!(matches!(judge(&history, &log), Err(Violation::Back { shown: 5, .. })));
    history[21].client = 3;
    judge(&history, &log).expect("another client asks another member");
}

#[test]
fn a_member_that_may_have_ended_begins_from_what_it_has() {
    let (mut history, log) = good();
    let unanswered = Operation { answer: Answer::Unknown, ..serializable(50, 5, "v3") };
    history.extend([serializable(47, 5, "v3"), unanswered, serializable(57, 4, "v2")]);
    judge(&history, &log).expect("what is not on its disk yet comes from the others");
}

#[test]
fn a_read_that_does_not_show_what_a_serializable_one_has_shown_is_found() {
    let (mut history, mut log) = good();
    // Nobody has heard of the last write, but it has been seen.
    log.push(change(22, "v20"));
    history.push(Operation { returned: ms(900), ..put(20, Answer::Unknown) });
    history.push(serializable(300, 22, "v20"));
    judge(&history, &log).expect("it has begun");
    history.push(read(302, 21, Some(("v19", 21))));
    assert!(matches!(judge(&history, &log), Err(Violation::Stale { floor: 22, .. })));
}

#[test]
fn an_empty_log_judges_nothing() {
    assert!(matches!(judge(&good().0, &[]), Err(Violation::Evidence(_))));
}

#[test]
fn a_history_of_failures_judges_nothing() {
    let (history, log) = good();
    let unknown: Vec<Operation> =
        history.into_iter().map(|operation| Operation { answer: Answer::Unknown, ..operation }).collect();
    assert!(matches!(judge(&unknown, &log), Err(Violation::Evidence(_))));
}
