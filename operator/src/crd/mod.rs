//! The kinds that people write: what a cluster should be, and what the operator found and does.
//!
//! * Every status field is optional: it is written by server-side apply, which may own a part of it.
//! * The rules are CEL and can only deny. What a rule cannot know (a finished upgrade, a lost quorum) the plan decides.
//! * Every string and list that a rule touches is bounded: the API server reckons a rule's cost from the bounds.

#![allow(unreachable_pub, reason = "the derives of kube make items of their own inside functions")]
#![allow(clippy::duplicated_attributes, reason = "two columns may have one type")]

mod backup;
mod cluster;
mod config;
mod lifecycle;
mod object_store;
mod placement;
mod print;
mod recovery;
mod status;
mod storage;
mod text;
mod tls;

pub use backup::{
    BackupPhase, BackupStatus, ClusterReference, Concurrency, RaftBackup, RaftBackupSpec, RaftScheduledBackup,
    RaftScheduledBackupSpec, ScheduledBackupStatus,
};
pub use cluster::{Image, PullPolicy, RaftCluster, RaftClusterSpec};
pub use config::Config;
pub use lifecycle::{CatchUp, DisruptionBudget, NetworkPolicySpec, PodMetadata, RepairMode, RepairSpec, Update};
pub use object_store::{
    Bucket, CertificatesReference, CredentialsReference, Encryption, KeysReference, ObjectStore, SnapshotEncryption,
};
pub use placement::{AntiAffinity, Scheduling};
pub use print::{CrdError, crd_yaml};
pub use recovery::{QuorumRecoverySpec, QuorumRecoveryStatus, RecoveryPhase, RefusedRecoveryStatus};
pub use status::{
    AuthorityPhase, AuthorityStatus, CertificateStatus, LastError, Latched, LeaderStatus, MemberRole, MemberStatus,
    MemberVolume, OperationStatus, Phase, QuorumStatus, RaftClusterStatus, Replication, SnapshotStatus,
    SnapshotsStatus,
};
pub use storage::{Disposal, Storage};
pub use text::{DurationText, Size, TextError};
pub use tls::{CertificateSource, SelfSigned, Tls};

#[cfg(test)]
mod crd_tests;
#[cfg(test)]
mod sample_tests;
