use super::*;
use raft::IoId;

fn entry(term: u64, index: u64) -> Entry {
    Entry::new(LogId::new(term, index), EntryKind::Command, 0, &index.to_le_bytes())
}

fn write(truncate_from: Option<u64>, append: Vec<Entry>) -> Persist {
    Persist { io: IoId(1), truncate_from: truncate_from.map(Index), append, ..Persist::default() }
}

fn log_of(entries: Vec<Entry>) -> LogImage {
    let mut log = LogImage::format(None);
    log.apply(&write(None, entries)).expect("consecutive");
    log
}

#[test]
fn logs_with_the_same_entries_hash_alike_however_they_came_to_them() {
    let straight = log_of(vec![entry(1, 1), entry(2, 2), entry(2, 3)]);
    let mut detour = log_of(vec![entry(1, 1), entry(1, 2)]);
    assert_ne!(straight.at(Index(2)), detour.at(Index(2)));
    detour.apply(&write(Some(2), vec![entry(2, 2), entry(2, 3)])).expect("consecutive");
    assert_eq!(straight.last(), detour.last());
    detour.compact(Index(2));
    assert_eq!(straight.last(), detour.last());
}

#[test]
fn a_gap_and_a_cut_below_the_base_are_refused() {
    let mut log = log_of(vec![entry(1, 1), entry(1, 2)]);
    assert!(log.apply(&write(None, vec![entry(1, 4)])).is_err());
    log.compact(Index(2));
    assert!(log.apply(&write(Some(2), vec![])).is_err());
}

#[test]
fn a_snapshot_leaves_a_log_that_contains_it_and_replaces_any_other() {
    let membership = (Index::ZERO, Arc::new(Membership::default()));
    let mut agrees = log_of(vec![entry(1, 1), entry(1, 2), entry(1, 3)]);
    agrees.install(agrees.at(Index(2)).expect("retained"), membership.clone());
    assert_eq!((agrees.base.last, agrees.last().last), (LogId::ZERO, LogId::new(1, 3)));
    let mut differs = log_of(vec![entry(1, 1), entry(1, 2), entry(1, 3)]);
    differs.install(Base { last: LogId::new(2, 2), hash: 9, bytes: 9 }, membership);
    assert_eq!(differs.last().last, LogId::new(2, 2));
}
