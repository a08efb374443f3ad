//! Why a member does not start, and why it stops.

use crate::bootstrap::{
    BootstrapError, EXIT_DAMAGED, EXIT_DISK_REPLACED, EXIT_FAILED, EXIT_RECOVERING, EXIT_REMOVED, EXIT_WRONG_IDENTITY,
};
use crate::disk::ClaimError;
use crate::install::SwitchError;
use crate::tls::TlsProblem;
use crate::wal;
use mvcc::Fault;
use raft::{Index, LogId, MembershipDecodeError};
use std::io;

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It may not be who it says, or its data directory failed.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// TLS between members cannot be set up.
    #[error("peer TLS: {0}")]
    Tls(#[from] TlsProblem),
    /// The peer port cannot be bound, or a thread cannot be started.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The log's directory is not ours alone.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The log cannot be opened.
    #[error("the log: {0}")]
    Log(#[from] wal::OpenError),
    /// An entry of the log cannot be read back.
    #[error("the log: {0}")]
    Read(#[from] wal::ReadError),
    /// An install that was begun cannot be finished.
    #[error(transparent)]
    Install(#[from] SwitchError),
    /// The store cannot be used.
    #[error("the store: {0}")]
    Store(#[from] Fault),
    /// The directory for snapshots that are fetched cannot be used.
    #[error("{0}")]
    Spool(ClaimError),
    /// The log cannot be begun.
    #[error("the log: {0}")]
    Begin(#[from] wal::WalError),
    /// The log holds a configuration that this version cannot read.
    #[error("a configuration in the log: {0}")]
    Membership(#[from] MembershipDecodeError),
    /// The store has applied what the log has not: one of them was put back from an earlier time.
    #[error("the store has applied entry {applied}, and the log ends at {last}: they do not belong together")]
    StoreAhead {
        /// What the store says.
        applied: Index,
        /// What the log says.
        last: LogId,
    },
    /// The store lacks what the log has given up.
    #[error("the store has applied entry {applied}, and the log begins after {start}: entries between are lost")]
    StoreBehind {
        /// What the store says.
        applied: Index,
        /// What the log says.
        start: LogId,
    },
}

impl StartError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bootstrap(error) => error.exit_code(),
            // A log that is missing under a known id is a disk that was wiped.
            Self::Log(wal::OpenError::Missing) => EXIT_DISK_REPLACED,
            Self::Log(wal::OpenError::Foreign { .. }) => EXIT_WRONG_IDENTITY,
            Self::Log(error) if error.is_damage() => EXIT_DAMAGED,
            Self::Read(wal::ReadError::Unreadable { .. })
            | Self::Store(Fault::Damaged(_))
            | Self::Install(SwitchError::Damaged)
            | Self::StoreAhead { .. }
            | Self::StoreBehind { .. } => EXIT_DAMAGED,
            _ => EXIT_FAILED,
        }
    }
}

/// Why a member has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was told to.
    Asked,
    /// It has been removed from its cluster, for good.
    Removed,
    /// Its peers know it with another disk.
    DiskReplaced,
    /// It has been asked to become a new cluster, which its next start does.
    Recovering,
    /// A part of it has failed; the text says which and why.
    Failed(String),
}

impl Stop {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked => 0,
            Self::Removed => EXIT_REMOVED,
            Self::DiskReplaced => EXIT_DISK_REPLACED,
            Self::Recovering => EXIT_RECOVERING,
            Self::Failed(_) => EXIT_FAILED,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked => f.write_str("stopped as asked"),
            Self::Removed => f.write_str("this member has been removed from the cluster"),
            Self::DiskReplaced => f.write_str("this member's disk was replaced; remove and add it"),
            Self::Recovering => f.write_str("asked to recover a lost quorum: the next start makes a new cluster of it"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}
