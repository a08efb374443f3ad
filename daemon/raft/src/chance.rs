//! Chance from a seed (splitmix64): enough to keep members from acting in step.

use std::time::Duration;

/// A source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration in `[base, 2 · base)`.
    pub(crate) fn up_to_twice(&mut self, base: Duration) -> Duration {
        let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX).max(1);
        base + Duration::from_micros(self.next() % micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_the_base_and_twice_the_base_and_differ_between_seeds() {
        let base = Duration::from_millis(1000);
        let draw = |seed| Chance::new(seed).up_to_twice(base);
        assert!((0..1000).all(|seed| draw(seed) >= base && draw(seed) < base * 2));
        assert_ne!(draw(1), draw(2));
    }
}
