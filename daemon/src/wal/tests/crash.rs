//! Power is lost after each effect there is, and what the disk may then hold is opened.

use super::bench::*;
use crate::disk::{Fate, SimDisk};
use crate::wal::*;
use raft::{HardState, Index, LogId, MemberId, Persist, Term};

/// Outcomes tried for each crash, besides all kept and all lost.
const CHANCES: u64 = 6;

fn fates(salt: u64) -> impl Iterator<Item = Fate> {
    let chances = (0..CHANCES).map(move |n| Fate::Chance(salt * 1000 + n));
    [Fate::Kept, Fate::Lost].into_iter().chain(chances)
}

/// A life: first boot, votes, appends through several segments, a truncation, compaction with recycled files, a
/// snapshot. Ends early when the disk does.
fn live(bench: &mut Bench) -> Result<(), WalError> {
    bench.perform(vec![WalRequest::Reset {
        start: LogId::ZERO,
        membership: Some((Index(0), bytes::Bytes::from_static(b"founders"))),
    }])?;
    bench.persist(Persist {
        hard_state: Some(HardState { term: Term(1), vote: Some(MemberId(7)) }),
        ..append(vec![entry(1, 1, 0), membership(2, 1)])
    })?;
    for _ in 0..9 {
        bench.append(3, 700)?;
        bench.wal.look_after().ok();
    }
    let last = bench.model().last().index.0;
    bench.perform(vec![
        WalRequest::Persist(append(vec![entry(last + 1, 1, 100)])),
        WalRequest::Persist(Persist {
            hard_state: Some(HardState { term: Term(2), vote: None }),
            truncate_from: Some(Index(last - 1)),
            commit: Index(last - 2),
            ..append(vec![entry(last - 1, 2, 300), membership(last, 2)])
        }),
        WalRequest::Persist(append(vec![entry(last + 1, 2, 5000)])),
    ])?;
    bench.perform(vec![WalRequest::Compact { through: Index(last - 2) }])?;
    bench.wal.look_after().ok();
    for _ in 0..16 {
        bench.append(2, 1200)?;
        bench.wal.look_after().ok();
    }
    let last = bench.model().last();
    bench.perform(vec![WalRequest::Compact { through: last.index }])?;
    bench.wal.look_after().ok();
    bench.append(1, 20)?;
    let start = LogId { term: Term(3), index: Index(last.index.0 + 500) };
    bench.perform(vec![WalRequest::Reset {
        start,
        membership: Some((Index(40), bytes::Bytes::from_static(b"others"))),
    }])?;
    bench.wal.look_after().ok();
    bench.persist(append(vec![entry(start.index.0 + 1, 3, 10)]))
}

fn effects_of_a_life() -> u64 {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    live(&mut bench).unwrap();
    disk.counts().effects
}

/// A life that ends after so many effects; none if it ended before the log was open.
fn life_cut_after(effects: u64) -> (SimDisk, Option<Bench>) {
    let disk = SimDisk::new();
    disk.lose_power_after(effects);
    let bench = Bench::new(&disk).ok().map(|mut bench| {
        live(&mut bench).ok();
        bench
    });
    (disk, bench)
}

/// Also right after the log was made, where etcd fell over its own empty one (TOB-ETCD-013).
#[test]
fn whatever_a_crash_leaves_is_what_was_reported_or_what_was_on_its_way() {
    let effects = effects_of_a_life();
    assert!(effects > 150, "the life is eventful enough: {effects}");
    for cut in 0..effects {
        let (disk, bench) = life_cut_after(cut);
        for fate in fates(cut) {
            let Some(bench) = &bench else {
                open(&disk.crash(fate)).unwrap_or_else(|error| panic!("first boot, effect {cut}, {fate:?}: {error}"));
                continue;
            };
            bench.crash(fate).unwrap_or_else(|error| panic!("effect {cut}, {error}"));
        }
    }
}

#[test]
fn a_log_that_was_recovered_goes_on_and_survives_the_next_crash() {
    for cut in (0..effects_of_a_life()).step_by(3) {
        let Some(bench) = life_cut_after(cut).1 else { continue };
        for fate in [Fate::Kept, Fate::Lost, Fate::Chance(cut), Fate::Chance(cut + 1000)] {
            let mut second = bench.crash(fate).unwrap();
            second.append(2, 600).unwrap();
            second.append(1, 0).unwrap();
            for fate in [Fate::Lost, Fate::Chance(cut)] {
                let third = second.crash(fate).unwrap_or_else(|error| panic!("effect {cut}, then {error}"));
                third.restart();
            }
        }
    }
}

#[test]
fn what_is_written_after_a_kill_survives_the_loss_of_power() {
    for cut in 0..effects_of_a_life() {
        let Some(bench) = life_cut_after(cut).1 else { continue };
        let mut second = bench.kill().unwrap_or_else(|error| panic!("killed at effect {cut}: {error}"));
        second.append(1, 10).unwrap();
        for fate in [Fate::Lost, Fate::Chance(cut)] {
            second.crash(fate).unwrap_or_else(|error| panic!("killed at effect {cut}, then {error}"));
        }
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    for cut in (0..effects_of_a_life()).step_by(2) {
        let Some(bench) = life_cut_after(cut).1 else { continue };
        for second_cut in 0..4 {
            let image = bench.disk.crash(Fate::Chance(cut));
            image.lose_power_after(second_cut);
            open(&image).ok();
            for fate in fates(cut).take(5) {
                open(&image.crash(fate))
                    .unwrap_or_else(|error| panic!("effect {cut}, {second_cut}, {fate:?}: {error}"));
            }
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_reported_and_nothing_is_tried_again() {
    let disk = SimDisk::new();
    live(&mut Bench::new(&disk).unwrap()).unwrap();
    for number in 1..=disk.counts().syncs {
        let disk = SimDisk::new();
        disk.fail_sync(number);
        let Ok(mut bench) = Bench::new(&disk) else { continue };
        let Err(error) = live(&mut bench) else { continue };
        assert!(matches!(error, WalError::Io { .. }), "sync {number}: {error}");
        let (before, heard) = (disk.counts(), bench.heard.io);
        assert!(matches!(bench.append(1, 1), Err(WalError::Poisoned)));
        assert_eq!((disk.counts(), bench.heard.io), (before, heard), "sync {number}");
        for fate in fates(number) {
            bench.crash(fate).unwrap_or_else(|error| panic!("sync {number}, {error}"));
        }
    }
}

#[test]
fn a_process_that_starts_again_after_a_failed_sync_does_not_believe_memory() {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    bench.append(1, 100).unwrap();
    disk.fail_sync(disk.counts().syncs + 1);
    bench.append(1, 100).unwrap_err();
    // The machine is up: memory still shows the second entry, which never reached the disk.
    let found = open(&disk).unwrap();
    assert_eq!(found.remembered.last, LogId::new(1, 1));
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_stays_cut() {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    bench.append(2, 300).unwrap();
    let whole = disk.contents("0000000000000001.wal").unwrap();
    let before = disk.crash(Fate::Lost);
    bench.append(3, 200).unwrap();
    let after = disk.contents("0000000000000001.wal").unwrap();
    let (from, through) = (differing(&whole, &after).next().unwrap(), differing(&whole, &after).last().unwrap());
    for torn_at in from..=through {
        let image = before.crash(Fate::Kept);
        let file = crate::disk::Disk::open(&image, "0000000000000001.wal").unwrap();
        let part = &after[from..torn_at];
        file.write_at(from as u64, &[std::io::IoSlice::new(part)]).unwrap();
        file.sync().unwrap();
        let found = open(&image).unwrap();
        assert_eq!(found.remembered.last, LogId::new(1, 2), "torn at {torn_at}");
        let again = open(&image).unwrap();
        assert_eq!((again.remembered.last, again.report.cut), (LogId::new(1, 2), None), "torn at {torn_at}");
    }
}

fn differing<'a>(one: &'a [u8], other: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    (0..other.len()).filter(|&at| one.get(at) != other.get(at))
}
