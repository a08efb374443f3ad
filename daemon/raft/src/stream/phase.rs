//! What a stream is doing, each phase with what only it needs, so that leaving a phase leaves nothing stale behind.

use super::inflights::Inflights;
use super::search::Search;
use crate::entry::Entry;
use crate::output::StateReason;
use crate::status::StreamState;
use crate::types::{Index, LogId, Time};
use std::collections::VecDeque;

/// The phase of a stream.
#[derive(Debug)]
pub(super) enum Phase {
    /// The match point is unknown: one small append at a time.
    Probe {
        search: Search,
        /// The probe that is not answered yet.
        awaiting: Option<Awaiting>,
    },
    /// The match point is known: appends follow each other without waiting, up to the window.
    Replicate(Replicate),
    /// The log starts after anything the follower can match; only what the follower reports ends this.
    Snapshot {
        /// When the snapshot was last offered on this connection.
        offered_at: Option<Time>,
    },
}

/// A probe on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaiting {
    pub(super) prev: LogId,
    pub(super) sent_at: Time,
}

/// The pipelined phase.
#[derive(Debug)]
pub(super) struct Replicate {
    /// The next entry to send. Optimistic: what was sent counts as received until the follower refuses or is silent.
    pub(super) next: Index,
    pub(super) in_flight: Inflights,
    /// The last acknowledgement, or the first append after an idle time: from here silence is measured.
    pub(super) progress_at: Time,
    pub(super) cold: Cold,
    /// A heartbeat came back while appends are stuck: ask once what the follower has (etcd #14633).
    pub(super) nudge: bool,
    /// Since when the follower lacks news of the commit index.
    pub(super) commit_since: Option<Time>,
    /// Until then the recovery budget keeps the next append back.
    pub(super) paced_until: Option<Time>,
}

/// Entries that are no longer in memory, on their way from disk.
#[derive(Debug)]
pub(super) enum Cold {
    /// Not needed.
    Idle,
    /// Asked for, up to this many bytes.
    Reading { from: Index, bytes: u64 },
    /// Here, consecutive, not sent yet.
    Ready { entries: VecDeque<Entry>, bytes: u64 },
}

impl Replicate {
    pub(super) fn from(next: Index, now: Time) -> Self {
        Self {
            next,
            in_flight: Inflights::default(),
            progress_at: now,
            cold: Cold::Idle,
            nudge: false,
            commit_since: None,
            paced_until: None,
        }
    }
}

impl Cold {
    /// Bytes in memory, or about to be.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Reading { bytes, .. } | Self::Ready { bytes, .. } => *bytes,
        }
    }

    /// Takes entries from `next` on, as many as `bytes_max` allows but one at least. Entries that are not the ones
    /// that follow are dropped.
    pub(super) fn take(&mut self, next: Index, bytes_max: u64) -> Option<Vec<Entry>> {
        let Self::Ready { entries, bytes } = self else {
            return None;
        };
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        if entries.front().is_some_and(|entry| entry.index() == next) {
            while let Some(entry) =
                entries.pop_front_if(|entry| taken.is_empty() || taken_bytes + entry.bytes() <= bytes_max)
            {
                taken_bytes += entry.bytes();
                taken.push(entry);
            }
        }
        *bytes -= taken_bytes;
        if taken.is_empty() || entries.is_empty() {
            *self = Self::Idle;
        }
        (!taken.is_empty()).then_some(taken)
    }
}

impl Phase {
    /// Its name.
    pub(super) fn state(&self) -> StreamState {
        match self {
            Self::Probe { .. } => StreamState::Probe,
            Self::Replicate(_) => StreamState::Replicate,
            Self::Snapshot { .. } => StreamState::Snapshot,
        }
    }

    pub(super) fn probe(search: Search) -> Self {
        Self::Probe { search, awaiting: None }
    }
}

impl StateReason {
    /// Those for which a stream falls back, and which it counts.
    pub const RESETS: [Self; 6] =
        [Self::Rejected, Self::Disconnected, Self::Stalled, Self::LogCompacted, Self::LogUnreadable, Self::Regressed];

    pub(super) fn is_reset(self) -> bool {
        Self::RESETS.contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::EntryKind;

    fn ready(indexes: std::ops::RangeInclusive<u64>) -> Cold {
        let entries: VecDeque<_> =
            indexes.map(|index| Entry::new(LogId::new(1, index), EntryKind::Command, 0, &[0; 60])).collect();
        let bytes = entries.iter().map(Entry::bytes).sum();
        Cold::Ready { entries, bytes }
    }

    #[test]
    fn what_was_read_is_taken_in_bounded_slices_and_counted_down() {
        let mut cold = ready(3..=7);
        assert_eq!(cold.take(Index(3), 250).map(|taken| taken.len()), Some(2));
        assert_eq!(cold.bytes(), 3 * 104);
        assert_eq!(cold.take(Index(5), 1).map(|taken| taken.len()), Some(1));
        assert_eq!(cold.take(Index(6), u64::MAX).map(|taken| taken.len()), Some(2));
        assert!(matches!(cold, Cold::Idle));
        assert_eq!((cold.bytes(), cold.take(Index(8), 100)), (0, None));
    }

    #[test]
    fn what_was_read_and_does_not_follow_is_dropped() {
        for next in [1, 2, 4, 9] {
            let mut cold = ready(3..=7);
            assert_eq!(cold.take(Index(next), u64::MAX), None);
            assert!(matches!(cold, Cold::Idle));
        }
    }
}
