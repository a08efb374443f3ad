use super::*;
use crate::entry::{EntryKind, RECORD_HEADER_BYTES};
use crate::types::LogId;
use proptest::prelude::*;

fn entry(index: u64, wall_us: u64, bytes: u64) -> Entry {
    let payload = vec![0; (bytes as usize).saturating_sub(RECORD_HEADER_BYTES)];
    Entry::new(LogId::new(1, index), EntryKind::Command, wall_us, &payload)
}

/// Every entry with its length and the moment it was appended: what the ring summarises.
#[derive(Default)]
struct Oracle(Vec<(u64, Time)>);

impl Oracle {
    fn lag(&self, now: Time, reached: u64) -> Lag {
        let missing = self.0.get(reached as usize..).unwrap_or_default();
        Lag {
            entries: missing.len() as u64,
            bytes: missing.iter().map(|(bytes, _)| bytes).sum(),
            age: missing.first().map_or(Duration::ZERO, |(_, at)| now.since(*at)),
            approximate: false,
        }
    }
}

fn grow(ring: &mut LagRing, oracle: &mut Oracle, now: Time, sizes: &[u64]) {
    let from = oracle.0.len() as u64 + 1;
    let batch = (from..).zip(sizes).map(|(index, bytes)| entry(index, 0, *bytes)).collect::<Vec<_>>();
    ring.append(now, &batch);
    oracle.0.extend(batch.iter().map(|entry| (entry.bytes(), now)));
}

fn batches() -> impl Strategy<Value = Vec<(u64, Vec<u64>)>> {
    prop::collection::vec((0..5000u64, prop::collection::vec(40..400u64, 1..12)), 1..120)
}

proptest! {
    #[test]
    fn lag_is_what_a_full_record_would_say(batches in batches(), samples in 4..64usize, sums in 0..64usize, later in 0..9999u64) {
        let mut ring = LagRing::with_capacity(Index::ZERO, &[], Time(0), 0, (samples, sums));
        let (mut oracle, mut now) = (Oracle::default(), Time(1));
        for (pause, sizes) in &batches {
            now = Time(now.0 + pause);
            grow(&mut ring, &mut oracle, now, sizes);
        }
        now = Time(now.0 + later);
        let total = oracle.0.len() as u64;
        for reached in 0..=total + 2 {
            let (found, truth) = (ring.lag(now, Index(reached)), oracle.lag(now, reached));
            prop_assert_eq!(found.entries, truth.entries);
            if !found.approximate {
                prop_assert_eq!(found, truth);
            }
            // An estimate errs within the batches that were merged, and never makes a follower look younger.
            prop_assert!(found.age >= truth.age);
            prop_assert!(found.bytes <= oracle.lag(now, 0).bytes);
        }
        prop_assert!(ring.samples.len() <= samples.max(4) && ring.sums.len() <= sums);
    }

    #[test]
    fn nothing_is_an_estimate_while_the_ring_is_large_enough(batches in batches()) {
        let mut ring = LagRing::new(Index::ZERO, &[], Time(0), 0);
        let (mut oracle, mut now) = (Oracle::default(), Time(0));
        for (pause, sizes) in &batches {
            now = Time(now.0 + pause);
            grow(&mut ring, &mut oracle, now, sizes);
        }
        for reached in 0..=oracle.0.len() as u64 {
            prop_assert_eq!(ring.lag(now, Index(reached)), oracle.lag(now, reached));
            prop_assert_eq!(ring.bytes_after(Index(reached)), oracle.lag(now, reached).bytes);
        }
    }

    #[test]
    fn an_estimate_of_bytes_grows_with_the_distance(batches in batches(), base in 0..1000u64) {
        let mut ring = LagRing::with_capacity(Index(base), &[], Time(0), 0, (8, 4));
        let mut next = base + 1;
        for (pause, sizes) in &batches {
            let batch = (next..).zip(sizes).map(|(index, bytes)| entry(index, 0, *bytes)).collect::<Vec<_>>();
            next += batch.len() as u64;
            ring.append(Time(*pause), &batch);
        }
        for reached in 0..next {
            prop_assert!(ring.bytes_after(Index(reached)) >= ring.bytes_after(Index(reached + 1)));
        }
    }
}

#[test]
fn a_follower_that_has_everything_has_no_lag() {
    let ring = LagRing::new(Index(7), &[], Time(5), 0);
    assert_eq!(ring.lag(Time(9), Index(7)), Lag::default());
    assert_eq!(ring.lag(Time(9), Index(9)), Lag::default());
}

#[test]
fn inherited_entries_are_dated_by_the_wall_clock_and_flagged() {
    let recent = [entry(8, 1_000_000, 100), entry(9, 1_000_000, 100), entry(10, 4_000_000, 100)];
    let mut ring = LagRing::new(Index(10), &recent, Time(60_000_000), 5_000_000);
    ring.append(Time(61_000_000), &[entry(11, 0, 200)]);
    let now = Time(62_000_000);
    let seconds = |reached| ring.lag(now, Index(reached)).age.as_secs();
    assert_eq!((seconds(7), seconds(8), seconds(9), seconds(10)), (6, 6, 3, 1));
    assert!(ring.lag(now, Index(9)).approximate);
    assert_eq!(
        ring.lag(now, Index(10)),
        Lag { entries: 1, bytes: 200, age: Duration::from_secs(1), approximate: false }
    );
    assert_eq!(ring.lag(now, Index(8)).bytes, 408);
}

#[test]
fn entries_from_before_the_ring_are_counted_exactly_and_weighed_by_the_mean() {
    let mut ring = LagRing::new(Index(100), &[], Time(0), 0);
    ring.append(Time(1), &[entry(101, 0, 200), entry(102, 0, 400)]);
    let lag = ring.lag(Time(1_000_001), Index(90));
    assert_eq!((lag.entries, lag.bytes, lag.age, lag.approximate), (12, 600 + 3000, Duration::from_secs(1), true));
}

#[test]
fn a_wall_clock_that_stepped_back_gives_no_negative_age() {
    let ring = LagRing::new(Index(1), &[entry(1, 9_000_000, 100)], Time(5), 1_000_000);
    assert_eq!(ring.lag(Time(5), Index(0)).age, Duration::ZERO);
}
