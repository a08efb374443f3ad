//! What happened, one line for each thing, and a hash of it. The hash is always kept; lines are written only where
//! somebody reads them, because writing them costs more than the run.

use super::queue::Micros;
use super::rng::mix;
use std::collections::VecDeque;

/// What becomes of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// They are not written.
    None,
    /// The latest ones are kept.
    Latest(usize),
    /// They are printed as they come.
    Print,
}

/// A trace.
#[derive(Debug)]
pub struct Trace {
    lines: Lines,
    kept: VecDeque<String>,
    hash: u64,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new(lines: Lines) -> Self {
        Self { lines, kept: VecDeque::new(), hash: 0 }
    }

    /// Something happened: a number for the hash, words for people.
    pub fn note(&mut self, at: Micros, number: u64, words: impl FnOnce() -> String) {
        self.hash = mix(self.hash ^ at.rotate_left(20) ^ number);
        match self.lines {
            Lines::None => {}
            Lines::Print => println!("{}", line(at, &words())),
            Lines::Latest(most) => {
                if self.kept.len() >= most {
                    self.kept.pop_front();
                }
                self.kept.push_back(line(at, &words()));
            }
        }
    }

    /// Whether anybody reads the words.
    #[must_use]
    pub fn is_read(&self) -> bool {
        !matches!(self.lines, Lines::None)
    }

    /// The hash of everything noted.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines that were kept.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.kept.into()
    }
}

fn line(at: Micros, words: &str) -> String {
    format!("{:>3}.{:06} {words}", at / 1_000_000, at % 1_000_000)
}
