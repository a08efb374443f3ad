//! Where two logs part: the seed's bisection between a known match and a possible one, shortened by what the
//! follower says when it refuses.
//!
//! * `lo` is known to match, `hi` may match, nothing above `hi` does; `lo <= hi` always.
//! * The first probes go to `hi`, which the follower's hints pull down a whole term at a time; most searches end
//!   there. If the terms of the two logs alternate, hints save little, so later probes halve what is left, aligned
//!   down to 8 as the seed did.

use crate::log::Log;
use crate::message::Reject;
use crate::types::{Index, LogId};

/// Probes that trust the hints before the search halves.
const HINTED_PROBES: u32 = 3;
/// An interval shorter than twice the alignment is not worth another probe: sending it again costs less.
const SETTLED_ENTRIES: u64 = 16;

/// A search for the match point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    lo: Index,
    hi: Index,
    probes: u32,
    /// `lo` was acknowledged on an earlier connection; one probe there shows that it still holds.
    confirming: bool,
}

impl Search {
    /// Nothing is known above `lo`.
    pub(super) fn open(lo: Index) -> Self {
        Self { lo, hi: Index(u64::MAX), probes: 0, confirming: false }
    }

    /// The follower acknowledged `lo` once.
    pub(super) fn confirm(lo: Index) -> Self {
        Self { confirming: lo > Index::ZERO, ..Self::open(lo) }
    }

    /// Nothing above `hi` can match.
    pub(super) fn at_most(mut self, hi: Index) -> Self {
        self.hi = self.hi.min(hi).max(self.lo);
        self
    }

    pub(super) fn lo(&self) -> Index {
        self.lo
    }

    pub(super) fn hi(&self) -> Index {
        self.hi
    }

    /// What to ask for next: an entry between `lo` and `hi` whose term the leader still knows; none when the log
    /// starts after `hi`.
    pub(super) fn probe(&mut self, log: &Log) -> Option<LogId> {
        let start = log.start().index;
        self.hi = self.hi.min(log.last().index).max(self.lo);
        self.confirming &= self.lo >= start;
        let wanted = if self.confirming {
            self.lo
        } else if !self.halving() {
            self.hi
        } else {
            Index(self.lo.0 + (self.hi.0 - self.lo.0) / 16 * 8)
        };
        if self.hi < start { None } else { log.id_at(wanted.max(start)) }
    }

    /// Whether the search no longer trusts the hints; such a probe is as likely refused as not.
    pub(super) fn halving(&self) -> bool {
        !self.confirming && self.probes >= HINTED_PROBES
    }

    /// The probe has left.
    pub(super) fn probed(&mut self) {
        self.probes = self.probes.saturating_add(1);
    }

    /// The follower has everything up to `matched`, like the leader.
    pub(super) fn raise(&mut self, matched: Index) {
        self.lo = self.lo.max(matched);
        self.hi = self.hi.max(self.lo);
    }

    /// Whether the next append may start after `lo` without looking further.
    pub(super) fn settled(&self) -> bool {
        self.confirming || self.hi.0 - self.lo.0 < SETTLED_ENTRIES
    }

    /// The follower refused. Whatever the hints say, `hi` falls below what was refused, and never below `lo`.
    pub(super) fn refused(&mut self, reject: &Reject, log: &Log) {
        let below = reject.prev.index.prev().min(reject.last.index).min(log.last().index);
        let agreed = match reject.conflict {
            Some((term, first)) => {
                let shared = log.last_not_after(below, term);
                // The leader has nothing of that term, so the follower's whole run of it is wrong.
                if shared.term == term { shared.index } else { shared.index.min(first.prev()) }
            }
            None if reject.last.index < reject.prev.index => log.last_not_after(below, reject.last.term).index,
            None => below,
        };
        self.hi = self.hi.min(below).min(agreed).max(self.lo);
        self.confirming = false;
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
