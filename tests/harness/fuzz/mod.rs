//! Every decoder that reads bytes of a peer, a client, a disk or a person, under bytes it did not expect.
//!
//! * A case is a sample, encoded by ourselves or found in `tests/fuzz/corpus`, after a few mutations: bits, bytes,
//!   integers at their limits, pieces doubled, lost, moved or taken from another sample. Half of them have their
//!   checksums made good afterwards, so that what lies behind is reached.
//! * A decoder may refuse, and may accept what it can encode again. It must not panic. The number of a case is all it
//!   takes to run it again.

mod mutate;
mod targets;

use crate::sim::rng::Rng;
use crate::tree;
use mutate::mutate;
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A decoder, and what it is fed from.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its folder in the corpus, too.
    pub name: &'static str,
    /// Samples it accepts.
    samples: fn() -> Vec<Vec<u8>>,
    /// Makes checksums and lengths good again.
    mend: fn(&mut [u8]),
    /// Decodes; what it accepts must come through a second time.
    decode: fn(&[u8]) -> Verdict,
}

/// What a decoder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These bytes are not what it reads.
    Refused,
    /// They are.
    Accepted,
}

/// What feeding a target came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Cases.
    pub cases: u64,
    /// Of them, accepted.
    pub accepted: u64,
}

/// A case that made a decoder panic.
#[derive(Debug)]
pub struct Finding {
    /// Its number.
    pub case: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Every target.
#[must_use]
pub fn targets() -> &'static [Target] {
    targets::ALL
}

impl Target {
    /// Samples and corpus.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = (self.samples)();
        seeds.extend(self.corpus());
        seeds
    }

    /// What lies in the corpus, in the order of the names.
    fn corpus(&self) -> Vec<Vec<u8>> {
        let folder: PathBuf = tree::root().join("tests/fuzz/corpus").join(self.name);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().filter_map(|path| fs::read(path).ok()).collect()
    }

    /// The bytes of a case.
    #[must_use]
    pub fn case(&self, seeds: &[Vec<u8>], case: u64) -> Vec<u8> {
        let mut rng = Rng::new(case);
        let mut bytes = rng.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..rng.between(1, 4) {
            mutate(&mut bytes, seeds, &mut rng);
        }
        if rng.coin() {
            (self.mend)(&mut bytes);
        }
        bytes
    }

    /// Decodes some bytes. `None` when it panics.
    #[must_use]
    pub fn feed(&self, bytes: &[u8]) -> Option<Verdict> {
        catch_unwind(|| (self.decode)(bytes)).ok()
    }

    /// Feeds it cases from `from` on, so many and for so long at most.
    ///
    /// # Errors
    /// The first case it panics on.
    pub fn run(&self, from: u64, cases: u64, time: Duration) -> Result<Fed, Finding> {
        let (seeds, began, mut fed) = (self.seeds(), Instant::now(), Fed::default());
        for case in from..from.saturating_add(cases) {
            if began.elapsed() >= time {
                break;
            }
            let bytes = self.case(&seeds, case);
            let Some(verdict) = self.feed(&bytes) else { return Err(Finding { case, bytes }) };
            fed.cases += 1;
            fed.accepted += u64::from(verdict == Verdict::Accepted);
        }
        Ok(fed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of each target in one run of the tests.
    const CASES: u64 = 1500;
    /// Longer than they take.
    const NO_LIMIT: Duration = Duration::from_secs(3600);

    #[test]
    fn no_decoder_panics_whatever_it_is_given() {
        for target in targets() {
            let cases = if target.is_slow() { CASES / 10 } else { CASES };
            let fed = target.run(0, cases, NO_LIMIT).unwrap_or_else(|finding| {
                panic!("{} panics on case {}: {:02x?}", target.name, finding.case, finding.bytes);
            });
            assert_eq!(fed.cases, cases);
            assert!(fed.accepted > 0 && fed.accepted < fed.cases, "{}: {fed:?}", target.name);
        }
    }

    #[test]
    fn every_target_accepts_its_own_samples_and_takes_what_is_in_the_corpus_without_panic() {
        for target in targets() {
            for sample in (target.samples)() {
                assert_eq!(target.feed(&sample), Some(Verdict::Accepted), "{}: {sample:02x?}", target.name);
            }
            for found in target.corpus() {
                assert!(target.feed(&found).is_some(), "{}: {found:02x?}", target.name);
            }
        }
    }

    #[test]
    fn a_case_is_the_same_every_time() {
        for target in targets() {
            let seeds = target.seeds();
            assert!((0..50).all(|case| target.case(&seeds, case) == target.case(&seeds, case)), "{}", target.name);
        }
    }
}
