//! The log as the core and the streams see it: where it starts and ends, the term of every entry, and the newest
//! entries themselves.
//!
//! * Terms are kept as runs, so the term of any retained index is known without touching the disk.
//! * The cache is one window that ends at the last entry. Its front leaves when it is over its budget and durable;
//!   a slow reader pins nothing and reads from disk instead.
//! * `durable` always names an entry of this very log: a truncation takes it back with it, so a write that
//!   completes late cannot vouch for an entry that replaced the one it wrote.

mod cache;
mod terms;

use crate::entry::Entry;
use crate::types::{Index, LogId, Term};
use cache::Cache;
use terms::Terms;

/// The log of one member.
#[derive(Debug)]
pub(crate) struct Log {
    /// The last entry that is gone.
    start: LogId,
    terms: Terms,
    last: LogId,
    durable: LogId,
    cache: Cache,
}

/// What the log can say about a range of entries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slice {
    /// Here they are: at least one, in order.
    Cached(Vec<Entry>),
    /// They are on disk only.
    Cold,
    /// The first of them is gone from the disk as well.
    Compacted,
}

impl Log {
    pub(crate) fn new(
        start: LogId,
        terms: Vec<(Index, Term)>,
        last: LogId,
        recent: Vec<Entry>,
        cache_bytes_max: u64,
    ) -> Self {
        assert!(last.index >= start.index, "a log does not end before it starts");
        let mut log = Self { start, terms: Terms::new(terms), last, durable: last, cache: Cache::new(cache_bytes_max) };
        assert_eq!(log.term_at(last.index), Some(last.term), "the runs of terms reach the last entry");
        if recent.last().is_some_and(|entry| entry.id() == last) {
            log.cache.push(recent);
            log.cache.evict(log.durable.index);
        }
        log
    }

    /// The last entry that is gone.
    pub(crate) fn start(&self) -> LogId {
        self.start
    }

    /// The first entry there is, or would be.
    pub(crate) fn first(&self) -> Index {
        self.start.index.next()
    }

    pub(crate) fn last(&self) -> LogId {
        self.last
    }

    /// The last entry that is on this member's disk.
    pub(crate) fn durable(&self) -> LogId {
        self.durable
    }

    /// The term of the entry at `index`: known from the last one that is gone to the last one there is.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.start.index {
            return Some(self.start.term);
        }
        if index < self.start.index || index > self.last.index {
            return None;
        }
        self.terms.at(index)
    }

    /// The id of the entry at `index`.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        self.term_at(index).map(|term| LogId { term, index })
    }

    /// Whether this very entry is in the log, or was before it was cut.
    pub(crate) fn contains(&self, id: LogId) -> bool {
        // What is gone was committed and applied, so every leader's log has it too (openraft #511).
        id.index < self.start.index || self.term_at(id.index) == Some(id.term)
    }

    /// The term held at `index` and the first index of that term in this log.
    pub(crate) fn run_at(&self, index: Index) -> Option<(Term, Index)> {
        let term = self.term_at(index)?;
        Some((term, self.terms.first_of_run(index).unwrap_or(index)))
    }

    /// The last entry not after `index` whose term is not greater than `term`: where two logs may agree at most,
    /// if the other one holds `term` at `index`.
    pub(crate) fn last_not_after(&self, index: Index, term: Term) -> LogId {
        let mut at = index.min(self.last.index);
        while let Some((found, first)) = self.run_at(at) {
            if found <= term || at <= self.start.index {
                return LogId { term: found, index: at };
            }
            at = first.prev();
        }
        self.start
    }

    /// Entries from `from` to `through`, as many as `bytes_max` allows but one at least.
    pub(crate) fn slice(&self, from: Index, through: Index, bytes_max: u64) -> Slice {
        if from <= self.start.index {
            return Slice::Compacted;
        }
        match self.cache.slice(from, through, bytes_max) {
            Some(entries) if !entries.is_empty() => Slice::Cached(entries),
            _ => Slice::Cold,
        }
    }

    /// The newest entries, in order, ending at the last one; none after a restart or a snapshot.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Entry> {
        self.cache.iter()
    }

    /// Adds entries that follow the last one.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            assert_eq!(entry.index(), self.last.index.next(), "the log is contiguous");
            assert!(entry.term() >= self.last.term, "terms only grow along the log");
            if entry.term() > self.last.term || self.last.index == self.start.index {
                self.terms.push(entry.index(), entry.term());
            }
            self.last = entry.id();
        }
        self.cache.push(entries);
        self.cache.evict(self.durable.index);
    }

    /// Removes every entry from `from` on.
    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from > self.start.index, "what is gone cannot be removed again");
        let last = self.id_at(from.prev()).expect("the entry before a retained one has a known term");
        self.terms.truncate(from);
        self.cache.truncate(from);
        self.last = last;
        if self.durable.index > last.index {
            self.durable = last;
        }
    }

    /// The disk holds this entry and everything before it.
    pub(crate) fn set_durable(&mut self, id: LogId) {
        debug_assert!(self.contains(id), "what became durable is in the log");
        if id.index > self.durable.index {
            self.durable = id;
            self.cache.evict(id.index);
        }
    }

    /// The disk has dropped everything up to `through`.
    pub(crate) fn compact(&mut self, through: LogId) {
        if through.index <= self.start.index || !self.contains(through) {
            return;
        }
        self.terms.compact(through.index);
        self.cache.compact(through.index);
        self.start = through;
    }

    /// A snapshot has replaced the log: nothing is left of it, and it goes on after `last`.
    pub(crate) fn reset(&mut self, last: LogId) {
        self.terms = Terms::new(Vec::new());
        self.cache.truncate(Index::ZERO);
        (self.start, self.last, self.durable) = (last, last, last);
    }

    #[cfg(test)]
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cache.bytes()
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
