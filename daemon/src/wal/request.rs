//! What the driver asks of the log, and what it hears back.

use super::error::WalError;
use bytes::Bytes;
use raft::{Index, IoId, LogId, Persist};
use std::time::Duration;

/// Something for the writer. Requests take effect in the order in which they are submitted.
#[derive(Clone, Debug)]
pub enum WalRequest {
    /// A write of the engine. Answered by [`Completion::Persisted`], for it and everything before it.
    Persist(Persist),
    /// Entries up to here are not needed any more. Whole segments go, so some of them may stay. Answered by
    /// [`Completion::Compacted`] when any went.
    Compact {
        /// The last entry that may go.
        through: Index,
    },
    /// The state machine has been set to a snapshot, or a cluster begins with its first membership. A log that has
    /// the entry the snapshot ends with, or starts behind it, stays as it is; any other starts anew after that entry,
    /// and every entry goes. Answered by [`Completion::Reset`]. The engine makes the same choice when it is told, so
    /// no write may be submitted between this and its answer: it would follow entries that are gone.
    Reset {
        /// What the log follows from now on.
        start: LogId,
        /// The membership in force there and the index it stands at, encoded; opaque to the log.
        membership: Option<(Index, Bytes)>,
    },
}

/// What has become of requests. Delivered on the writer's thread, in order.
#[derive(Debug)]
pub enum Completion {
    /// Every write up to and including this one is durable.
    Persisted {
        /// The greatest of the group.
        io: IoId,
        /// What the group cost.
        group: Group,
    },
    /// The log now starts after this entry.
    Compacted {
        /// The last entry that is gone: the [`raft::Boot`] `start` of the next start.
        start: LogId,
    },
    /// The log holds what follows this entry, or nothing.
    Reset {
        /// As asked.
        start: LogId,
    },
    /// The room on the disk has changed.
    Room(Room),
}

/// How much the disk still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The next segments are ready.
    Enough,
    /// No further segment could be prepared. What is ready holds what is on its way; nothing new should be sent.
    Low,
}

/// One group commit: requests that shared one write and one sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Requests in it.
    pub persists: u32,
    /// Entries in it.
    pub entries: u64,
    /// Bytes written for it.
    pub bytes: u64,
    /// How long its oldest request had waited when the writer took it.
    pub queued: Duration,
    /// How long the write took.
    pub write: Duration,
    /// How long the sync took.
    pub sync: Duration,
}

/// A request that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full: the disk is slower than what arrives. Here is the request again.
    #[error("the queue of the log is full")]
    Full(WalRequest),
    /// The writer has ended. Here is the request again.
    #[error("the log is closed")]
    Closed(WalRequest),
}

/// What the writer tells while it works. Both are called on its thread and must be quick.
pub trait Listener: Send {
    /// Something is done.
    fn completed(&mut self, completion: Completion);

    /// The log cannot go on: nothing it was asked and has not reported will ever be durable. The process must end
    /// and must not acknowledge anything more; after a failed sync, trying again would lie.
    fn failed(&mut self, error: &WalError);
}
