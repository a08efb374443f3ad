//! What is asked for when the quorum is lost, and what came of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request to make a new cluster of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuorumRecoverySpec {
    /// A word that names the request. Another word is another request.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"))]
    pub request: String,
    /// Must be true: whatever only lost members had is lost, acknowledged writes among it.
    #[x_kube(validation = Rule::new("self").message("acceptDataLoss must be true: what only lost members had is lost"))]
    pub accept_data_loss: bool,
    /// The pod of the member that is to go on. Absent is the one whose log goes furthest, of those that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub survivor: Option<String>,
}

/// How far a recovery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecoveryPhase {
    /// The member is asked, and has not said that it has become another cluster.
    Asked,
    /// It has; the other places get new members.
    Recovered,
    /// They have.
    Done,
    /// The former cluster has a leader again that hears its quorum: nothing was lost.
    Abandoned,
}

/// The recovery of a lost quorum that was taken up last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuorumRecoveryStatus {
    /// The word of the request.
    pub request: String,
    /// How far it has come.
    pub phase: RecoveryPhase,
    /// The pod of the member that was chosen.
    pub survivor: String,
    /// The id of that member in the former cluster, until it has become another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survivor_id: Option<String>,
    /// The cluster that had lost its quorum.
    pub old_cluster_id: String,
    /// The one that was made of the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_cluster_id: Option<String>,
    /// When it was taken up.
    pub started_at: Time,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// The request to recover a lost quorum that was refused last. It stays refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedRecoveryStatus {
    /// The word of the request.
    pub request: String,
    /// Why, in a word.
    pub reason: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}
