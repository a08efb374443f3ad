//! Each member's own idea of time: a monotonic clock with its own start and its own rate, and a wall clock that may
//! jump.

use super::queue::Micros;
use super::rng::{MILLION, Rng};
use raft::{Now, Time};

/// The wall time at which every world begins: some day in 2026.
const WALL_START_US: u64 = 1_790_000_000_000_000;
/// Clocks start up to a day in: nothing may rely on a start at zero, or on equal starts.
const OFFSET_MAX: Micros = 86_400 * MILLION;

/// One member's clocks. A new one for each start of the member, for the monotonic clock has no memory.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: Micros,
    /// Microseconds of this clock in a second of true time.
    rate: u64,
    wall_us: u64,
}

impl Clock {
    /// A clock that is wrong by at most `drift` millionths in either direction.
    pub fn new(rng: &mut Rng, drift: u64) -> Self {
        let rate = rng.between(MILLION - drift, MILLION + drift);
        Self { offset: rng.below(OFFSET_MAX), rate, wall_us: WALL_START_US }
    }

    /// Moves the wall clock by up to ten years either way; the monotonic one does not notice.
    pub fn jump(&mut self, rng: &mut Rng) {
        self.wall_us = rng.between(WALL_START_US - 315_360_000 * MILLION, WALL_START_US + 315_360_000 * MILLION);
    }

    /// What it shows at the true time `at`.
    #[must_use]
    pub fn now(&self, at: Micros) -> Now {
        Now { mono: Time(self.offset + self.scale(at)), wall_us: self.wall_us + at }
    }

    /// The first true time at which it shows `local` or more; never, for a moment out of reach.
    #[must_use]
    pub fn when(&self, local: Time) -> Option<Micros> {
        let wait = u128::from(local.0.saturating_sub(self.offset));
        u64::try_from((wait * u128::from(MILLION)).div_ceil(u128::from(self.rate))).ok().filter(|at| *at < u64::MAX / 2)
    }

    fn scale(&self, at: Micros) -> Micros {
        u64::try_from(u128::from(at) * u128::from(self.rate) / u128::from(MILLION)).expect("a run lasts minutes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_passed_at_the_moment_the_clock_names_for_it() {
        let mut rng = Rng::new(3);
        for _ in 0..1000 {
            let clock = Clock::new(&mut rng, 50_000);
            let deadline = Time(clock.now(rng.below(MILLION)).mono.0 + rng.below(MILLION));
            let at = clock.when(deadline).expect("within reach");
            assert!(clock.now(at).mono >= deadline);
            assert!(at == 0 || clock.now(at - 1).mono < deadline);
        }
    }

    #[test]
    fn a_deadline_that_never_comes_has_no_moment() {
        assert_eq!(Clock::new(&mut Rng::new(3), 0).when(Time(u64::MAX)), None);
    }
}
