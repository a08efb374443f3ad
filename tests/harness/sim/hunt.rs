//! How soon the campaign finds a bug that was planted: the proof that its checks can fail.

use super::campaign::{Plan, Setting, campaign};
use super::checks::Violation;
use raft::planted::Bug;
use std::time::Duration;

/// Where the hunts for one bug begin: far apart, so that no two see the same seed.
const HUNTS_APART: u64 = 1_000_000;

/// What became of one hunt.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Seeds that ran, the one that found it included.
    pub seeds: u64,
    /// The seed that found it.
    pub seed: u64,
    /// By which rule.
    pub failure: Violation,
}

/// Hunts a bug, over so many seeds at most; `nth` chooses other seeds each time.
#[must_use]
pub fn hunt(bug: Bug, nth: u64, seeds: u64, threads: usize, time: Duration) -> Option<Kill> {
    let from = nth * HUNTS_APART;
    let setting = Setting { bug: Some(bug), ..Setting::default() };
    let plan = Plan { from, seeds, seeds_min: 0, time, threads, keep_going: false, setting, hears: |_| {} };
    let (_, failures) = campaign(&plan);
    let (seed, failure) = failures.into_iter().next()?;
    Some(Kill { seeds: seed - from + 1, seed, failure })
}

/// The middle one of these, the lower of two.
#[must_use]
pub fn median(mut counts: Vec<u64>) -> Option<u64> {
    counts.sort_unstable();
    counts.get(counts.len().checked_sub(1)? / 2).copied()
}
