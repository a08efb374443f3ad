//! What the operator found and does. It remembers here, and nowhere else.

use super::{QuorumRecoveryStatus, RefusedRecoveryStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found and does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RaftClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// In one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What is being waited for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The label selector of the members' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Pods made from the current template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Members that vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<i32>,
    /// Members that follow and do not vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learners: Option<i32>,
    /// The version that all members run; absent while they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The cluster that formed. Once it is here no empty volume may form another.
    #[serde(default, rename = "clusterID", skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Who leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeaderStatus>,
    /// Voters that are up and caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<QuorumStatus>,
    /// How the worst follower is. The figures are in the metrics: here they would never rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// What was accepted and is being made or kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latched: Option<Latched>,
    /// The one operation under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationStatus>,
    /// The recovery of a lost quorum that was taken up last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_recovery: Option<QuorumRecoveryStatus>,
    /// The request for one that was refused last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_recovery: Option<RefusedRecoveryStatus>,
    /// The members, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// The snapshots in the object store; absent without one, and while no leader says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<SnapshotsStatus>,
    /// The authorities of the operator's own making, and where their change stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<AuthorityStatus>,
    /// The certificates that they signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// What failed lately, the latest first; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_errors: Vec<LastError>,
    /// Available, Progressing, Degraded, ReplicationHealthy, Paused; SettingsLeftOut, which names what of config.extra
    /// members do not get; with certificates of the operator's own making AuthorityChanging; with an object store
    /// ObjectStoreReady, which names what they lack for it; once somebody has asked to recover a lost quorum
    /// RecoveringQuorum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The first members look for each other.
    Forming,
    /// As asked for.
    Running,
    /// An operation is under way.
    Progressing,
    /// Something is in the way of what was asked for.
    Blocked,
    /// No leader that hears a quorum.
    QuorumLost,
    /// Asked to touch nothing.
    Paused,
    /// Asked to have no pods.
    Hibernated,
    /// On its way out.
    Deleting,
}

/// How the worst follower is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Replication {
    /// All are caught up.
    CaughtUp,
    /// One is connected and behind.
    Behind,
    /// One is not heard.
    Away,
    /// No leader says.
    Unknown,
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaderStatus {
    /// Its pod's name.
    #[serde(default)]
    pub member: String,
    /// Its id.
    #[serde(default)]
    pub id: String,
}

/// Voters that are up and caught up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuorumStatus {
    /// How many it takes.
    #[serde(default)]
    pub required: i32,
    /// How many there are.
    #[serde(default)]
    pub healthy: i32,
    /// How many more may fail.
    #[serde(default)]
    pub margin: i32,
}

/// What was accepted and is being made or kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latched {
    /// Voters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Pods that the stateful set should have.
    #[serde(default)]
    pub places: u32,
    /// The pods were taken away on request.
    #[serde(default)]
    pub hibernated: bool,
    /// It has been said that the quorum is lost. From here on a request to recover it counts.
    #[serde(default)]
    pub quorum_lost: bool,
}

/// The one operation under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// ScaleOut, ScaleIn, ReplaceMember, FinishLearner or RestartMember.
    #[serde(rename = "type")]
    pub kind: String,
    /// The place it is about.
    pub ordinal: u32,
    /// Why a member comes: ScaleOut, VolumeLost, Corrupt, Away, StaleDisk or Found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The id of the member that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The id of the member that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_member: Option<String>,
    /// The volume claim that goes before the member comes, by UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe_volume: Option<String>,
    /// The pod that is made anew, by UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The pod that was made to try again, by UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nudged_pod: Option<String>,
    /// When it began.
    pub started_at: Time,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemberRole {
    /// It leads.
    Leader,
    /// It follows and votes.
    Follower,
    /// It follows and does not vote.
    Learner,
    /// It has a pod and is no member.
    None,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its pod's name.
    pub name: String,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<MemberRole>,
    /// How its leader sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// Its pod is ready.
    #[serde(default)]
    pub ready: bool,
    /// The version it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The node it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its volume claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<MemberVolume>,
}

/// A member's volume claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberVolume {
    /// The claim's name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// What it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<String>,
}

/// The snapshots in the object store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotsStatus {
    /// The pod of the member that stages them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stager: Option<String>,
    /// How many are kept.
    #[serde(default)]
    pub kept: i32,
    /// The newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<SnapshotStatus>,
}

/// A snapshot in the object store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// Its id: what `quorate restore` takes.
    #[serde(default)]
    pub id: String,
    /// The log index it holds everything up to.
    #[serde(default)]
    pub index: u64,
    /// The newest revision in it.
    #[serde(default)]
    pub revision: u64,
    /// Its size, with what it shares with others.
    #[serde(default)]
    pub bytes: u64,
    /// When it was staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_at: Option<Time>,
}

/// Where the change of an authority stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthorityPhase {
    /// One signs, and it alone is trusted.
    #[default]
    Settled,
    /// The next one is trusted, too, and signs nothing yet.
    Announced,
    /// The next one signs; the one before is still trusted.
    Succeeded,
}

/// The authority of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityStatus {
    /// Its Secret.
    #[serde(default)]
    pub secret: String,
    /// The request that the one that signs was made for.
    #[serde(default)]
    pub generation: u32,
    /// When the one that signs ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// Where its change stands.
    #[serde(default)]
    pub phase: AuthorityPhase,
    /// Since when all members have taken the last step; absent while they have not, or it need not stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_at: Option<Time>,
    /// Members that have not taken the last step yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
}

/// A certificate of the operator's own making.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Its Secret.
    #[serde(default)]
    pub secret: String,
    /// When it ends; a new one is made when a third of its life is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// A stable word.
    pub code: String,
    /// For people.
    pub message: String,
    /// When it was seen last.
    pub time: Time,
}
