//! What the state machine has been given: every committed and durable entry, in order, once.

use crate::config::Config;
use crate::entry::Entry;
use crate::input::LogReadFailure;
use crate::log::{Log, Slice};
use crate::output::{LogRead, Output};
use crate::types::{Index, StreamId, Time};
use std::collections::VecDeque;

/// The way of entries into the state machine.
#[derive(Debug)]
pub(crate) struct Applies {
    applied: Index,
    handed: Index,
    /// Slices handed over and not applied yet: where each ends and what it weighs.
    slices: VecDeque<(Index, u64)>,
    bytes: u64,
    read: ColdRead,
    reads: u64,
}

/// Entries older than the cache come from disk, one read at a time.
#[derive(Debug)]
enum ColdRead {
    None,
    Waiting(StreamId),
    /// The disk did not give them; it is asked again at this moment.
    Again(Time),
}

impl Applies {
    pub(crate) fn new(applied: Index) -> Self {
        Self { applied, handed: applied, slices: VecDeque::new(), bytes: 0, read: ColdRead::None, reads: 0 }
    }

    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    /// The state machine has come this far.
    pub(crate) fn on_applied(&mut self, index: Index) {
        self.applied = self.applied.max(index.min(self.handed));
        while let Some((_, bytes)) = self.slices.pop_front_if(|(through, _)| *through <= index) {
            self.bytes -= bytes;
        }
    }

    /// The state machine was replaced by one that covers everything up to `index`.
    pub(crate) fn on_installed(&mut self, index: Index) {
        self.applied = self.applied.max(index);
        if index >= self.handed {
            self.handed = index;
            self.slices.clear();
            self.bytes = 0;
            self.read = ColdRead::None;
        }
    }

    /// Hands over what is ready, as far as `through`, while there is room.
    pub(crate) fn hand_over(&mut self, through: Index, log: &Log, config: &Config, now: Time, out: &mut Output) {
        while self.handed < through && self.bytes < config.applying_bytes_max && self.may_read(now) {
            match log.slice(self.handed.next(), through, config.apply_bytes_max) {
                Slice::Cached(entries) => self.hand(entries, out),
                Slice::Cold => self.ask(through, config, out),
                // The caller cuts the log below what is applied only.
                Slice::Compacted => break,
            }
        }
    }

    fn may_read(&self, now: Time) -> bool {
        match self.read {
            ColdRead::None => true,
            ColdRead::Waiting(_) => false,
            ColdRead::Again(at) => now >= at,
        }
    }

    fn hand(&mut self, entries: Vec<Entry>, out: &mut Output) {
        let bytes = entries.iter().map(Entry::bytes).sum();
        self.handed = entries.last().map_or(self.handed, Entry::index);
        self.slices.push_back((self.handed, bytes));
        self.bytes += bytes;
        if out.apply.is_empty() {
            out.apply = entries;
        } else {
            out.apply.extend(entries);
        }
    }

    fn ask(&mut self, through: Index, config: &Config, out: &mut Output) {
        self.reads += 1;
        let stream = StreamId(self.reads);
        self.read = ColdRead::Waiting(stream);
        let (from, bytes_max) = (self.handed.next(), config.apply_bytes_max);
        out.log_reads.push(LogRead { peer: config.id, stream, from, through, bytes_max });
    }

    /// The disk's answer. Committed entries never change, so what comes back is what was asked for, or nothing.
    pub(crate) fn on_log_read(
        &mut self,
        stream: StreamId,
        result: Result<Vec<Entry>, LogReadFailure>,
        config: &Config,
        now: Time,
        out: &mut Output,
    ) {
        if !matches!(self.read, ColdRead::Waiting(asked) if asked == stream) {
            return;
        }
        match result {
            Ok(entries) if entries.first().map(Entry::index) == Some(self.handed.next()) => {
                self.read = ColdRead::None;
                self.hand(entries, out);
            }
            Ok(_) | Err(_) => self.read = ColdRead::Again(now.after(config.heartbeat)),
        }
    }

    /// When to look again without being told to.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.read {
            ColdRead::Again(at) => Some(at),
            ColdRead::None | ColdRead::Waiting(_) => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn handed(&self) -> Index {
        self.handed
    }
}

#[cfg(test)]
#[path = "applies_tests.rs"]
mod tests;
