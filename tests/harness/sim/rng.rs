//! Chance from a seed: xoshiro256++ (Blackman, Vigna), seeded by splitmix64. Integer arithmetic only, so that a
//! seed means the same history on every machine.

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

/// One in a million, the unit of every probability in here.
pub const MILLION: u64 = 1_000_000;

impl Rng {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        Self { state: std::array::from_fn(|_| splitmix(&mut at)) }
    }

    /// A stream of its own, so that what one part of the world draws does not shift what another one sees.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.bits())
    }

    /// Sixty-four random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`; zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a product of two u64")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True with this many millionths.
    pub fn chance(&mut self, millionths: u64) -> bool {
        self.below(MILLION) < millionths
    }

    /// A fair coin.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }

    /// An exponentially distributed number with this mean, cut at twenty times the mean.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // -log2 of a uniform number in (0, 1), in 1/65536: whole bits from the leading zeros, the rest by a
        // parabola through the next sixteen bits, right to a hundredth of a bit.
        let bits = self.bits() | 1;
        let zeros = u64::from(bits.leading_zeros());
        let fraction = ((bits << zeros) >> 47) & 0xffff;
        let bend = (((fraction * (0x1_0000 - fraction)) >> 16) * 22_500) >> 16;
        let log2 = (zeros << 16) + 0x1_0000 - fraction - bend;
        let wide = (u128::from(mean) * u128::from(log2) * 45_426) >> 32; // ln 2 = 45426 / 65536
        u64::try_from(wide).unwrap_or(u64::MAX).min(mean.saturating_mul(20))
    }

    /// One of these, none when there are none.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        among.get(usize::try_from(self.below(among.len() as u64)).expect("below a length"))
    }

    /// The place of one of these, zero when there are none.
    pub fn pick_index<T>(&mut self, among: &[T]) -> usize {
        usize::try_from(self.below(among.len() as u64)).expect("below a length")
    }

    /// Puts these in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, usize::try_from(self.below(at as u64 + 1)).expect("below a length"));
        }
    }
}

fn splitmix(at: &mut u64) -> u64 {
    *at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*at)
}

/// Spreads every bit of `value` over the whole result.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_bounds_and_reach_both_ends() {
        let mut rng = Rng::new(7);
        let seen: std::collections::BTreeSet<u64> = (0..1000).map(|_| rng.between(3, 6)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn an_exponential_draw_has_the_mean_and_the_spread_it_was_asked_for() {
        let mut rng = Rng::new(11);
        let draws: Vec<u64> = (0..100_000).map(|_| rng.exponential(10_000)).collect();
        let mean = draws.iter().sum::<u64>() / 100_000;
        assert!((9_800..10_200).contains(&mean), "mean {mean}");
        let above = draws.iter().filter(|draw| **draw > 10_000).count();
        assert!((35_700..37_900).contains(&above), "{above} of 100000 above the mean, 1/e expected");
    }

    #[test]
    fn one_seed_gives_one_stream_and_another_seed_another() {
        let draw = |seed| (0..8).map(|_| 0).scan(Rng::new(seed), |rng, _: u64| Some(rng.bits())).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
