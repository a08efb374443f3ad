//! Why a member cannot start, and the exit codes that tell a supervisor whether trying again can help.

use super::ClusterId;
use std::io;
use std::path::PathBuf;

/// A restart cannot help: the disk under this id is not the one the cluster knows.
pub const EXIT_DISK_REPLACED: u8 = 71;
/// A restart cannot help: the member has been removed for good.
pub const EXIT_REMOVED: u8 = 72;
/// A restart cannot help: the data directory belongs to somebody else, or the settings contradict it.
pub const EXIT_WRONG_IDENTITY: u8 = 73;
/// A restart cannot help: what the disk holds has rotted, or was put back in part from an earlier time.
pub const EXIT_DAMAGED: u8 = 74;
/// A restart is what it waits for: it has been asked to become a new cluster, and the next start does that.
pub const EXIT_RECOVERING: u8 = 75;
/// A restart may help: the disk, the network, the cluster's state of the moment.
pub const EXIT_FAILED: u8 = 1;

/// Why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The data directory failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// What the data directory says of whose it is has rotted.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system gives no randomness, so no id can be made.
    #[error("no random numbers: {0}")]
    NoRandomness(getrandom::Error),
    /// The cluster binds this member to another disk.
    #[error("this member's disk was replaced; remove and add it")]
    DiskReplaced,
    /// The cluster has removed this member.
    #[error("this member has been removed from the cluster; its data directory cannot be used again")]
    Removed,
    /// The peers have formed a cluster in which this member is not.
    #[error("the peers have formed cluster {cluster} without this member; add it there and start it as existing")]
    FormedWithoutMe {
        /// Theirs.
        cluster: ClusterId,
    },
    /// The data directory is another cluster's, in the place of a member of the one the settings name.
    #[error(
        "the data directory belongs to cluster {mine}, and peer {peer:?} to cluster {theirs}, which has a member with these peer URLs: put that member's own data directory back, or name this one's cluster"
    )]
    OtherCluster {
        /// The data directory's.
        mine: ClusterId,
        /// Who said so, by the name in the settings.
        peer: String,
        /// The peer's.
        theirs: ClusterId,
    },
    /// The cluster has no member with this member's peer URLs.
    #[error("cluster {cluster} has no member with the peer URLs {urls:?}; add it there first")]
    NotAdded {
        /// The cluster asked.
        cluster: ClusterId,
        /// This member's.
        urls: Vec<String>,
    },
    /// The cluster refuses to bind this disk.
    #[error("the cluster does not take this member: {0}")]
    BindRefused(String),
    /// The data directory was formatted under another name.
    #[error("the data directory belongs to member {found:?}, and the name given is {given:?}")]
    OtherName {
        /// In the directory.
        found: String,
        /// In the settings.
        given: String,
    },
    /// Nobody to form a cluster with: not even this member is named.
    #[error("the initial cluster does not name this member {0:?}")]
    NotNamed(String),
    /// There is nothing to make a new cluster of.
    #[error("--force-new-cluster: {0}; nothing has been changed")]
    NothingToRecover(&'static str),
    /// The log is still the former cluster's: what makes the new one has to run first.
    #[error("the data directory is becoming a new cluster's, which has not been carried out")]
    Recovering,
}

impl BootstrapError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::DiskReplaced => EXIT_DISK_REPLACED,
            Self::Damaged { .. } => EXIT_DAMAGED,
            Self::Removed => EXIT_REMOVED,
            Self::FormedWithoutMe { .. }
            | Self::OtherCluster { .. }
            | Self::NotAdded { .. }
            | Self::BindRefused(_)
            | Self::OtherName { .. }
            | Self::NotNamed(_)
            | Self::NothingToRecover(_) => EXIT_WRONG_IDENTITY,
            Self::Io { .. } | Self::NoRandomness(_) | Self::Recovering => EXIT_FAILED,
        }
    }
}
