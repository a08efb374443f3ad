//! The newest entries, in memory, within a budget of bytes.

use crate::entry::Entry;
use crate::types::Index;
use std::collections::VecDeque;

/// A window of consecutive entries that ends at the last one of the log.
#[derive(Debug)]
pub(super) struct Cache {
    entries: VecDeque<Entry>,
    bytes: u64,
    bytes_max: u64,
}

impl Cache {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        self.bytes += entries.iter().map(Entry::bytes).sum::<u64>();
        self.entries.extend(entries);
    }

    /// Drops the oldest entries while the window is over its budget. What is not on disk yet stays: nobody else has it.
    pub(super) fn evict(&mut self, durable: Index) {
        while self.bytes > self.bytes_max && self.entries.front().is_some_and(|entry| entry.index() <= durable) {
            self.pop_front();
        }
    }

    pub(super) fn compact(&mut self, through: Index) {
        while self.entries.front().is_some_and(|entry| entry.index() <= through) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.bytes());
    }

    pub(super) fn truncate(&mut self, from: Index) {
        while self.entries.back().is_some_and(|entry| entry.index() >= from) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.bytes());
        }
    }

    pub(super) fn slice(&self, from: Index, through: Index, bytes_max: u64) -> Option<Vec<Entry>> {
        let front = self.entries.front()?.index();
        let skipped = usize::try_from(from.0.checked_sub(front.0)?).ok()?;
        let wanted = usize::try_from(through.0.saturating_sub(from.0).saturating_add(1)).unwrap_or(usize::MAX);
        let there = self.entries.len().checked_sub(skipped)?.min(wanted);
        let mut bytes = 0;
        let fitting = self
            .entries
            .iter()
            .skip(skipped)
            .take(there)
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += entry.bytes();
                first || bytes <= bytes_max
            })
            .count();
        Some(self.entries.range(skipped..skipped + fitting).cloned().collect())
    }
}
