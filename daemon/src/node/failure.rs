//! Why a request to the node was not done. One type for each kind of request; the variants are what the caller can
//! do about it.

use raft::{MembershipError, TransferError};

/// Why a write has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeFailure {
    /// No leader was known until the time ran out: the write is in no log.
    #[error("no leader")]
    NoLeader,
    /// The time ran out. Whether the write will be applied is not known.
    #[error("request timed out")]
    TimedOut,
    /// As [`ProposeFailure::TimedOut`], and the leader changed meanwhile, which may have been the reason.
    #[error("request timed out, possibly due to previous leader failure")]
    TimedOutLeaderChanged,
    /// Leaders changed until the time ran out: the write is in no log that counts, and will not be applied.
    #[error("leader changed")]
    LeaderChanged,
    /// Too much is waiting to be committed or applied: try again after a pause. The write is in no log.
    #[error("too many requests")]
    TooManyRequests,
    /// The leader's disk has no room. The write is in no log.
    #[error("no space")]
    NoSpace,
    /// The command is larger than the log takes. The write is in no log.
    #[error("request of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The member is stopping. Whether the write will be applied is not known.
    #[error("server stopped")]
    Stopped,
}

/// Why a read may not be served as linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFailure {
    /// No leader was known until the time ran out.
    #[error("no leader")]
    NoLeader,
    /// The leader could not confirm itself in time, or this member could not catch up in time.
    #[error("request timed out")]
    TimedOut,
    /// Too many reads are waiting: try again after a pause.
    #[error("too many requests")]
    TooManyRequests,
    /// The member is stopping.
    #[error("server stopped")]
    Stopped,
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFailure {
    /// The leader said no; the reason is final for the configuration it saw.
    #[error("{0}")]
    Refused(#[from] MembershipError),
    /// No leader was known until the time ran out.
    #[error("no leader")]
    NoLeader,
    /// The time ran out. Whether the change will take place is not known: ask for the membership.
    #[error("request timed out")]
    TimedOut,
    /// The member is stopping.
    #[error("server stopped")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferFailure {
    /// The leader said no.
    #[error("{0}")]
    Refused(#[from] TransferError),
    /// No leader was known until the time ran out.
    #[error("no leader")]
    NoLeader,
    /// The time ran out.
    #[error("request timed out")]
    TimedOut,
    /// The member is stopping.
    #[error("server stopped")]
    Stopped,
}
