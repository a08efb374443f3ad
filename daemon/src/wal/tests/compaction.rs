//! Segments go when nothing needs them any more, and not before.

use super::bench::*;
use crate::disk::{Disk, Fate, SimDisk};
use crate::wal::*;
use raft::{Index, LogId};

/// A log of some segments; two entries of 1.2 KiB in each write.
fn long_log(writes: u64) -> Bench {
    let mut bench = Bench::new(&SimDisk::new()).unwrap();
    for _ in 0..writes {
        bench.append(2, 1150).unwrap();
    }
    bench.wal.look_after().unwrap();
    bench
}

fn files(bench: &Bench, pattern: &str) -> usize {
    bench.disk.list().unwrap().iter().filter(|name| name.contains(pattern)).count()
}

fn compact(bench: &mut Bench, through: u64) -> LogId {
    bench.perform(vec![WalRequest::Compact { through: Index(through) }]).unwrap();
    bench.wal.look_after().unwrap();
    bench.model().start
}

#[test]
fn whole_segments_behind_the_mark_go_and_the_rest_stays_readable() {
    let mut bench = long_log(20);
    let segments = files(&bench, ".wal");
    let start = compact(&mut bench, 25);
    assert!(start.index > Index(10) && start.index <= Index(25), "{start}");
    assert!(files(&bench, ".wal") < segments);
    let reader = bench.wal.reader();
    assert!(matches!(reader.read(start.index, Index(40), 1), Err(ReadError::Compacted(_))));
    assert_eq!(reader.read(start.index.next(), Index(40), u64::MAX).unwrap().len() as u64, 40 - start.index.0);
    assert_eq!(bench.restart().model().start, start);
}

#[test]
fn what_is_in_use_is_never_compacted() {
    let mut bench = long_log(20);
    assert_eq!(compact(&mut bench, 0), LogId::ZERO);
    assert_eq!(compact(&mut bench, 2), LogId::ZERO, "the first segment has later entries too");
    let start = compact(&mut bench, 1000);
    assert!(start.index < Index(40), "the segment being written stays");
    assert_eq!(compact(&mut bench, 1000), start);
    assert_eq!(compact(&mut bench, 1), start, "compaction never goes back");
}

#[test]
fn dropped_segments_become_spares_and_are_written_again() {
    let mut bench = long_log(30);
    assert_eq!(files(&bench, "spare-"), 2);
    compact(&mut bench, 60);
    assert_eq!(files(&bench, "spare-"), 2, "no more than wanted");
    let used = bench.disk.used_bytes();
    for _ in 0..20 {
        for _ in 0..10 {
            bench.append(2, 1150).unwrap();
        }
        let last = bench.model().last().index.0;
        compact(&mut bench, last);
    }
    assert!(bench.disk.used_bytes() <= used + 2 * (16 << 10), "the log does not grow");
    bench.crash(Fate::Lost).unwrap().restart();
}

#[test]
fn a_segment_that_is_being_read_is_not_handed_on() {
    let mut bench = long_log(20);
    let held = bench.wal.reader().pin(Index(1));
    let segments = files(&bench, ".wal");
    compact(&mut bench, 40);
    assert_eq!(files(&bench, ".wal"), segments - (segments - 2), "all but the one read and the one written are gone");
    drop(held);
    bench.wal.look_after().unwrap();
    assert_eq!(files(&bench, ".wal"), 1);
}

#[test]
fn a_reset_drops_everything_and_the_log_goes_on_behind_it() {
    let mut bench = long_log(20);
    let start = LogId::new(5, 900);
    bench.perform(vec![WalRequest::Reset { start, membership: None }]).unwrap();
    bench.wal.look_after().unwrap();
    assert_eq!(files(&bench, ".wal"), 1);
    assert!(matches!(bench.wal.reader().read(Index(900), Index(900), 1), Err(ReadError::Compacted(_))));
    assert!(matches!(bench.wal.reader().read(Index(901), Index(901), 1), Err(ReadError::Absent(_))));
    bench.persist(append(vec![entry(901, 6, 10)])).unwrap();
    assert_eq!(bench.restart().model().last(), LogId::new(6, 901));
}

#[test]
fn a_snapshot_the_log_reaches_drops_nothing() {
    let mut bench = long_log(20);
    for start in [LogId::new(1, 12), LogId::new(1, 40)] {
        let before = bench.disk.counts();
        bench.perform(vec![WalRequest::Reset { start, membership: None }]).unwrap();
        assert_eq!((bench.disk.counts(), bench.model().last()), (before, LogId::new(1, 40)));
    }
    let bench = bench.restart();
    assert_eq!((bench.model().start, bench.model().last()), (LogId::ZERO, LogId::new(1, 40)));
}

#[test]
fn leftovers_of_an_interrupted_compaction_are_taken_up() {
    let mut bench = long_log(20);
    bench.perform(vec![WalRequest::Compact { through: Index(40) }]).unwrap();
    let before = files(&bench, ".wal");
    let mut found = bench.crash(Fate::Kept).unwrap();
    assert_eq!(files(&found, ".wal"), before, "nothing was handed on before the crash");
    found.wal.look_after().unwrap();
    assert_eq!(files(&found, ".wal"), 1);
}

#[test]
fn a_segment_written_over_does_not_come_back_under_its_old_name() {
    // The ballast is there and every spare is used up, so what compaction drops is all there is to write over.
    let life = |cut: Option<u64>| {
        let disk = SimDisk::new();
        let mut bench = Bench::new(&disk).unwrap();
        bench.wal.look_after().unwrap();
        for _ in 0..20 {
            bench.append(2, 1150).unwrap();
        }
        bench.perform(vec![WalRequest::Compact { through: Index(40) }]).unwrap();
        let before = disk.counts().effects;
        if let Some(cut) = cut {
            disk.lose_power_after(before + cut);
        }
        bench.wal.look_after().ok();
        let done = (0..12).try_for_each(|_| bench.append(2, 1150));
        assert!(cut.is_some() || done.is_ok());
        (disk.counts().effects - before, bench)
    };
    let (effects, _) = life(None);
    for cut in 0..effects {
        let (_, bench) = life(Some(cut));
        for seed in 0..12 {
            bench.crash(Fate::Chance(seed)).unwrap_or_else(|error| panic!("effect {cut}, {error}"));
        }
    }
}
