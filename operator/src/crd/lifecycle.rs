//! How a cluster changes, heals and is guarded.

use super::DurationText;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When a follower counts as caught up, by its leader's measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatchUp {
    /// Entries of the leader's log it may lack.
    #[serde(default = "thousand")]
    pub max_lag_entries: u64,
    /// How old the oldest of them may be.
    #[serde(default = "two_seconds")]
    pub max_lag_time: DurationText,
    /// How long both must have held without a break.
    #[serde(default = "ten_seconds")]
    pub stable_for: DurationText,
    /// A new member that takes longer is reported. It is never given up by itself.
    #[serde(default = "half_an_hour")]
    pub timeout: DurationText,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            max_lag_entries: thousand(),
            max_lag_time: two_seconds(),
            stable_for: ten_seconds(),
            timeout: half_an_hour(),
        }
    }
}

fn thousand() -> u64 {
    1000
}

fn two_seconds() -> DurationText {
    DurationText::of("2s")
}

fn ten_seconds() -> DurationText {
    DurationText::of("10s")
}

fn half_an_hour() -> DurationText {
    DurationText::of("30m")
}

/// How a new template reaches the members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// Restart nothing. Members that start for another reason start with the new template.
    #[serde(default)]
    pub paused: bool,
}

/// What happens to members that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepairSpec {
    /// Whether they are replaced without asking.
    #[serde(default)]
    pub mode: RepairMode,
    /// How long a member may be away before it is replaced. One whose volume is lost is replaced at once.
    #[serde(default = "away")]
    pub unreachable_for: DurationText,
}

impl Default for RepairSpec {
    fn default() -> Self {
        Self { mode: RepairMode::default(), unreachable_for: away() }
    }
}

fn away() -> DurationText {
    DurationText::of("10m")
}

/// Whether lost members are replaced without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RepairMode {
    /// Yes, as long as the others are a healthy quorum.
    #[default]
    Automatic,
    /// No: it is only said.
    Manual,
}

/// Keeps drains from costing the quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudget {
    /// Whether there is one.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for DisruptionBudget {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn yes() -> bool {
    true
}

/// Who may reach the members. Members always reach each other; the operator reaches the admin port, and so do pods of the
/// namespace with the label quorate.io/asks and the cluster's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether there is one.
    #[serde(default)]
    pub enabled: bool,
    /// Who may reach the client port. Empty is everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub client_from: Vec<NetworkPolicyPeer>,
}

/// Labels and annotations for the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels, besides the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
