//! The term of every entry, as runs of equal terms: a log of millions of entries has a handful of them.

use crate::types::{Index, Term};
use std::collections::VecDeque;

/// The first index of each term, ascending in both.
#[derive(Debug)]
pub(super) struct Terms(VecDeque<(Index, Term)>);

impl Terms {
    pub(super) fn new(runs: Vec<(Index, Term)>) -> Self {
        assert!(runs.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "runs ascend in index and term");
        Self(runs.into())
    }

    /// How many runs start at or before `index`. Nearly always it is in the last one.
    fn runs_through(&self, index: Index) -> usize {
        match self.0.back() {
            Some((first, _)) if *first <= index => self.0.len(),
            _ => self.0.partition_point(|(first, _)| *first <= index),
        }
    }

    fn run(&self, index: Index) -> Option<(Index, Term)> {
        let at = self.runs_through(index).checked_sub(1)?;
        self.0.get(at).copied()
    }

    pub(super) fn at(&self, index: Index) -> Option<Term> {
        self.run(index).map(|(_, term)| term)
    }

    pub(super) fn first_of_run(&self, index: Index) -> Option<Index> {
        self.run(index).map(|(first, _)| first)
    }

    pub(super) fn push(&mut self, index: Index, term: Term) {
        if self.0.back().is_none_or(|(_, last)| *last != term) {
            self.0.push_back((index, term));
        }
    }

    pub(super) fn truncate(&mut self, from: Index) {
        let kept = self.0.partition_point(|(first, _)| *first < from);
        self.0.truncate(kept);
    }

    /// Drops what is needed for entries up to `through` only.
    pub(super) fn compact(&mut self, through: Index) {
        while self.0.get(1).is_some_and(|(first, _)| *first <= through.next()) {
            self.0.pop_front();
        }
        if let Some((first, _)) = self.0.front_mut() {
            *first = (*first).max(through.next());
        }
    }
}
