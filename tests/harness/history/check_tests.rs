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
