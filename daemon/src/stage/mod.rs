//! Staging: snapshots are put into object storage, kept for a while, and deleted.
//!
//! ```text
//!   leader: delegates in the log ─▶ one member: plan ─▶ take ─▶ upload ─▶ manifest ─▶ "staged", in the log
//!                                                  └─▶ retire, in the log ─▶ (grace) ─▶ delete ─▶ "forgotten", in the log
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `plan` | what to do next: pure |
//! | `delegate` | which member does it: pure |
//! | `run` | the task that does it, and tries again |
//! | `work` | taking, uploading, deleting |
//! | `bounded` | how many requests, how many bytes |
//! | `stored` | reading what was staged, for an install |
//! | `report` | what is seen of it |
//!
//! * What is in the log decides; the store's listing only says what the log has not heard of yet.
//! * Object storage that is down, slow, full or lies costs this task its time and nobody else's: it has bounded memory,
//!   a bounded time for every step, and pauses that grow.
//! * Two members that both believe to be the one are no harm: chunks are named by their content, a manifest is written
//!   once, and a snapshot is told to the log once.

mod bounded;
mod delegate;
mod plan;
#[cfg(test)]
mod race_tests;
mod report;
mod run;
mod stored;
mod work;

pub use report::{Activity, Figures, Report};
pub(crate) use run::run;
pub use work::want;

pub(crate) use plan::newest;
pub(crate) use stored::Stored;

use crate::bootstrap::ClusterId;
use crate::snapshot::{Digest, SnapshotId, SnapshotName};
use mvcc::StagedSnapshot;
use raft::Index;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a snapshot of the replicated list is called in the object store.
pub(crate) fn name_of(cluster: ClusterId, snapshot: &StagedSnapshot) -> SnapshotName {
    SnapshotName { cluster, index: Index(snapshot.index), id: SnapshotId(Digest::from_bytes(snapshot.id)) }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
