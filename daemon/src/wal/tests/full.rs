//! The disk has no room left.

use super::bench::*;
use crate::disk::{Fate, SimDisk};
use crate::wal::serve::Pending;
use crate::wal::writer::{Queued, Work};
use crate::wal::*;
use raft::{HardState, Index, IoId, LogId, Persist, Term};
use std::collections::VecDeque;
use std::time::Instant;

fn vote(term: u64) -> Persist {
    Persist { hard_state: Some(HardState { term: Term(term), vote: None }), ..append(Vec::new()) }
}

#[test]
fn room_is_low_before_the_log_is_full_and_comes_back_with_compaction() {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    assert_eq!(bench.wal.look_after().unwrap(), Room::Enough);
    disk.set_budget(Some(disk.used_bytes() + 10_000));
    let mut low = false;
    while !low {
        bench.append(1, 1500).expect("what is on its way still fits when room gets low");
        low = bench.wal.look_after().unwrap() == Room::Low;
    }
    // What had been sent before the news arrived: another spare is there.
    for _ in 0..6 {
        bench.append(1, 1500).unwrap();
    }
    let last = bench.model().last().index;
    bench.perform(vec![WalRequest::Compact { through: last }]).unwrap();
    assert_eq!(bench.wal.look_after().unwrap(), Room::Enough);
    for _ in 0..6 {
        bench.append(1, 1500).unwrap();
    }
    bench.crash(Fate::Lost).unwrap().restart();
}

#[test]
fn a_full_disk_still_takes_votes_and_marks_and_refuses_large_appends() {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    bench.wal.look_after().unwrap();
    // Everything but the ballast is used up.
    disk.set_budget(Some(disk.used_bytes()));
    while bench.wal.look_after().unwrap() == Room::Enough || disk.contents("spare-0000000000000001").is_some() {
        bench.append(1, 3000).unwrap();
    }
    let mut term = 1;
    while disk.contents("ballast").is_some() {
        term += 1;
        bench.persist(vote(term)).expect("the ballast is given up for it");
        assert!(term < 500, "the ballast is never needed");
    }
    bench.persist(vote(term + 1)).unwrap();
    bench.append(1, 0).expect("the first entry of a term is small");
    let last = bench.model().last().index;
    bench.perform(vec![WalRequest::Compact { through: last }]).unwrap();
    assert_eq!(bench.wal.look_after().unwrap(), Room::Enough, "compaction makes room again");
    let mut bench = bench.crash(Fate::Lost).unwrap();
    disk.set_budget(Some(0));
    bench.disk.set_budget(Some(0));
    let error = (0..10).find_map(|_| bench.append(1, 100_000).err()).expect("it does not fit anywhere");
    assert!(matches!(error, WalError::DiskFull), "{error}");
    bench.crash(Fate::Chance(1)).unwrap();
}

#[test]
fn whatever_the_room_nothing_reported_is_lost_and_nothing_is_made_up() {
    let live = |bench: &mut Bench| -> Result<(), WalError> {
        for round in 0..12 {
            bench.append(2, 900)?;
            bench.wal.look_after().ok();
            bench.persist(vote(round + 1))?;
            if round % 5 == 4 {
                let through = Index(bench.model().last().index.0 - 1);
                bench.perform(vec![WalRequest::Compact { through }])?;
            }
        }
        Ok(())
    };
    let disk = SimDisk::new();
    live(&mut Bench::new(&disk).unwrap()).unwrap();
    let (mut refused, mut done) = (0, 0);
    for budget in (0..disk.used_bytes() + 20_000).step_by(509) {
        let disk = SimDisk::new();
        disk.set_budget(Some(budget));
        let Ok(mut bench) = Bench::new(&disk) else {
            disk.set_budget(None);
            open(&disk).unwrap_or_else(|error| panic!("{budget} bytes at first boot: {error}"));
            continue;
        };
        match live(&mut bench) {
            Ok(()) => done += 1,
            Err(WalError::DiskFull) => refused += 1,
            Err(error) => panic!("{budget} bytes: {error}"),
        }
        for fate in [Fate::Kept, Fate::Lost, Fate::Chance(budget)] {
            bench.crash(fate).unwrap_or_else(|error| panic!("{budget} bytes, {error}"));
        }
    }
    assert!(refused > 10 && done > 10, "refused {refused}, done {done}");
}

/// What was reported, in order.
#[derive(Default)]
struct Order(Vec<&'static str>);

impl Listener for Order {
    fn completed(&mut self, completion: Completion) {
        self.0.push(match completion {
            Completion::Persisted { .. } => "persisted",
            Completion::Compacted { .. } => "compacted",
            Completion::Reset { .. } => "reset",
            Completion::Room(_) => "room",
        });
    }

    fn failed(&mut self, error: &WalError) {
        panic!("{error}");
    }
}

/// What is reported when these requests are queued behind a write that waits for room, which comes when `has_room` says so of
/// what is still queued.
fn reported(requests: &[WalRequest], has_room: impl Fn(usize) -> bool) -> Vec<&'static str> {
    let disk = SimDisk::new();
    let mut wal = open(&disk).unwrap().wal;
    let persist =
        |index, bytes| WalRequest::Persist(Persist { io: IoId(index), ..append(vec![entry(index, 1, bytes)]) });
    for index in 1..=400 {
        wal.perform([persist(index, 100)], &mut Order::default()).unwrap();
    }
    disk.set_budget(Some(disk.used_bytes()));
    let queued = |request: WalRequest| Queued { what: Work::Request(request), since: Instant::now() };
    // Larger than the ballast.
    let mut work = VecDeque::from([queued(persist(401, 80_000))]);
    let (mut order, mut waits) = (Order::default(), 0);
    let mut wait = |work: &mut VecDeque<Queued>| {
        waits += 1;
        if waits == 1 {
            work.extend(requests.iter().cloned().map(queued));
        } else if has_room(work.len()) {
            disk.set_budget(None);
        }
        waits < 10
    };
    wal.serve(Pending { work: &mut work, listener: &mut order, wait: &mut wait }).unwrap();
    order.0
}

#[test]
fn a_compaction_goes_before_what_waits_for_room_but_not_before_a_reset() {
    let compact = WalRequest::Compact { through: Index(400) };
    let reset = WalRequest::Reset { start: LogId::new(5, 2000), membership: None };
    assert_eq!(reported(std::slice::from_ref(&compact), |queued| queued == 0), ["compacted", "persisted"]);
    // The log that the reset begins has nothing to cut off.
    assert_eq!(reported(&[reset, compact], |queued| queued == 2), ["persisted", "reset"]);
}
