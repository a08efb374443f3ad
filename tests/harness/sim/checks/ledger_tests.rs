use super::super::assert_refused;
use super::*;
use raft::{EntryKind, IoId, LogId};

const A: MemberId = MemberId(1);

fn entry(term: u64, index: u64, id: u64) -> Entry {
    Entry::new(LogId::new(term, index), EntryKind::Command, 0, &Write::put(id, 0).encode(MemberId(1), 0))
}

fn write(truncate_from: Option<u64>, append: Vec<Entry>) -> Persist {
    Persist { io: IoId(1), truncate_from: truncate_from.map(Index), append, ..Persist::default() }
}

fn log_of(entries: Vec<Entry>) -> LogImage {
    let mut log = LogImage::format(None);
    log.apply(&write(None, entries)).expect("consecutive");
    log
}

/// Two entries, both committed.
fn committed() -> (Ledger, LogImage) {
    let log = log_of(vec![entry(1, 1, 10), entry(1, 2, 11)]);
    let mut ledger = Ledger::default();
    ledger.claim(A, &log, Index(2), None, |_| true).expect("a quorum has it");
    (ledger, log)
}

#[test]
fn a_leader_that_cuts_its_log_or_appends_for_another_term_is_refused() {
    let (ledger, log) = committed();
    let cut = write(Some(3), vec![]);
    assert_refused(ledger.write_begins(A, &log, &cut, Some(Term(1))), "S2");
    ledger.write_begins(A, &log, &cut, None).expect("a follower may");
    assert_refused(ledger.write_begins(A, &log, &write(None, vec![entry(1, 3, 12)]), Some(Term(2))), "S2");
}

#[test]
fn a_committed_entry_that_is_cut_is_refused() {
    let (ledger, log) = committed();
    assert_refused(ledger.write_begins(A, &log, &write(Some(2), vec![]), None), "S6");
}

#[test]
fn equal_entries_after_different_ones_are_refused() {
    let mut ledger = Ledger::default();
    let one = log_of(vec![entry(1, 1, 10), entry(2, 2, 11)]);
    let other = log_of(vec![entry(1, 1, 99), entry(2, 2, 11)]);
    ledger.appended(A, one.at(Index(2)).expect("there")).expect("the first one");
    assert_refused(ledger.appended(A, other.at(Index(2)).expect("there")), "S3");
}

#[test]
fn a_leader_without_a_committed_entry_is_refused() {
    let (ledger, log) = committed();
    let later = Term(9);
    ledger.elected(A, later, &log).expect("complete");
    let short = log_of(vec![entry(1, 1, 10)]);
    assert_refused(ledger.elected(A, later, &short), "S4");
    assert_refused(ledger.elected(A, later, &log_of(vec![entry(1, 1, 10), entry(2, 2, 12)])), "S4");
    ledger.elected(A, Term(1), &short).expect("what is committed later it need not have");
}

#[test]
fn a_commit_that_no_quorum_holds_is_refused() {
    let log = log_of(vec![entry(1, 1, 10)]);
    assert_refused(Ledger::default().claim(A, &log, Index(1), None, |_| false), "S6");
    assert_refused(Ledger::default().claim(A, &log, Index(2), None, |_| true), "S6");
}

#[test]
fn a_commit_of_another_entry_at_the_same_index_is_refused() {
    let (mut ledger, _) = committed();
    let other = log_of(vec![entry(1, 1, 10), entry(2, 2, 12), entry(2, 3, 13)]);
    assert_refused(ledger.claim(A, &other, Index(2), None, |_| true), "S6");
    assert_refused(ledger.claim(A, &other, Index(3), None, |_| true), "S6");
}

#[test]
fn an_inherited_entry_that_a_leader_commits_by_counting_is_refused() {
    let log = log_of(vec![entry(1, 1, 10), entry(3, 2, 11)]);
    assert_refused(Ledger::default().claim(A, &log, Index(1), Some(Term(3)), |_| true), "S6");
    Ledger::default().claim(A, &log, Index(2), Some(Term(3)), |_| true).expect("its own entry, and what is before it");
}

#[test]
fn a_write_committed_twice_is_refused() {
    let (mut ledger, mut log) = committed();
    log.apply(&write(None, vec![entry(1, 3, 10)])).expect("consecutive");
    assert_refused(ledger.claim(A, &log, Index(3), None, |_| true), "S9");
}

#[test]
fn applying_twice_or_out_of_order_or_something_else_is_refused() {
    let (ledger, log) = committed();
    let (first, second) = (log.at(Index(1)).expect("there"), log.at(Index(2)).expect("there"));
    ledger.applied(A, Index(0), first).expect("the first one");
    assert_refused(ledger.applied(A, Index(1), first), "S5");
    assert_refused(ledger.applied(A, Index(0), second), "S5");
    let other = log_of(vec![entry(1, 1, 77)]);
    assert_refused(ledger.applied(A, Index(0), other.last()), "S5");
    let uncommitted = second.then(&entry(1, 3, 12));
    assert_refused(ledger.applied(A, Index(2), uncommitted), "S5");
}

#[test]
fn a_register_is_known_as_it_was_at_every_index() {
    let (ledger, _) = committed();
    assert_eq!([0, 1, 2].map(|at| ledger.cell(0, Index(at)).write), [0, 10, 11]);
    assert_eq!(ledger.cell(3, Index(2)), Cell::default());
}
