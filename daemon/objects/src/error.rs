//! What went wrong, as what the caller can do about it.

use crate::ObjectName;
use std::time::Duration;

/// Why an object store did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such object. Nothing to wait for.
    #[error("object {object} is not there")]
    NotFound {
        /// The object.
        object: ObjectName,
    },
    /// There is an object of that name already: somebody else was first.
    #[error("object {object} exists already")]
    Exists {
        /// The object.
        object: ObjectName,
    },
    /// The store refuses us: credentials or rights are missing, wrong or out of date. A person must look.
    #[error("{doing}: denied: {problem}")]
    Denied {
        /// What was being done, and to what.
        doing: String,
        /// What the store said.
        problem: String,
    },
    /// The store does not answer, answers too late, in part, or asks for a pause. Try again later. A write that ended
    /// so may have taken place.
    #[error("{doing}: unavailable: {problem}")]
    Unavailable {
        /// What was being done, and to what.
        doing: String,
        /// What was seen.
        problem: String,
        /// The pause that the store asks for.
        pause: Option<Duration>,
    },
    /// There is no room: quota or disk. Deleting helps, trying again does not.
    #[error("{doing}: the store is full: {problem}")]
    Full {
        /// What was being done, and to what.
        doing: String,
        /// What the store said.
        problem: String,
    },
    /// The object is not what was put there.
    #[error("object {object} is corrupt: {problem}")]
    Corrupt {
        /// The object.
        object: ObjectName,
        /// How it shows.
        problem: String,
    },
    /// The other side is not, or not quite, an object store. A person must look.
    #[error("{doing}: not what an object store answers: {problem}")]
    Protocol {
        /// What was being done, and to what.
        doing: String,
        /// What was seen.
        problem: String,
    },
    /// A setting cannot be used.
    #[error("{field} of the object store: {problem}")]
    Config {
        /// Which part of the location.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}

impl Error {
    /// Whether the same call may succeed if nothing but time changes.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// One word for a metric's label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Exists { .. } => "exists",
            Self::Denied { .. } => "denied",
            Self::Unavailable { .. } => "unavailable",
            Self::Full { .. } => "full",
            Self::Corrupt { .. } => "corrupt",
            Self::Protocol { .. } => "protocol",
            Self::Config { .. } => "config",
        }
    }
}
