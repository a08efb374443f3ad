//! What a member says of itself.

use crate::{Id, QuorumRecovered};
use serde::{Deserialize, Serialize};

/// Who a member is. Fixed when its data directory was formatted, save for the URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster_id: Id,
    /// Its id in that cluster; never given to another member.
    pub member_id: Id,
    /// The id of its data directory: tells a fresh volume from the old one under the same name.
    pub storage_id: Id,
    /// What people call it.
    pub name: String,
    /// Where its peers reach it.
    #[serde(default)]
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    #[serde(default)]
    pub client_urls: Vec<String>,
}

/// What a member is at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Follows and votes.
    #[default]
    Follower,
    /// Follows and does not vote.
    Learner,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

impl Role {
    /// The word people read in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }
}

/// Where a member's log stands. All are log indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPosition {
    /// The first entry it still has.
    pub first_index: u64,
    /// The last entry it has.
    pub last_index: u64,
    /// Its term. A member of before this was told says 0.
    #[serde(default)]
    pub last_term: u64,
    /// The last entry that is durable here.
    pub durable_index: u64,
    /// The greatest index it knows to be committed.
    pub commit_index: u64,
    /// The greatest index its state machine has applied.
    pub applied_index: u64,
    /// The index of the membership in force; a change of members names it as the one it expects.
    pub config_index: u64,
}

/// The size of the state on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSize {
    /// Bytes of the file.
    pub total_bytes: u64,
    /// Bytes of it that hold data.
    pub in_use_bytes: u64,
    /// The quota; 0 is none.
    pub quota_bytes: u64,
}

/// A raised alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Alarm {
    /// Over the quota: writes that grow the state are refused.
    NoSpace,
    /// The state differs from that of other members.
    Corrupt,
}

/// Whom a port with certificates is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Clients, and whoever asks the admin endpoint.
    #[default]
    Client,
    /// Other members.
    Peer,
}

/// What a member shows and whom it believes in handshakes from now on. Digests are SHA-256 of the certificate, in
/// hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificatesInUse {
    /// For whom. Towards peers there are two of them: of the side that listens, and of the one that calls.
    pub side: Side,
    /// The digest of the certificate it shows.
    pub certificate: String,
    /// When that ends, in seconds since 1970; absent if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_seconds: Option<u64>,
    /// The digests of the authorities it believes, in order; none where nobody is asked for a certificate.
    #[serde(default)]
    pub trusted: Vec<String>,
}

/// The reply to `GET /v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Who it is.
    pub identity: Identity,
    /// The version of the daemon.
    pub version: String,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Whom it takes for the leader; absent when it knows none.
    #[serde(default)]
    pub leader: Option<Id>,
    /// Where its log stands.
    pub log: LogPosition,
    /// The latest revision of the key space it has applied.
    pub revision: u64,
    /// The size of its state.
    pub database: DatabaseSize,
    /// Alarms raised against this member.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// It serves clients: it knows a leader and has applied what was committed when it asked last.
    pub ready: bool,
    /// A snapshot is being installed here.
    #[serde(default)]
    pub installing_snapshot: bool,
    /// A transfer of leadership is under way.
    #[serde(default)]
    pub transferring_leadership: bool,
    /// The certificates it uses; none in plain text. A member of before this was told says none either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificatesInUse>,
    /// What its cluster was made of, if that was this member, in a cluster that had lost its quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<QuorumRecovered>,
}
