//! Two estimates from what the leader sees itself: how long a round trip takes and how many bytes a follower makes
//! durable in a second.

use crate::types::Time;
use std::time::Duration;

/// The least round trip is the least of this time or of twice this time: an old route is forgotten.
const MIN_KEPT: Duration = Duration::from_secs(10);
/// Acknowledged bytes are gathered this long before they become a rate.
const RATE_SAMPLE: Duration = Duration::from_millis(100);
/// A rate without a single acknowledgement for this long halves each time it passes again.
const RATE_IDLE: Duration = Duration::from_secs(1);

/// A round trip: smoothed as in RFC 6298, and the least one seen lately.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    least: Option<Duration>,
    least_before: Option<Duration>,
    turned_at: Time,
}

impl RoundTrip {
    pub(super) fn sample(&mut self, now: Time, took: Duration) {
        self.smoothed = Some(self.smoothed.map_or(took, |before| (before * 7 + took) / 8));
        if self.least.is_none() || now.since(self.turned_at) >= MIN_KEPT {
            (self.least_before, self.least, self.turned_at) = (self.least, Some(took), now);
        }
        self.least = self.least.map(|least| least.min(took));
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(super) fn least(&self) -> Option<Duration> {
        self.least.into_iter().chain(self.least_before).min()
    }
}

/// Bytes per second, smoothed.
#[derive(Debug, Default)]
pub(super) struct Rate {
    per_second: u64,
    gathered: u64,
    since: Time,
}

impl Rate {
    pub(super) fn add(&mut self, now: Time, bytes: u64) {
        self.fold_idle(now);
        if self.gathered == 0 && self.per_second == 0 && now.since(self.since) >= RATE_IDLE {
            self.since = now;
        }
        self.gathered = self.gathered.saturating_add(bytes);
        let elapsed = now.since(self.since);
        if elapsed >= RATE_SAMPLE {
            let found = per_second(self.gathered, elapsed);
            self.per_second = if self.per_second == 0 { found } else { self.per_second / 4 * 3 + found / 4 };
            (self.gathered, self.since) = (0, now);
        }
    }

    /// The rate now; it fades while nothing is acknowledged.
    pub(super) fn get(&self, now: Time) -> u64 {
        let idle = now.since(self.since).as_secs() / RATE_IDLE.as_secs();
        if self.gathered > 0 { self.per_second } else { faded(self.per_second, idle) }
    }

    fn fold_idle(&mut self, now: Time) {
        let idle = now.since(self.since).as_secs() / RATE_IDLE.as_secs();
        if self.gathered == 0 && idle > 0 {
            (self.per_second, self.since) = (faded(self.per_second, idle), now);
        }
    }
}

fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

fn faded(rate: u64, times: u64) -> u64 {
    rate.checked_shr(u32::try_from(times).unwrap_or(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time(millis * 1000)
    }

    #[test]
    fn the_least_round_trip_forgets_an_old_route() {
        let mut trip = RoundTrip::default();
        trip.sample(at(0), Duration::from_millis(1));
        for second in 1..40 {
            trip.sample(at(second * 1000), Duration::from_millis(20));
        }
        assert_eq!(trip.least(), Some(Duration::from_millis(20)));
    }

    #[test]
    fn the_smoothed_round_trip_follows_slowly() {
        let mut trip = RoundTrip::default();
        trip.sample(at(0), Duration::from_millis(8));
        trip.sample(at(1), Duration::from_millis(16));
        assert_eq!(trip.smoothed(), Some(Duration::from_millis(9)));
        assert_eq!(trip.least(), Some(Duration::from_millis(8)));
    }

    #[test]
    fn a_steady_flow_is_measured_and_fades_when_it_stops() {
        let mut rate = Rate::default();
        for step in 1..=100 {
            rate.add(at(step * 20), 20_000);
        }
        let measured = rate.get(at(2000));
        assert!((900_000..=1_100_000).contains(&measured), "{measured}");
        assert!(rate.get(at(5000)) <= measured / 4);
        assert_eq!(rate.get(at(100_000)), 0);
    }

    #[test]
    fn two_acknowledgements_at_one_moment_do_not_divide_by_zero() {
        let mut rate = Rate::default();
        rate.add(at(0), u64::MAX);
        rate.add(at(0), u64::MAX);
        rate.add(at(200), u64::MAX);
        assert!(rate.get(at(200)) > 0);
    }
}
