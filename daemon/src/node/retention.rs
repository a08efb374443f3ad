//! How much of the log is kept: what must be, what should be, and what nobody can ask for any more.
//!
//! ```text
//!   start ──────────────┬────────────────────┬───────────────┬──────────────▶ last
//!      may go           │ kept for followers │ kept in any   │ not flushed
//!                       │ or a staged        │ case: the tail│ by the store yet
//!                       │ snapshot           │               │
//!                     anchor               tail           flushed
//! ```
//!
//! * The log is never cut past what the store has flushed: replay after a crash starts there.
//! * The tail is the last `catchup_entries` of that, or fewer where they take more than `tail_bytes`.
//! * A leader keeps more for followers that are behind: from what the slowest of them needs next, as far as that takes
//!   no more than `anchor_bytes` and the follower was heard within `anchor_time`. While a follower fetches a snapshot
//!   nothing is cut within the same bounds, so that the log still connects to whatever it installs.
//! * A member with an object store keeps what follows the newest snapshot there, whoever leads: a snapshot that no log
//!   connects to helps nobody. It keeps no more for it than the snapshot itself is large, or the tail may be, and no more
//!   than `anchor_bytes`; beyond that another member's snapshot is less to send, and the log is cut as if there were none.
//! * A cut is asked for when it is worth one: `entries` can go, or the log is over its bounds. The log drops whole
//!   segments, so somewhat more stays.
//!
//! The decision is made each time the store has flushed, which is every two seconds at least.

use crate::config::Snapshot;
use raft::planted::{Bug, is_planted};
use raft::{FollowerStatus, Index, StreamState, Time};
use std::time::Duration;

/// What decides about one cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The store survives a crash with everything up to here.
    pub(super) flushed: Index,
    /// The first entry the log has.
    pub(super) first: Index,
    /// The followers of this leader; none when it does not lead.
    pub(super) followers: &'a [FollowerStatus],
    /// How long this leader leads: a follower that was never heard has been silent for no longer than that.
    pub(super) leading_for: Duration,
    /// The newest snapshot in the object store that this member uses; none without either.
    pub(super) staged: Option<Staged>,
}

/// A snapshot that the log should connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    /// The last entry in it.
    pub(super) index: Index,
    /// What its chunks take, in bytes.
    pub(super) bytes: u64,
}

/// The rules, and since when this member leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    rules: Snapshot,
    leading_since: Option<Time>,
    /// What the last decision held back for followers, for the metrics.
    pub(super) held: u64,
    /// And what more for the newest snapshot in object storage.
    pub(super) held_for_staged: u64,
}

impl Retention {
    pub(super) fn new(rules: Snapshot) -> Self {
        Self { rules, leading_since: None, held: 0, held_for_staged: 0 }
    }

    /// How long this member has led, given whether it does.
    pub(super) fn leading_for(&mut self, leads: bool, now: Time) -> Duration {
        self.leading_since = leads.then(|| self.leading_since.unwrap_or(now));
        self.leading_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The last entry that may go, if a cut is worth it; `tail` says which entry begins the newest so many bytes.
    pub(super) fn decide(&mut self, view: View<'_>, tail: impl Fn(u64) -> Index) -> Option<Index> {
        let rules = &self.rules;
        let after_flushed = view.flushed.next();
        let wanted = Index(after_flushed.0.saturating_sub(rules.catchup_entries).max(1));
        let tail_from = wanted.max(tail(rules.tail_bytes)).min(after_flushed);
        let anchor_from = view.followers.iter().filter_map(|follower| self.anchor(&view, follower)).min();
        let anchor_from = anchor_from.map_or(tail_from, |from| from.max(tail(rules.anchor_bytes)).min(tail_from));
        let staged_from = self.staged(&view, &tail).filter(|from| *from < anchor_from);
        let from = staged_from.unwrap_or(anchor_from);
        let entries = from.0.saturating_sub(view.first.0);
        self.held = tail_from.0.saturating_sub(anchor_from.max(view.first).0);
        self.held_for_staged = anchor_from.0.saturating_sub(from.max(view.first).0);
        let over = tail_from > wanted || (from < tail_from && from > view.first);
        let worth = entries >= self.rules.entries || (entries > 0 && over);
        worth.then(|| from.prev())
    }

    /// The first entry after the staged snapshot; none if the log has lost it, or has too much behind it.
    fn staged(&self, view: &View<'_>, tail: impl Fn(u64) -> Index) -> Option<Index> {
        let Staged { index, bytes } = view.staged?;
        let most = bytes.max(self.rules.tail_bytes).min(self.rules.anchor_bytes);
        Some(index.next()).filter(|from| *from >= view.first.max(tail(most)))
    }

    /// The first entry that is kept for a follower; none if it has been away for too long.
    fn anchor(&self, view: &View<'_>, follower: &FollowerStatus) -> Option<Index> {
        let silent_for = follower.silent_for.unwrap_or(view.leading_for);
        let waited_for = silent_for <= self.rules.anchor_time && !is_planted(Bug::FollowersForgotten);
        waited_for.then_some(match follower.state {
            StreamState::Probe | StreamState::Replicate => follower.matched.index.next(),
            // What it installs is not known here; any index from the start of the log on connects.
            StreamState::Snapshot => view.first,
        })
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
