//! Where members run.

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where members run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Whether two members may share a place.
    #[serde(default)]
    pub anti_affinity: AntiAffinity,
    /// What counts as a place: a label of nodes.
    #[serde(default = "hostname")]
    #[schemars(length(max = 253))]
    pub topology_key: String,
    /// How members spread. Absent is as evenly over zones as possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that members tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// The priority of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            anti_affinity: AntiAffinity::default(),
            topology_key: hostname(),
            topology_spread_constraints: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            priority_class_name: None,
        }
    }
}

fn hostname() -> String {
    "kubernetes.io/hostname".into()
}

/// Whether two members may share a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AntiAffinity {
    /// Never: a member without a place of its own waits.
    Required,
    /// Only if there is no other.
    #[default]
    Preferred,
    /// It does not matter.
    None,
}
