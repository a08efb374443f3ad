use super::*;
use crate::entry::EntryKind;
use crate::types::{LogId, MemberId};

fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    range.map(|index| Entry::new(LogId::new(1, index), EntryKind::Command, 0, &[7; 60])).collect()
}

/// A log of ten entries of 104 bytes, of which the last `cached` are in memory.
fn log(cached: u64) -> Log {
    let recent = if cached == 0 { Vec::new() } else { entries(11 - cached..=10) };
    Log::new(LogId::ZERO, vec![(Index(1), crate::types::Term(1))], LogId::new(1, 10), recent, 1 << 20)
}

fn config(apply_bytes_max: u64, applying_bytes_max: u64) -> Config {
    Config { apply_bytes_max, applying_bytes_max, ..Config::new(MemberId(1), 0) }
}

fn indexes(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index().0).collect()
}

#[test]
fn entries_are_handed_over_once_and_wait_while_the_state_machine_is_behind() {
    let (log, config) = (log(10), config(208, 416));
    let mut applies = Applies::new(Index::ZERO);
    let give = |applies: &mut Applies| {
        let mut out = Output::default();
        applies.hand_over(Index(9), &log, &config, Time(0), &mut out);
        indexes(&out.apply)
    };
    assert_eq!(give(&mut applies), [1, 2, 3, 4]);
    assert_eq!(give(&mut applies), []);
    applies.on_applied(Index(2));
    assert_eq!(give(&mut applies), [5, 6]);
    applies.on_applied(Index(6));
    assert_eq!(give(&mut applies), [7, 8, 9]);
    applies.on_applied(Index(9));
    assert_eq!(give(&mut applies), []);
    assert_eq!(applies.applied(), Index(9));
}

#[test]
fn what_is_not_in_memory_is_read_from_disk_and_asked_for_again_after_a_failure() {
    let (log, config) = (log(2), config(1 << 20, 1 << 20));
    let mut applies = Applies::new(Index(3));
    let mut out = Output::default();
    applies.hand_over(Index(10), &log, &config, Time(0), &mut out);
    let read = out.log_reads[0];
    assert_eq!((read.peer, read.from, read.through), (MemberId(1), Index(4), Index(10)));
    applies.hand_over(Index(10), &log, &config, Time(0), &mut out);
    assert_eq!(out.log_reads.len(), 1, "one read at a time");

    applies.on_log_read(read.stream, Err(LogReadFailure::Unreadable), &config, Time(0), &mut out);
    applies.hand_over(Index(10), &log, &config, Time(0), &mut out);
    assert_eq!(out.log_reads.len(), 1, "not at once");
    let again = applies.deadline().expect("it will ask again");
    applies.hand_over(Index(10), &log, &config, again, &mut out);
    let read = out.log_reads[1];

    applies.on_log_read(StreamId(77), Ok(entries(4..=5)), &config, again, &mut out);
    assert_eq!(indexes(&out.apply), [], "an answer to another question");
    applies.on_log_read(read.stream, Ok(entries(4..=8)), &config, again, &mut out);
    applies.hand_over(Index(10), &log, &config, again, &mut out);
    assert_eq!(indexes(&out.apply), [4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_snapshot_moves_both_marks_forward() {
    let mut applies = Applies::new(Index(3));
    applies.on_installed(Index(10));
    assert_eq!((applies.applied(), applies.handed()), (Index(10), Index(10)));
}
