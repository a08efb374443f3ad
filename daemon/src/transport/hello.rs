//! The first words on a connection: who calls, whom they mean, and whether they may.
//!
//! Hellos are JSON: they are rare, they must be readable by every later version, and a person looking at a refusal
//! should see what was said.

use crate::bootstrap::{ClusterId, NodeInfo, StorageId};
use admin_api::Id;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The version of everything after the hello. Members of different versions refuse each other.
pub const PROTOCOL_VERSION: u32 = 2;

/// The most bytes a hello or an introduction takes: a few names and URLs for each member.
pub const HELLO_BYTES_MAX: usize = 256 << 10;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Votes, heartbeats, acknowledgements: small, and never behind anything large.
    Control,
    /// Appends and forwarded commands.
    Append,
    /// Questions about snapshots, and their blocks. Opened when needed; carries answers back.
    Snapshot,
}

/// Opens a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// The caller's cluster.
    pub cluster: ClusterId,
    /// Who calls.
    pub from: Id,
    /// Who is meant.
    pub to: Id,
    /// The caller's disk.
    pub storage: StorageId,
    /// How often the caller has started.
    pub boot: u64,
    /// Where the configuration stands that the caller knows.
    pub membership_at: u64,
    /// What the connection is for.
    pub lane: Lane,
    /// How the caller describes itself, for a member that does not know it yet.
    pub info: NodeInfo,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HelloReply {
    /// Speak.
    Welcome {
        /// The disk of the one who answers.
        storage: StorageId,
        /// How often it has started.
        boot: u64,
    },
    /// No, and the connection ends.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}

/// Why a hello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// The caller speaks another version.
    Version,
    /// The caller belongs to another cluster.
    OtherCluster,
    /// The one who answers is not the one who is meant.
    NotMe,
    /// The caller is in no configuration that is known here, and knows none that is newer.
    UnknownMember,
    /// The caller has been removed for good.
    Removed,
    /// The caller's id is bound to another disk.
    DiskReplaced,
    /// The one who answers has not formed or joined its cluster yet.
    NotReady,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "it speaks another protocol version",
            Self::OtherCluster => "it belongs to another cluster",
            Self::NotMe => "another member lives at this address",
            Self::UnknownMember => "it does not know this member",
            Self::Removed => "this member has been removed from the cluster",
            Self::DiskReplaced => "this member's disk was replaced; remove and add it",
            Self::NotReady => "it has not formed or joined its cluster yet",
        })
    }
}

/// Who somebody is, told to anybody who asks on the peer port. What forming and joining a cluster goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Introduction {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// The member; none while it waits to learn its id from the cluster it joins.
    pub member: Option<Id>,
    /// Its disk.
    pub storage: StorageId,
    /// How it describes itself.
    pub info: NodeInfo,
    /// The token of the cluster it would form.
    pub token: String,
    /// The cluster it belongs to, once it does.
    pub cluster: Option<KnownCluster>,
}

/// A cluster, as one of its members knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownCluster {
    /// Which.
    pub id: ClusterId,
    /// Where the configuration stands.
    pub membership_at: u64,
    /// Its members.
    pub members: BTreeMap<Id, NodeInfo>,
    /// Who has been removed.
    pub removed: BTreeSet<Id>,
}

/// The answer to a member that asks to be bound to its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BindReply {
    /// The configuration says so now.
    Bound {
        /// The id that was waiting for it.
        member: Id,
    },
    /// Not now: ask again after a pause.
    Later {
        /// What stands in the way.
        why: String,
    },
    /// Not ever, as things are: a person must act.
    Never {
        /// Why.
        why: String,
    },
}
