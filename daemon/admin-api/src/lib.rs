//! The words that a member's admin endpoint speaks, shared by the daemon that fills them, its command line and the
//! operator that read them.
//!
//! | call | reply | asked for by |
//! | --- | --- | --- |
//! | `GET /v1/status` | [`MemberStatus`] | status roll-up, `quorate status` |
//! | `GET /v1/replication` | [`Replication`] | every gate on lag; only a leader that has heard from its quorum answers |
//! | `GET /v1/members` | [`Members`] | membership as this member knows it |
//! | `POST /v1/members` ([`ChangeMembers`]) | [`Members`] | add learner, promote, remove |
//! | `GET /v1/safe-to-stop` | [`SafeToStop`] | drains, upgrades, `preStop` |
//! | `GET /v1/backups` | [`Backups`] | snapshots in object storage, as the log lists them |
//! | `POST /v1/backups` | [`BackupWanted`] | a snapshot now; done when the list has one of that index |
//! | `POST /v1/transfer-leader` ([`TransferLeader`]) | [`LeaderTransferred`] | upgrades, scale-in, `preStop` |
//! | `POST /v1/recover-quorum` ([`RecoverQuorum`]) | [`RecoveryTaken`] | a person, when a majority is lost for good; the process ends |
//!
//! A call that fails answers with [`Problem`] and an HTTP status: 400 not understood, 404 no such member, 409 the
//! configuration, or the member, is not the one expected, 412 the member's own guard says no, 421 ask the leader, 503 try again.
//!
//! * JSON, camelCase. Ids are strings of hexadecimal digits: they use all 64 bits, more than a JSON number carries.
//! * Fields may be added: readers ignore what they do not know.
//! * Units come last in a name. Durations are seconds with a fraction.

mod backup;
mod id;
mod membership;
mod recovery;
mod replication;
mod status;

pub use backup::{Backup, BackupWanted, Backups};
pub use id::Id;
pub use membership::{Change, ChangeMembers, LeaderTransferred, Member, Members, Problem, TransferLeader};
pub use recovery::{QuorumRecovered, RecoverQuorum, RecoveryTaken};
pub use replication::{
    Follower, FollowerRole, PausedReason, Replication, SafeToStop, SnapshotProgress, StreamState, UnsafeReason,
};
pub use status::{Alarm, CertificatesInUse, DatabaseSize, Identity, LogPosition, MemberStatus, Role, Side};

/// The path of [`MemberStatus`].
pub const PATH_STATUS: &str = "/v1/status";
/// The path of [`Replication`].
pub const PATH_REPLICATION: &str = "/v1/replication";
/// The path of [`Members`] and [`ChangeMembers`].
pub const PATH_MEMBERS: &str = "/v1/members";
/// The path of [`SafeToStop`].
pub const PATH_SAFE_TO_STOP: &str = "/v1/safe-to-stop";
/// The path of [`Backups`] and [`BackupWanted`].
pub const PATH_BACKUPS: &str = "/v1/backups";
/// The path of [`RecoverQuorum`].
pub const PATH_RECOVER_QUORUM: &str = "/v1/recover-quorum";
/// The path of [`TransferLeader`].
pub const PATH_TRANSFER_LEADER: &str = "/v1/transfer-leader";

/// The path under which a member sends a snapshot of what it has applied, as one file.
pub const PATH_SNAPSHOT: &str = "/v1/snapshot";

#[cfg(test)]
#[path = "lib_tests.rs"]
mod tests;
