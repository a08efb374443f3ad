//! What clients asked and were told, and the judge of it.
//!
//! etcd's revision is global and every successful write carries the one it made, so the order to check against is
//! given and no search is needed: [`judge`] replays the committed log, revision by revision, and holds every answer
//! and every moment against it.
//!
//! * Every value written is unique, so a write is recognised in the log by its value; a deletion is matched with one
//!   delete request that may have made it.
//! * A write whose outcome is unknown appears at most once; one that failed for good does not appear.
//! * An operation that began after another had returned stands behind it. Serializable reads may show the past, but never
//!   less than their member has shown the same client since a request of it last failed.
//! * What a compaction takes away is refused from then on, and nothing else is; one whose outcome is unknown may happen late.
//! * Too little evidence is a failure: an empty log or a history without acknowledged writes judges nothing.

mod check;
#[cfg(test)]
mod check_tests;
mod compaction;
#[cfg(test)]
mod compaction_tests;
mod deletions;
#[cfg(test)]
mod mutation_tests;
mod order;
#[cfg(test)]
mod search;
mod stall;
mod written;

pub use check::{Report, Violation, judge};
pub use stall::stall_after;

use std::time::Duration;

/// One operation of one client. Times are since the start of the run, on one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which client; its operations do not overlap, and one member is asked for all of them.
    pub client: usize,
    /// When it was sent.
    pub invoked: Duration,
    /// When the answer came, or when the client gave up.
    pub returned: Duration,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub answer: Answer,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Write a value that nobody else ever writes.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Delete the key.
    Delete {
        /// The key.
        key: String,
    },
    /// If the key was last changed at `expected` (0: is absent), write the value.
    CompareAndPut {
        /// The key.
        key: String,
        /// The revision it must have been changed at.
        expected: i64,
        /// The value.
        value: String,
    },
    /// Read the key.
    Get {
        /// The key.
        key: String,
        /// Not linearizable: from whichever state the member has.
        serializable: bool,
    },
    /// Read the key as it was.
    GetAt {
        /// The key.
        key: String,
        /// At which revision.
        at: i64,
        /// Not linearizable: from whichever state the member has.
        serializable: bool,
    },
    /// Take away every state before `revision`. One client alone asks for that, for each revision once, in ascending order.
    Compact {
        /// The first revision that stays.
        revision: i64,
    },
}

/// What a client was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The write took effect at this revision.
    Written {
        /// The header's revision.
        revision: i64,
    },
    /// No key was changed, at this revision: nothing to delete, the comparison failed, or it was a compaction.
    Unchanged {
        /// The header's revision.
        revision: i64,
    },
    /// The value and the revision that wrote it, as of the header's revision.
    Read {
        /// The header's revision.
        revision: i64,
        /// What was there.
        found: Option<(String, i64)>,
    },
    /// The revision it is about has been compacted.
    Compacted,
    /// The revision it is about is still to come.
    Ahead,
    /// Not known: a write may or may not have taken effect, now or later.
    Unknown,
    /// Refused for good: it never took effect.
    Refused,
}

/// One change in the committed log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision; consecutive from the first write on.
    pub revision: i64,
    /// The key.
    pub key: String,
    /// The new value; none for a deletion.
    pub value: Option<String>,
}
