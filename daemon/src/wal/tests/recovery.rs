//! What opening gives back, and what is said of a log.

use super::bench::*;
use crate::disk::{Fate, SimDisk};
use crate::wal::*;
use raft::{HardState, Index, LogId, MemberId, Persist, Term};

#[test]
fn a_new_log_remembers_nothing() {
    let disk = SimDisk::new();
    let found = open(&disk).unwrap();
    assert!(found.report.created);
    assert_eq!(found.remembered, Remembered::default());
    let again = open(&disk.crash(Fate::Lost)).unwrap();
    assert_eq!((again.remembered, again.report.created), (Remembered::default(), false));
}

#[test]
fn what_is_found_is_counted_and_the_newest_entries_come_along() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    for _ in 0..10 {
        bench.append(2, 160).unwrap();
    }
    let found = open(&bench.disk.crash(Fate::Lost)).unwrap();
    assert_eq!((found.report.segments, found.report.batches, found.report.entries), (1, 11, 20));
    assert!(!found.report.closed);
    let recent: u64 = found.remembered.recent.iter().map(raft::Entry::bytes).sum();
    assert_eq!((found.remembered.recent.len(), recent), (10, 2000));
}

#[test]
fn what_is_committed_rides_on_a_write_and_causes_none() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    bench.append(3, 10).unwrap();
    let before = bench.disk.counts();
    bench.persist(Persist { commit: Index(2), ..Persist::default() }).unwrap();
    assert_eq!(bench.disk.counts(), before);
    for (at, commit) in [(4, 3), (5, 1)] {
        bench.persist(Persist { commit: Index(commit), ..append(vec![entry(at, 1, 10)]) }).unwrap();
    }
    let found = open(&bench.disk.crash(Fate::Lost)).unwrap();
    assert_eq!(found.remembered.commit, Index(3));
}

#[test]
fn a_write_with_nothing_in_it_is_reported_and_costs_nothing() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    let before = bench.disk.counts();
    bench.persist(append(Vec::new())).unwrap();
    assert_eq!(bench.heard.io, Some(raft::IoId(1)));
    assert_eq!(bench.disk.counts(), before);
}

#[test]
fn requests_queued_together_share_one_write_and_one_sync() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    let before = bench.disk.counts();
    let requests = (1..=50).map(|index| WalRequest::Persist(append(vec![entry(index, 1, 20)]))).collect();
    bench.perform(requests).unwrap();
    let after = bench.disk.counts();
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    assert_eq!((bench.heard.groups.len(), bench.heard.groups[0].persists, bench.heard.groups[0].entries), (1, 50, 50));
}

#[test]
fn an_entry_larger_than_a_segment_is_kept() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    bench.append(1, 100).unwrap();
    bench.append(1, 200_000).unwrap();
    bench.append(1, 100).unwrap();
    bench.wal.look_after().unwrap();
    let bench = bench.crash(Fate::Lost).unwrap();
    assert_eq!(bench.restart().model().last(), LogId::new(1, 3));
}

#[test]
fn a_read_stops_before_too_many_bytes_and_gives_one_entry_at_least() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    bench.append(10, 60).unwrap();
    let count =
        |from, through, bytes_max| bench.wal.reader().read(Index(from), Index(through), bytes_max).unwrap().len();
    assert_eq!([count(1, 10, 0), count(1, 10, 104), count(1, 10, 208), count(1, 10, 311)], [1, 1, 2, 2]);
    assert_eq!([count(3, 5, 10_000), count(9, 99, 10_000)], [3, 2]);
    assert!(matches!(bench.wal.reader().read(Index(11), Index(11), 1), Err(ReadError::Absent(Index(11)))));
}

#[test]
fn what_was_overwritten_is_not_read_although_it_stands_in_the_same_batch() {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    bench.append(5, 60).unwrap();
    bench.persist(Persist { truncate_from: Some(Index(3)), ..append(vec![entry(3, 2, 60)]) }).unwrap();
    let entries = bench.wal.reader().read(Index(1), Index(9), u64::MAX).unwrap();
    assert_eq!(entries, [entry(1, 1, 60), entry(2, 1, 60), entry(3, 2, 60)]);
}

#[test]
fn the_dump_names_every_record_and_says_where_it_ends() {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    let hard_state = Some(HardState { term: Term(3), vote: Some(MemberId(7)) });
    bench.persist(Persist { hard_state, ..append(vec![membership(1, 3), entry(2, 3, 10)]) }).unwrap();
    bench.persist(Persist { truncate_from: Some(Index(2)), ..append(vec![entry(2, 4, 0)]) }).unwrap();
    bench.wal.close().unwrap();
    let lines: Vec<String> = dump(&disk).unwrap().collect();
    let text = lines.join("\n");
    let expected = [
        "0000000000000001.wal segment 1 of cluster c1 member 7",
        "    checkpoint start=0@0 last=0@0 term=0 vote=none commit=0 memberships=[] from segment 1",
        "    hard state term=3 vote=m7",
        "    entry 1@3 membership 56 bytes at 1 us",
        "    entry 2@3 command 56 bytes at 2 us",
        "    truncate from=2",
        "    entry 2@4 command 40 bytes at 2 us",
        "    closed",
        "no batch of this segment starts here; nothing sound follows",
    ];
    for line in expected {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
    assert!(disk.flip("0000000000000001.wal", 4096 + 512 + 60, 1));
    let last = dump(&disk).unwrap().last().unwrap();
    assert!(last.contains("0000000000000001.wal +4608 CORRUPT: the batch checksum"), "{last}");
    assert!(last.contains("a sound batch follows at +5120"), "{last}");
}
