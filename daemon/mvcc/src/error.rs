//! Two kinds of no: what every member refuses alike, and what only this member's disk suffers.

use crate::types::Revision;

/// Why the state machine refuses, the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The revision asked for is no longer there.
    #[error("required revision has been compacted")]
    Compacted {
        /// The oldest revision that is.
        compacted: Revision,
    },
    /// The revision asked for is not there yet.
    #[error("required revision is a future revision")]
    FutureRevision {
        /// The newest revision.
        current: Revision,
    },
    /// `ignore_value` or `ignore_lease` on a key that does not exist.
    #[error("key not found")]
    KeyNotFound,
    /// The lease to hang a key on does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A member's quota is exhausted; deletes and compactions still work.
    #[error("database space exceeded")]
    NoSpace,
    /// A member's data differs from its peers'.
    #[error("corrupt cluster")]
    Corrupt,
}

/// This member's storage failed or holds what it cannot. The member stops: it must neither answer nor apply on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The storage below reported an error.
    #[error("state storage failed: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The storage gave back what was never written to it.
    #[error("state storage is damaged: {0}")]
    Damaged(&'static str),
}

impl Fault {
    /// Wraps an error of the storage below.
    pub fn storage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Storage(error.into())
    }
}

/// Why a read has no result.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request cannot be answered, here or elsewhere.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller has no room for what was found.
    #[error("there is no room for what was found")]
    NoRoom,
    /// This member cannot answer anything any more.
    #[error(transparent)]
    Fault(#[from] Fault),
}
