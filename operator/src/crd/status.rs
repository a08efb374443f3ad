//! What the operator found and does. It remembers here, and nowhere else.

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
    /// The members, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// What failed lately, the latest first; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_errors: Vec<LastError>,
    /// Available, Progressing, Degraded, ReplicationHealthy, Paused; SettingsLeftOut, which names what of config.extra
    /// members do not get; and with an object store ObjectStoreReady, which names what they lack for it.
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
