//! How far an install has come: kept by the member that installs, told to the leader, shown by both.

use raft::MemberId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Looking for a source, or waiting for it to name its chunks.
    #[default]
    Locating,
    /// Chunks arrive.
    Fetching,
    /// The state file is being made of them.
    Restoring,
    /// State and log are being switched.
    Switching,
}

impl Phase {
    /// The word in metrics and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Locating => "locating",
            Self::Fetching => "fetching",
            Self::Restoring => "restoring",
            Self::Switching => "switching",
        }
    }
}

/// One install under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// What is being done.
    pub phase: Phase,
    /// The index of the snapshot; 0 until one was found.
    pub index: u64,
    /// Where its chunks come from: `objects`, or a member's id.
    pub source: String,
    /// Bytes of it that are here and verified.
    pub have_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
    /// Bytes of chunks that have arrived for it in the life of this process, those that were of no use included.
    pub fetched_bytes: u64,
    /// Bytes that arrive per second, since the fetching began.
    pub bytes_per_second: u64,
    /// How often fetching went on from what was here already: after a restart, a lost link, another source.
    pub resumed: u64,
}

/// What chunks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Object storage.
    Objects,
    /// A member that does not lead.
    Member,
    /// The leader.
    Leader,
}

impl SourceKind {
    /// The word in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Member => "member",
            Self::Leader => "leader",
        }
    }
}

/// A number for each kind of source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BySource([u64; 3]);

impl BySource {
    const ALL: [SourceKind; 3] = [SourceKind::Objects, SourceKind::Member, SourceKind::Leader];

    /// The number of one kind.
    #[must_use]
    pub fn of(&self, kind: SourceKind) -> u64 {
        self.0[kind as usize]
    }

    /// Every kind with its number.
    pub fn all(&self) -> impl Iterator<Item = (SourceKind, u64)> {
        Self::ALL.into_iter().zip(self.0)
    }

    pub(super) fn add(&mut self, kind: SourceKind, more: u64) {
        self.0[kind as usize] += more;
    }
}

/// Everything about snapshots at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotsView {
    /// The install of this member that is under way.
    pub installing: Option<ProgressView>,
    /// What is counted over the life of the process.
    pub totals: Totals,
    /// Bytes of chunks this member has sent to others.
    pub sent_bytes: u64,
    /// The installs of others, as they told this member when they took it for the leader.
    pub others: BTreeMap<MemberId, ProgressView>,
}

/// The view, and what is counted over the life of the process.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    now: Option<ProgressView>,
    totals: Totals,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Snapshots installed.
    pub installed: u64,
    /// Bytes of chunks that have arrived.
    pub fetched_bytes: BySource,
    /// Sources that did not give what they were asked for.
    pub source_failures: BySource,
    /// Chunks that were not what their digest says.
    pub damaged: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Fetches that went on from what was there.
    pub resumed: u64,
}

impl Progress {
    /// What is under way, if anything.
    pub(crate) fn view(&self) -> Option<ProgressView> {
        self.lock().now.clone()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Changes what is shown.
    pub(super) fn update(&self, change: impl FnOnce(&mut ProgressView)) {
        change(self.lock().now.get_or_insert_default());
    }

    /// Changes what is counted.
    pub(super) fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.lock().totals);
    }

    /// Nothing is under way.
    pub(super) fn clear(&self) {
        self.lock().now = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the progress")
    }
}
