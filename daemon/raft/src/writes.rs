//! What goes to disk, in order, and what may not leave before it is there.
//!
//! * A step stages at most one write: hard state, truncation, entries, in this order. Writes complete in order.
//! * Each write in flight remembers the last entry the log ends with once it is durable. A truncation cuts those
//!   marks too, so a late completion never vouches for an entry that was rewritten meanwhile (the ABA race).
//! * Replies stand on the hard state: they are withheld while a term or vote is on its way to disk.

use crate::entry::Entry;
use crate::message::Envelope;
use crate::output::{Output, Persist};
use crate::planted::{Bug, is_planted};
use crate::types::{HardState, Index, IoId, LogId};
use std::collections::VecDeque;

/// Replies that wait for one disk write. Peers ask again, so more than a few rounds' worth is dropped, oldest first.
const WITHHELD_MAX: usize = 1024;

/// The writes of one member.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    issued: IoId,
    completed: IoId,
    /// The write that carries the newest hard state.
    hard_state_io: IoId,
    staged_hard_state: Option<HardState>,
    staged_truncate: Option<Index>,
    staged_append: Vec<Entry>,
    in_flight: VecDeque<InFlight>,
    undurable_bytes: u64,
    withheld: VecDeque<(IoId, Envelope)>,
}

#[derive(Debug)]
struct InFlight {
    io: IoId,
    /// The last entry of the log once this write is durable.
    last: LogId,
    bytes: u64,
}

impl Writes {
    fn next_io(&self) -> IoId {
        IoId(self.issued.0 + 1)
    }

    pub(crate) fn stage_hard_state(&mut self, state: HardState) {
        if is_planted(Bug::TermNotWritten) && state.vote.is_none() {
            return;
        }
        self.staged_hard_state = Some(state);
        self.hard_state_io = self.next_io();
    }

    /// The write that carries the newest hard state; it is durable once that is completed.
    pub(crate) fn hard_state_io(&self) -> IoId {
        self.hard_state_io
    }

    pub(crate) fn is_durable(&self, io: IoId) -> bool {
        io <= self.completed
    }

    /// The log now ends at `last`: nothing in flight vouches for more.
    pub(crate) fn stage_truncate(&mut self, from: Index, last: LogId) {
        self.staged_append.retain(|entry| entry.index() < from);
        self.staged_truncate = Some(self.staged_truncate.map_or(from, |earlier| earlier.min(from)));
        for write in self.in_flight.iter_mut().filter(|write| write.last.index > last.index) {
            write.last = last;
        }
    }

    pub(crate) fn stage_append(&mut self, entries: &[Entry]) {
        self.staged_append.extend_from_slice(entries);
    }

    /// Bytes of entries on their way to disk.
    pub(crate) fn undurable_bytes(&self) -> u64 {
        self.undurable_bytes
    }

    /// A reply: at once, or when the hard state it stands on is durable.
    pub(crate) fn send_after_hard_state(&mut self, envelope: Envelope, out: &mut Output) {
        if self.is_durable(self.hard_state_io) || is_planted(Bug::VoteBeforeSync) {
            out.send.push(envelope);
            return;
        }
        if self.withheld.len() >= WITHHELD_MAX {
            self.withheld.pop_front();
        }
        self.withheld.push_back((self.hard_state_io, envelope));
    }

    /// Turns what this step has staged into one write. `last` is where the log ends now.
    pub(crate) fn issue(&mut self, last: LogId, commit: Index) -> Option<Persist> {
        let hard_state = self.staged_hard_state.take();
        let truncate_from = self.staged_truncate.take();
        let append = std::mem::take(&mut self.staged_append);
        if hard_state.is_none() && truncate_from.is_none() && append.is_empty() {
            return None;
        }
        let bytes = append.iter().map(Entry::bytes).sum();
        self.issued = self.next_io();
        self.undurable_bytes += bytes;
        self.in_flight.push_back(InFlight { io: self.issued, last, bytes });
        Some(Persist { io: self.issued, hard_state, truncate_from, append, commit })
    }

    /// Every write up to `io` is durable: releases what waited and tells where the durable log ends.
    pub(crate) fn complete(&mut self, io: IoId, out: &mut Output) -> Option<LogId> {
        let io = io.min(self.issued);
        self.completed = self.completed.max(io);
        let mut durable = None;
        while let Some(write) = self.in_flight.pop_front_if(|write| write.io <= io) {
            self.undurable_bytes -= write.bytes;
            durable = Some(write.last);
        }
        while let Some((_, envelope)) = self.withheld.pop_front_if(|(waits_for, _)| *waits_for <= io) {
            out.send.push(envelope);
        }
        durable
    }

    /// A snapshot has replaced the log: what is in flight vouches for nothing.
    pub(crate) fn log_replaced(&mut self, last: LogId) {
        self.staged_append.clear();
        self.staged_truncate = None;
        self.in_flight.iter_mut().for_each(|write| write.last = last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::EntryKind;

    fn entries(term: u64, range: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        range.map(|index| Entry::new(LogId::new(term, index), EntryKind::Command, 0, b"x")).collect()
    }

    #[test]
    fn a_late_completion_does_not_vouch_for_a_rewritten_entry() {
        let mut writes = Writes::default();
        writes.stage_append(&entries(1, 1..=3));
        let old = writes.issue(LogId::new(1, 3), Index::ZERO).expect("staged").io;
        writes.stage_truncate(Index(2), LogId::new(1, 1));
        writes.stage_append(&entries(2, 2..=3));
        let new = writes.issue(LogId::new(2, 3), Index::ZERO).expect("staged").io;
        assert_eq!(writes.complete(old, &mut Output::default()), Some(LogId::new(1, 1)));
        assert_eq!(writes.complete(new, &mut Output::default()), Some(LogId::new(2, 3)));
        assert_eq!(writes.undurable_bytes(), 0);
    }

    #[test]
    fn a_step_that_staged_nothing_writes_nothing() {
        assert_eq!(Writes::default().issue(LogId::ZERO, Index(3)), None);
    }
}
