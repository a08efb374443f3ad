//! Every decoder that reads bytes of a peer, a client, a disk or a person, under bytes it did not expect.
//!
//! * A case is a sample, encoded by ourselves or found in `tests/fuzz/corpus`, after a few mutations: bits, bytes,
//!   integers at their limits, pieces doubled, lost, moved or taken from another sample. Half of them have their
//!   checksums made good afterwards, so that what lies behind is reached.
//! * A decoder may refuse, and may accept what it can encode again. It must not panic. The number of a case is all it
//!   takes to run it again.
//! * The name of a file in the corpus begins with what the decoder has to say of it: `accepted` or `refused`.

mod mutate;
mod targets;

use crate::sim::rng::Rng;
use crate::tree;
use mutate::mutate;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
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
    /// Decodes; what it accepts must come through a second time.
    decode: fn(&[u8]) -> Verdict,
    /// Makes checksums and lengths good again.
    mend: fn(&mut [u8]),
    /// A case takes a file or a connection.
    pub is_slow: bool,
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

/// As much of the bytes as a person looks at.
const SHOWN_BYTES: usize = 512;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(SHOWN_BYTES)];
        write!(f, "panics on case {}, {} bytes: {}", self.case, self.bytes.len(), shown.escape_ascii())
    }
}

/// Every target.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    targets::GROUPS.iter().copied().flatten()
}

/// Where what is found is kept: a folder for each target.
#[must_use]
pub fn corpus() -> PathBuf {
    tree::root().join("tests/fuzz/corpus")
}

impl Target {
    /// One without checksums that takes microseconds.
    const fn new(name: &'static str, samples: fn() -> Vec<Vec<u8>>, decode: fn(&[u8]) -> Verdict) -> Self {
        Self { name, samples, decode, mend: |_| {}, is_slow: false }
    }

    /// With checksums or lengths that can be made good.
    const fn mended(self, mend: fn(&mut [u8])) -> Self {
        Self { mend, ..self }
    }

    /// Takes a file or a connection for each case.
    const fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    /// Samples and corpus.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = (self.samples)();
        seeds.extend(self.found().into_values());
        seeds
    }

    /// What lies in the corpus, by name.
    fn found(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(corpus().join(self.name)).into_iter().flatten().flatten();
        let named = |file: fs::DirEntry| Some((file.file_name().into_string().ok()?, fs::read(file.path()).ok()?));
        files.filter_map(named).collect()
    }

    /// Keeps the bytes of a finding in the corpus, as what is to be refused. Whoever mends the decoder gives it a name.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, finding: &Finding) -> io::Result<PathBuf> {
        let folder = corpus().join(self.name);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("refused-case-{}", finding.case));
        fs::write(&path, &finding.bytes)?;
        Ok(path)
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
            let cases = if target.is_slow { CASES / 3 } else { CASES };
            let fed = target.run(0, cases, NO_LIMIT).unwrap_or_else(|finding| {
                panic!("{} {finding}", target.name);
            });
            assert_eq!(fed.cases, cases);
            assert!(fed.accepted > 0 && fed.accepted < fed.cases, "{}: {fed:?}", target.name);
        }
    }

    #[test]
    fn every_target_accepts_its_own_samples_and_says_of_the_corpus_what_it_should() {
        let mut wrong = Vec::new();
        for target in targets() {
            for sample in (target.samples)() {
                let said = target.feed(&sample);
                if said != Some(Verdict::Accepted) {
                    wrong.push(format!("{} says {said:?} of its sample {}", target.name, sample.escape_ascii()));
                }
            }
            for (name, bytes) in target.found() {
                let said = target.feed(&bytes);
                if expected(&name).is_none_or(|expected| said != Some(expected)) {
                    wrong.push(format!("{}/{name}: {said:?}", target.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// What the name of a file in the corpus says.
    fn expected(name: &str) -> Option<Verdict> {
        match name.split('-').next() {
            Some("accepted") => Some(Verdict::Accepted),
            Some("refused") => Some(Verdict::Refused),
            _ => None,
        }
    }

    /// With everything compiled in: what reads the operator's objects is not there otherwise.
    #[cfg(feature = "kubernetes")]
    #[test]
    fn every_folder_of_the_corpus_is_that_of_a_target() {
        let folders = fs::read_dir(corpus()).expect("the corpus is in the tree");
        let names = folders.map(|folder| folder.expect("it can be listed").file_name().into_string().expect("a name"));
        let strangers: Vec<String> = names.filter(|name| targets().all(|target| target.name != name)).collect();
        assert!(strangers.is_empty(), "no target has these names: {strangers:?}");
    }

    #[test]
    fn a_case_is_the_same_every_time() {
        for target in targets() {
            let seeds = target.seeds();
            assert!((0..50).all(|case| target.case(&seeds, case) == target.case(&seeds, case)), "{}", target.name);
        }
    }
}
