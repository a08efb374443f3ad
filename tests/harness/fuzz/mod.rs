//! Every decoder that reads bytes of a peer, a client, a disk or a person, under bytes it did not expect.
//!
//! * A case is a sample, encoded by ourselves or found in `tests/fuzz/corpus`, after a few mutations: bits, bytes,
//!   integers at their limits, pieces doubled, lost, moved or taken from another sample. Half of them have their
//!   checksums made good afterwards, so that what lies behind is reached.
//! * A decoder may refuse, and may accept what it can encode again. It must not panic, and must take neither long nor much
//!   memory: every input is short. The number of a case is all it takes to run it again.
//! * The name of a file in the corpus begins with what the decoder has to say of it: `accepted` or `refused`.

mod memory;
mod mutate;
mod targets;
mod watch;

pub use memory::Counting;

use crate::sim::rng::Rng;
use crate::tree;
use mutate::mutate;
use quorate::transport::frame::FRAME_BYTES_MAX;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use watch::Watch;

/// What one case may take. The slowest take milliseconds; a busy machine may keep a thread waiting for longer.
const CASE_WITHIN: Duration = Duration::from_secs(2);
/// One that has not come back after this does not: between one and two of these.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// What one case may hold, of an input of 64 KiB at the most: room for the largest frame of a peer is made when its length
/// is known.
const CASE_BYTES_MAX: usize = FRAME_BYTES_MAX + FRAME_BYTES_MAX / 2;

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
    /// What the slowest took.
    pub slowest: Duration,
    /// What the largest held, in a program that counts it.
    pub bytes_most: usize,
}

/// A case that a decoder must not make so much of.
#[derive(Debug)]
pub struct Finding {
    /// Its number.
    pub case: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the decoder does.
    pub fault: Fault,
}

/// What a decoder must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Panic.
    Panics,
    /// Not come back.
    Stuck,
    /// Take so long.
    Slow(Duration),
    /// Hold so many bytes.
    Large(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panics => write!(f, "panics"),
            Self::Stuck => write!(f, "does not come back within {STUCK_AFTER:?}"),
            Self::Slow(took) => write!(f, "takes {took:.1?}"),
            Self::Large(bytes) => write!(f, "holds {} MiB", bytes >> 20),
        }
    }
}

/// What decoding some bytes came to.
struct Decoded {
    /// None when it panicked.
    verdict: Option<Verdict>,
    took: Duration,
    bytes_most: usize,
}

impl Decoded {
    fn fault(&self) -> Option<Fault> {
        match self {
            Self { verdict: None, .. } => Some(Fault::Panics),
            Self { took, .. } if *took > CASE_WITHIN => Some(Fault::Slow(*took)),
            Self { bytes_most, .. } if *bytes_most > CASE_BYTES_MAX => Some(Fault::Large(*bytes_most)),
            Self { .. } => None,
        }
    }
}

impl Fed {
    fn add(&mut self, decoded: &Decoded) {
        self.cases += 1;
        self.accepted += u64::from(decoded.verdict == Some(Verdict::Accepted));
        self.slowest = self.slowest.max(decoded.took);
        self.bytes_most = self.bytes_most.max(decoded.bytes_most);
    }
}

/// As much of the bytes as a person looks at.
const SHOWN_BYTES: usize = 512;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(SHOWN_BYTES)];
        let (fault, case, length) = (self.fault, self.case, self.bytes.len());
        write!(f, "{fault} on case {case}, {length} bytes: {}", shown.escape_ascii())
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

    fn decoded(&self, bytes: &[u8]) -> Decoded {
        let began = Instant::now();
        let (verdict, bytes_most) = memory::most_held(|| catch_unwind(|| (self.decode)(bytes)).ok());
        Decoded { verdict, took: began.elapsed(), bytes_most }
    }

    /// Feeds it cases from `from` on, so many and for so long at most. One that does not come back ends the process.
    ///
    /// # Errors
    /// The first case that it panics on, or makes too much of.
    pub fn run(&self, from: u64, cases: u64, time: Duration) -> Result<Fed, Finding> {
        let (seeds, watch) = (&self.seeds(), &Watch::default());
        thread::scope(|scope| {
            let (_running, ended) = mpsc::channel();
            scope.spawn(move || watch.wait(&ended, STUCK_AFTER, |case| self.give_up(seeds, case)));
            let (began, mut fed) = (Instant::now(), Fed::default());
            for case in (from..from.saturating_add(cases)).take_while(|_| began.elapsed() < time) {
                watch.begin(case);
                let bytes = self.case(seeds, case);
                let decoded = self.decoded(&bytes);
                if let Some(fault) = decoded.fault() {
                    return Err(Finding { case, bytes, fault });
                }
                fed.add(&decoded);
            }
            Ok(fed)
        })
    }

    /// Says which case it is, and ends the process: nothing else ends a thread that does not want to.
    fn give_up(&self, seeds: &[Vec<u8>], case: u64) {
        let finding = Finding { case, bytes: self.case(seeds, case), fault: Fault::Stuck };
        // Not by way of what a test has captured, which nobody sees once it has aborted.
        writeln!(io::stderr(), "{} {finding}", self.name).ok();
        process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    /// Cases of each target in one run of the tests.
    const CASES: u64 = 1500;
    /// Longer than they take.
    const NO_LIMIT: Duration = Duration::from_secs(3600);

    #[test]
    fn no_decoder_panics_or_takes_long_or_much_whatever_it_is_given() {
        for target in targets() {
            let cases = if target.is_slow { CASES / 3 } else { CASES };
            let fed = target.run(0, cases, NO_LIMIT).unwrap_or_else(|finding| {
                panic!("{} {finding}", target.name);
            });
            assert_eq!(fed.cases, cases);
            assert!(fed.accepted > 0 && fed.accepted < fed.cases, "{}: {fed:?}", target.name);
            assert!(fed.bytes_most > 0, "{} holds nothing: is anything counted?", target.name);
        }
    }

    /// One that a byte tells what to do.
    const UNRULY: Target = Target::new(
        "unruly",
        || vec![vec![0; 8]],
        |bytes| {
            match bytes.first() {
                Some(1) => panic!("as it was told"),
                Some(2) => drop(std::hint::black_box(Vec::<u8>::with_capacity(CASE_BYTES_MAX + 1))),
                _ => {}
            }
            Verdict::Accepted
        },
    );

    #[test]
    fn what_a_decoder_must_not_do_is_told() {
        let fault = |byte| UNRULY.decoded(&[byte]).fault();
        assert_eq!((fault(0), fault(1)), (None, Some(Fault::Panics)));
        assert!(matches!(fault(2), Some(Fault::Large(bytes)) if bytes > CASE_BYTES_MAX));
        let late = Decoded { took: CASE_WITHIN + Duration::from_nanos(1), ..UNRULY.decoded(&[0]) };
        assert_eq!(late.fault(), Some(Fault::Slow(late.took)));
        let finding = UNRULY.run(0, 10_000, NO_LIMIT).expect_err("one of so many begins so");
        assert!(matches!(finding.bytes.first(), Some(1 | 2)), "{finding}");
        assert_eq!(finding.bytes, UNRULY.case(&UNRULY.seeds(), finding.case), "its number is all it takes");
    }

    #[test]
    fn every_target_accepts_its_own_samples_and_says_of_the_corpus_what_it_should() {
        let mut wrong = Vec::new();
        for target in targets() {
            for sample in (target.samples)() {
                let said = target.decoded(&sample).verdict;
                if said != Some(Verdict::Accepted) {
                    wrong.push(format!("{} says {said:?} of its sample {}", target.name, sample.escape_ascii()));
                }
            }
            for (name, bytes) in target.found() {
                let said = target.decoded(&bytes).verdict;
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
