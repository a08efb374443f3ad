//! How far behind a follower is: entries, bytes and age, on the leader's clock alone.
//!
//! * One ring for a whole leader's reign, one sample for each appended batch: its last entry, the running sum of
//!   record bytes, and when it was appended. Any number of followers are measured against it.
//! * Entries are always exact for the place asked about. Bytes and age are exact unless flagged; flagged they are
//!   estimates. Whether a follower is known to be at that place is for its stream to say.
//! * The ring is capped. When it is full, neighbours in its older half merge: the later one's place and sum, the
//!   earlier one's time. What was merged, inherited or forgotten is flagged.
//! * An acknowledgement may fall inside a batch. The running sum of each of the newest entries is kept as well, so
//!   bytes are exact there; further back they are interpolated and flagged.

use crate::entry::Entry;
use crate::planted::{Bug, is_planted};
use crate::status::Lag;
use crate::types::{Index, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// Samples: 1.5 MiB, and over a minute of history at a thousand batches a second before anything is merged.
const SAMPLES_MAX: usize = 64 << 10;
/// Entries whose own sum is kept: half a MiB.
const SUMS_MAX: usize = 64 << 10;

/// One appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    last: Index,
    /// Record bytes of everything up to `last`, counted from where the ring starts.
    bytes: u64,
    at: Time,
}

/// The leader's memory of when it appended what.
#[derive(Debug)]
pub(crate) struct LagRing {
    /// The last entry before the ring's first.
    base: Index,
    samples: VecDeque<Sample>,
    /// The running sum at each of the newest entries, the last of them at `samples.back()`.
    sums: VecDeque<u64>,
    /// The age of these entries is an estimate.
    vague_through: Index,
    samples_max: usize,
    sums_max: usize,
}

impl LagRing {
    /// The ring of a new leader whose log ends at `last`. The entries it inherits are dated by the wall clock their
    /// records carry, as far back as `recent`, which is consecutive and ends at `last`.
    pub(crate) fn new<'a>(last: Index, recent: impl IntoIterator<Item = &'a Entry>, now: Time, wall_us: u64) -> Self {
        Self::with_capacity(last, recent, now, wall_us, (SAMPLES_MAX, SUMS_MAX))
    }

    fn with_capacity<'a>(
        last: Index,
        recent: impl IntoIterator<Item = &'a Entry>,
        now: Time,
        wall_us: u64,
        (samples_max, sums_max): (usize, usize),
    ) -> Self {
        let mut recent = recent.into_iter().peekable();
        let base = recent.peek().map_or(last, |entry| entry.index().prev());
        let (samples, sums) = (VecDeque::new(), VecDeque::new());
        let mut ring = Self { base, samples, sums, vague_through: last, samples_max: samples_max.max(4), sums_max };
        for entry in recent {
            let age = Duration::from_micros(wall_us.saturating_sub(entry.wall_us()));
            ring.append(now.before(age), std::slice::from_ref(entry));
        }
        assert_eq!(ring.last(), last, "what is recent ends at the last entry");
        ring
    }

    /// The leader has appended these.
    pub(crate) fn append(&mut self, now: Time, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        debug_assert_eq!(entries.first().map(Entry::index), Some(self.last().next()), "batches are consecutive");
        let mut bytes = self.total();
        for entry in entries {
            bytes += entry.bytes();
            self.sums.push_back(bytes);
        }
        while self.sums.len() > self.sums_max {
            self.sums.pop_front();
        }
        // Batches of one moment are one batch.
        if self.samples.back().is_some_and(|before| before.at == now) {
            self.samples.pop_back();
        } else if self.samples.len() >= self.samples_max {
            self.merge();
        }
        self.samples.push_back(Sample { last: last.index(), bytes, at: now });
    }

    /// Halves the older half of the ring.
    fn merge(&mut self) {
        let newer = self.samples.split_off(self.samples.len() / 4 * 2);
        let older = std::mem::take(&mut self.samples);
        self.vague_through = self.vague_through.max(older.back().map_or(self.base, |sample| sample.last));
        let pairs = older.iter().zip(older.iter().skip(1)).step_by(2);
        self.samples = pairs.map(|(first, second)| Sample { at: first.at, ..*second }).chain(newer).collect();
    }

    /// How far behind somebody is who has everything up to `reached`.
    pub(crate) fn lag(&self, now: Time, reached: Index) -> Lag {
        let last = self.last();
        if reached >= last {
            return Lag::default();
        }
        let (sum, sum_exact) = self.sum_at(reached);
        let (age, age_exact) = self.age_after(now, reached);
        Lag {
            entries: last.0 - reached.0,
            bytes: self.total().saturating_add(self.forgotten(reached)).saturating_sub(sum),
            age,
            approximate: !(sum_exact && age_exact),
        }
    }

    /// The record bytes after `reached`, roughly: what decides who is catching up.
    pub(crate) fn bytes_after(&self, reached: Index) -> u64 {
        self.total().saturating_add(self.forgotten(reached)).saturating_sub(self.sum_at(reached).0)
    }

    fn last(&self) -> Index {
        self.samples.back().map_or(self.base, |sample| sample.last)
    }

    fn total(&self) -> u64 {
        self.samples.back().map_or(0, |sample| sample.bytes)
    }

    /// The bytes between `reached` and where the ring starts, at the mean length of what the ring knows.
    fn forgotten(&self, reached: Index) -> u64 {
        let entries = self.base.0.saturating_sub(reached.0);
        let known = self.last().0 - self.base.0;
        proportion(self.total(), entries, known)
    }

    /// The running sum at an entry, and whether it is exact.
    fn sum_at(&self, index: Index) -> (u64, bool) {
        if index <= self.base {
            return (0, index == self.base);
        }
        let back = usize::try_from(self.last().0.saturating_sub(index.0)).unwrap_or(usize::MAX);
        if let Some(sum) = self.sums.len().checked_sub(back.saturating_add(1)).and_then(|at| self.sums.get(at)) {
            return (*sum, true);
        }
        let at = self.samples.partition_point(|sample| sample.last < index);
        let Some(sample) = self.samples.get(at) else {
            return (self.total(), true);
        };
        let below = at.checked_sub(1).and_then(|at| self.samples.get(at));
        let (low, low_sum) = below.map_or((self.base, 0), |sample| (sample.last, sample.bytes));
        let (high, high_sum) =
            self.oldest_sum().filter(|(oldest, _)| *oldest < sample.last).unwrap_or((sample.last, sample.bytes));
        let within = proportion(high_sum - low_sum, index.0 - low.0, high.0 - low.0);
        (low_sum + within, high == index)
    }

    /// The oldest entry whose own sum is kept.
    fn oldest_sum(&self) -> Option<(Index, u64)> {
        let sum = self.sums.front()?;
        Some((Index(self.last().0 + 1 - self.sums.len() as u64), *sum))
    }

    /// The age of the entry after `reached`, and whether it is exact.
    fn age_after(&self, now: Time, reached: Index) -> (Duration, bool) {
        let newest = self.samples.len().saturating_sub(1);
        let oldest = self.samples.partition_point(|sample| sample.last <= reached);
        let at = if is_planted(Bug::AgeOfNewest) { newest } else { oldest };
        let age = self.samples.get(at).map_or(Duration::ZERO, |sample| now.since(sample.at));
        (age, reached >= self.vague_through)
    }
}

/// `whole · part / parts`, and zero of nothing.
fn proportion(whole: u64, part: u64, parts: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(parts.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "lag_tests.rs"]
mod tests;
