//! How long to wait before trying again: exponential, with jitter, so that many streams that failed together do not
//! return together. One owner, cleared by the first success (openraft #1723: a backoff nobody cleared).

use std::time::Duration;

/// The shortest wait: longer than a round trip in one region, too short for a person to notice.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest wait: a peer that returns is found within this time.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The waits of one stream.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    chance: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, chance: seed }
    }

    /// The wait after one more failure: anything between the shortest wait and a ceiling that doubles each time.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let ceiling = WAIT_MIN.saturating_mul(1 << self.failures.min(16)).min(WAIT_MAX);
        let span = u64::try_from((ceiling - WAIT_MIN).as_micros()).expect("five seconds fit");
        WAIT_MIN + Duration::from_micros(self.roll() % (span + 1))
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The next number of splitmix64.
    fn roll(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_never_leave_their_bounds() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            assert!(backoff.next() <= WAIT_MIN * 2);
            for _ in 0..100 {
                assert!((WAIT_MIN..=WAIT_MAX).contains(&backoff.next()));
            }
        }
        let mut backoff = Backoff::new(1);
        assert!((0..100).any(|_| backoff.next() > WAIT_MAX / 2));
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new(7);
        for _ in 0..20 {
            backoff.next();
        }
        backoff.succeeded();
        assert!(backoff.next() <= WAIT_MIN * 2);
    }

    #[test]
    fn two_seeds_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_eq!(waits(3), waits(3));
        assert_ne!(waits(3), waits(4));
    }
}
