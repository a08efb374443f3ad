//! The judge on histories with compactions, known to be good and known to be bad.

use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn operation(client: usize, at: u64, request: Request, answer: Answer) -> Operation {
    Operation { client, invoked: ms(at), returned: ms(at + 2), request, answer }
}

/// Asked for at `at`, of a client of its own.
fn compact(at: u64, revision: i64, answer: Answer) -> Operation {
    operation(9, at, Request::Compact { revision }, answer)
}

/// Of client 1.
fn read_at(at: u64, revision: i64, answer: Answer) -> Operation {
    operation(1, at, Request::GetAt { key: "k".to_owned(), at: revision, serializable: false }, answer)
}

/// The same, of a member that may be behind.
fn serializable_at(at: u64, revision: i64, answer: Answer) -> Operation {
    operation(1, at, Request::GetAt { key: "k".to_owned(), at: revision, serializable: true }, answer)
}

/// What the good history has at `of`, at the header's revision `at`.
fn shown(of: i64, at: i64) -> Answer {
    Answer::Read { revision: at, found: Some((format!("v{of}"), of)) }
}

/// Twenty puts, one after the other, which write `v2` to `v21`: revision `r` is made within 5 ms from 10 `r` ms on.
fn good() -> (Vec<Operation>, Vec<Change>) {
    let put = |revision: i64| {
        let request = Request::Put { key: "k".to_owned(), value: format!("v{revision}") };
        let invoked = ms(revision.cast_unsigned() * 10);
        let answer = Answer::Written { revision };
        Operation { client: 0, invoked, returned: invoked + ms(5), request, answer }
    };
    let change = |revision: i64| Change { revision, key: "k".to_owned(), value: Some(format!("v{revision}")) };
    ((2..22).map(put).collect(), (2..22).map(change).collect())
}

fn judged(more: impl IntoIterator<Item = Operation>) -> Result<Report, Violation> {
    let (mut history, log) = good();
    history.extend(more);
    judge(&history, &log)
}

fn uncompacted(more: impl IntoIterator<Item = Operation>) {
    let judged = judged(more);
    assert!(matches!(judged, Err(Violation::Uncompacted { .. })), "{judged:?}");
}

fn stale(more: impl IntoIterator<Item = Operation>) {
    let judged = judged(more);
    assert!(matches!(judged, Err(Violation::Stale { .. })), "{judged:?}");
}

fn wrong(more: impl IntoIterator<Item = Operation>) {
    let judged = judged(more);
    assert!(matches!(judged, Err(Violation::Wrong { .. })), "{judged:?}");
}

const UNCHANGED_10: Answer = Answer::Unchanged { revision: 10 };

#[test]
fn what_is_compacted_is_refused_and_the_rest_is_shown() {
    let report = judged([
        read_at(104, 3, shown(3, 10)),
        compact(106, 5, UNCHANGED_10),
        read_at(115, 4, Answer::Compacted),
        read_at(117, 5, shown(5, 11)),
        read_at(119, 13, Answer::Ahead),
    ]);
    let report = report.expect("good");
    assert_eq!((report.reads, report.compacted, report.compactions), (4, 1, 1));
}

#[test]
fn a_state_of_the_past_is_that_of_its_revision() {
    wrong([read_at(106, 3, shown(4, 10))]);
    wrong([read_at(106, 12, shown(10, 10))]);
}

#[test]
fn a_compacted_state_that_is_shown_is_found() {
    uncompacted([compact(106, 5, UNCHANGED_10), read_at(115, 4, shown(4, 11))]);
    // While the compaction goes on either may be.
    judged([compact(106, 5, UNCHANGED_10), read_at(107, 4, shown(4, 10))]).expect("before");
    judged([compact(106, 5, UNCHANGED_10), read_at(107, 4, Answer::Compacted)]).expect("behind");
}

#[test]
fn a_compacted_state_is_shown_by_no_member_that_has_what_came_later() {
    let compaction = || compact(106, 5, UNCHANGED_10);
    judged([compaction(), serializable_at(125, 4, shown(4, 10))]).expect("a member that is behind");
    uncompacted([compaction(), serializable_at(125, 4, shown(4, 11))]);
}

#[test]
fn what_nobody_has_compacted_is_not_refused() {
    wrong([read_at(106, 4, Answer::Compacted)]);
    wrong([read_at(106, 4, Answer::Compacted), compact(115, 5, Answer::Unchanged { revision: 11 })]);
    wrong([compact(106, 5, UNCHANGED_10), read_at(115, 5, Answer::Compacted)]);
    wrong([compact(106, 5, Answer::Refused), read_at(115, 4, Answer::Compacted)]);
}

#[test]
fn a_compaction_that_nobody_has_heard_of_may_have_happened_or_not() {
    let unknown = || compact(106, 5, Answer::Unknown);
    judged([unknown(), read_at(115, 4, shown(4, 11))]).expect("not yet");
    judged([unknown(), read_at(115, 4, Answer::Compacted)]).expect("it has");
    judged([unknown(), read_at(115, 4, shown(4, 11)), read_at(125, 4, Answer::Compacted)]).expect("late");
}

#[test]
fn a_compaction_is_not_taken_back() {
    let unknown = || compact(106, 5, Answer::Unknown);
    uncompacted([unknown(), read_at(115, 4, Answer::Compacted), read_at(118, 4, shown(4, 11))]);
    // A read that goes on for long may have come first, but not if it shows what was written after the refusal.
    let long = |at| Operation { invoked: ms(107), ..read_at(135, 4, shown(4, at)) };
    let other = || Operation { client: 2, ..read_at(115, 4, Answer::Compacted) };
    judged([unknown(), other(), long(11)]).expect("it may have come first");
    assert!(matches!(judged([unknown(), other(), long(12)]), Err(Violation::Future { revision: 12, .. })));
}

#[test]
fn what_was_refused_stands_behind_the_compaction_and_what_it_stands_behind() {
    // It was asked for when revision 10 had been made.
    let unknown = || compact(106, 5, Answer::Unknown);
    judged([unknown(), read_at(108, 4, Answer::Compacted)]).expect("good");
    // A compaction up to a revision needs the revision.
    let early = |at| [compact(106, 11, Answer::Unknown), read_at(at, 4, Answer::Compacted)];
    judged(early(112)).expect("revision 11 has begun by then");
    assert!(matches!(judged(early(107)), Err(Violation::Future { revision: 11, .. })));
}

#[test]
fn a_revision_that_has_been_made_is_not_still_to_come() {
    stale([read_at(106, 10, Answer::Ahead)]);
    judged([read_at(106, 11, Answer::Ahead)]).expect("not yet");
    judged([read_at(109, 11, Answer::Ahead)]).expect("it is being made");
    stale([compact(106, 10, Answer::Ahead)]);
    judged([compact(106, 11, Answer::Ahead)]).expect("not yet");
}

#[test]
fn a_compaction_of_what_is_still_to_come_is_found() {
    wrong([compact(106, 11, UNCHANGED_10)]);
    stale([compact(106, 5, Answer::Unchanged { revision: 9 })]);
}

#[test]
fn a_member_that_takes_a_refusal_back_is_found() {
    let compaction = || compact(106, 5, UNCHANGED_10);
    let refused = || serializable_at(115, 4, Answer::Compacted);
    uncompacted([compaction(), refused(), serializable_at(125, 4, shown(4, 10))]);
    let unanswered = serializable_at(120, 4, Answer::Unknown);
    judged([compaction(), refused(), unanswered, serializable_at(125, 4, shown(4, 10))]).expect("it began anew");
    let back = judged([serializable_at(115, 10, shown(10, 11)), serializable_at(125, 11, Answer::Ahead)]);
    assert!(matches!(back, Err(Violation::Back { shown: 11, .. })), "{back:?}");
}

#[test]
fn a_member_that_has_waited_for_a_compaction_keeps_to_it() {
    // A read that is not serializable waits for whatever had returned.
    let waited = read_at(109, 10, shown(10, 10));
    let later = || serializable_at(125, 4, shown(4, 10));
    uncompacted([compact(106, 5, UNCHANGED_10), waited.clone(), later()]);
    let refused = Operation { answer: Answer::Refused, ..waited };
    judged([compact(106, 5, UNCHANGED_10), refused, later()]).expect("one that refuses has waited for nothing");
}

#[test]
fn compactions_that_do_not_ascend_judge_nothing() {
    let unchanged = |revision| Answer::Unchanged { revision };
    for second in [compact(107, 6, unchanged(10)), compact(115, 5, unchanged(11)), compact(115, 4, unchanged(11))] {
        assert!(matches!(judged([compact(106, 5, UNCHANGED_10), second]), Err(Violation::Evidence(_))));
    }
    judged([compact(106, 5, UNCHANGED_10), compact(115, 6, unchanged(11))]).expect("good");
    wrong([compact(106, 5, UNCHANGED_10), compact(115, 6, Answer::Compacted)]);
}
