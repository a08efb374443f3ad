//! What this member's own threads report back to the loop.

use super::full::Tree;
use crate::install::Ready;
use raft::{Entry, Index, IoId, LogId, LogReadFailure, MemberId, StreamId, Term};

/// One report. The threads batch: one report may stand for many entries.
#[derive(Debug)]
pub(crate) enum Completion {
    /// Every write up to and including this one is durable.
    Persisted(IoId),
    /// The store has applied everything up to `through`.
    Applied {
        /// The last entry applied.
        through: Index,
        /// Its term.
        term: Term,
        /// The outcomes of this member's own requests among them, in log order.
        outcomes: Vec<Outcome>,
    },
    /// The store survives a crash with everything up to here.
    Flushed(Index),
    /// A snapshot is ready to be switched to.
    Snapshot(Box<Ready>),
    /// The store has been switched to a snapshot.
    Switched,
    /// The log follows a snapshot now.
    LogReset,
    /// The log now starts after this entry.
    Compacted(LogId),
    /// A disk has no room, or has room again.
    DiskFull(Tree, bool),
    /// A part of this member has failed for good. It stops, and says this.
    Failed(String),
    /// This member is to stop, in good order, so that its next start makes a new cluster of it.
    Recover,
    /// Entries read back from the log on disk.
    LogRead {
        /// The follower they are for.
        peer: MemberId,
        /// The stream that asked.
        stream: StreamId,
        /// The entries, or why there are none.
        result: Result<Vec<Entry>, LogReadFailure>,
    },
}

/// The outcome of a request that was made at this member.
#[derive(Debug)]
pub struct Outcome {
    /// The request's sequence.
    pub sequence: u64,
    /// What it did, and where it stands.
    pub applied: super::Applied,
}
