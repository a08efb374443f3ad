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
            Self::Store(Fault::Damaged(_))
            | Self::Install(SwitchError::Damaged)
            | Self::StoreAhead { .. }
            | Self::StoreBehind { .. } => EXIT_DAMAGED,
            // Whoever replaces a damaged member takes its disk away: what may be a passing failure is none.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{OpenError, Problem, ReadError};
    use raft::{MemberId, RecordError};

    fn corrupt(problem: Problem) -> StartError {
        OpenError::Corrupt { file: "1.wal".into(), offset: 4096, after: LogId::ZERO, problem }.into()
    }

    fn eio() -> io::Error {
        io::Error::from_raw_os_error(5)
    }

    #[test]
    fn what_has_rotted_ends_with_a_code_of_its_own() {
        let damaged = [
            corrupt(Problem::Header),
            corrupt(Problem::Record { nth: 0, why: RecordError::Checksum { stored: 1, computed: 2 } }),
            corrupt(Problem::Shortened { expected: 2, found: 1 }),
            OpenError::MissingSegment { missing: 2, first: 1, last: 3 }.into(),
            Fault::Damaged("a row").into(),
            SwitchError::Damaged.into(),
            BootstrapError::Damaged { path: "identity.json".into(), why: "a digit".into() }.into(),
            StartError::StoreAhead { applied: Index(2), last: LogId::ZERO },
            StartError::StoreBehind { applied: Index(1), start: LogId::ZERO },
        ];
        for error in damaged {
            assert_eq!(error.exit_code(), EXIT_DAMAGED, "{error}");
        }
    }

    #[test]
    fn another_version_s_log_and_a_disk_that_fails_are_not_damaged() {
        let unreadable = ReadError::Unreadable { segment: 1, offset: 0, why: eio().to_string() };
        let passing = [
            corrupt(Problem::Control { kind: 9 }),
            corrupt(Problem::Record { nth: 0, why: RecordError::Unknown { kind: 9, flags: 0 } }),
            OpenError::Version { file: "1.wal".into(), version: 9, ours: 1 }.into(),
            OpenError::Io { doing: "reading", file: "1.wal".into(), source: eio() }.into(),
            unreadable.into(),
            Fault::storage(eio()).into(),
            eio().into(),
        ];
        for error in passing {
            assert_eq!(error.exit_code(), EXIT_FAILED, "{error}");
        }
        let identity = |member| wal::Identity { cluster: 1, member: MemberId(member), storage: [0; 16] };
        let foreign = OpenError::Foreign { file: "1.wal".into(), found: identity(1), expected: identity(2) };
        assert_eq!(StartError::from(foreign).exit_code(), EXIT_WRONG_IDENTITY, "somebody else's data are for people");
        assert_eq!(StartError::from(OpenError::Missing).exit_code(), EXIT_DISK_REPLACED);
    }
}
