//! The cluster.

use super::{
    CatchUp, Config, DisruptionBudget, DurationText, NetworkPolicySpec, ObjectStore, PodMetadata, QuorumRecoverySpec,
    RaftClusterStatus, RepairSpec, Scheduling, Storage, Tls, Update,
};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cluster should be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "quorate.io",
    version = "v1alpha1",
    kind = "RaftCluster",
    plural = "raftclusters",
    shortname = "rc",
    category = "all",
    namespaced,
    status = "RaftClusterStatus",
    derive = "PartialEq",
    doc = "A replicated key-value store that speaks etcd v3: so many voters, each with a volume of its own.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader.member"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Replication", type_ = "string", json_path = ".status.replication"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Operation", type_ = "string", json_path = ".status.operation.type", priority = 1),
    printcolumn(name = "Cluster-ID", type_ = "string", json_path = ".status.clusterID", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 40")
        .message("the name may have at most 40 characters: pods and labels are made from it"),
    validation = Rule::new("!self.metadata.name.contains('.')")
        .message("the name may hold no dots: it is part of host names")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.objectStore) || !has(self.config) || !has(self.config.extra) || !('backup-store' in self.config.extra)")
    .message("set only one of objectStore and backup-store of config.extra"))]
#[x_kube(validation = Rule::new("!has(self.objectStore) || !has(self.objectStore.encryption) || !has(self.config) || !has(self.config.extra) || (!('backup-encryption-key-file' in self.config.extra) && !('backup-encryption-key-dir' in self.config.extra))")
    .message("set only one of objectStore.encryption and backup-encryption-key-file or backup-encryption-key-dir of config.extra"))]
#[x_kube(validation = Rule::new("self.replicas % 2 == 1 || self.allowEvenReplicas")
    .message("an even number of voters survives no more failures than one less; set allowEvenReplicas to have it"))]
#[x_kube(validation = Rule::new("has(self.tls) == has(oldSelf.tls)")
    .message("TLS can be chosen only when the cluster is made: members either all speak it or none does"))]
pub struct RaftClusterSpec {
    /// How many members vote. They are added and removed one at a time.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 9))]
    pub replicas: u32,
    /// Permits an even number of voters.
    #[serde(default)]
    pub allow_even_replicas: bool,
    /// The version of the daemon, X.Y.Z. It names the image's tag. A change restarts the members one by one, each
    /// when the last one has caught up.
    #[schemars(length(max = 24), regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+$"))]
    #[x_kube(validation = Rule::new("int(self.split('.')[0]) == int(oldSelf.split('.')[0]) && int(self.split('.')[1]) <= int(oldSelf.split('.')[1]) + 1")
        .message("a version may go up by at most one minor number at a time, and never to another major one"))]
    pub version: String,
    /// Where the image comes from.
    #[serde(default)]
    pub image: Image,
    /// Settings of the members. A change restarts them one by one.
    #[serde(default)]
    pub config: Config,
    /// The members' volumes.
    #[serde(default)]
    pub storage: Storage,
    /// Where snapshots of the cluster go, and where members that are far behind fetch them. A change restarts the
    /// members one by one; what is in the Secrets that it names does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
    /// What each member's container asks for and may use.
    #[serde(default)]
    pub resources: Option<ResourceRequirements>,
    /// Where members run.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// Certificates. Absent is plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// When a follower counts as caught up: the gate before every step.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How a new template reaches the members.
    #[serde(default)]
    pub update: Update,
    /// What happens to members that are lost.
    #[serde(default)]
    pub repair: RepairSpec,
    /// For a quorum that is lost for good: make a new cluster of one member. A request is taken up once for its word, and
    /// only if the status said that the quorum is lost before the word was given; at any other time it is refused, and
    /// never comes back by itself. What the chosen member does not have is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_recovery: Option<QuorumRecoverySpec>,
    /// After this an operation that has not ended is called stuck. It goes on all the same.
    #[serde(default = "ten_minutes")]
    pub progress_deadline: DurationText,
    /// Touch nothing: no object is changed, no member added, removed or restarted.
    #[serde(default)]
    pub paused: bool,
    /// No pods; volumes and identities are kept.
    #[serde(default)]
    pub hibernated: bool,
    /// Keeps drains from costing the quorum.
    #[serde(default)]
    pub pod_disruption_budget: DisruptionBudget,
    /// Who may reach the members.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,
    /// Labels and annotations for the pods.
    #[serde(default)]
    pub pod_metadata: PodMetadata,
}

fn three() -> u32 {
    3
}

fn ten_minutes() -> DurationText {
    DurationText::of("10m")
}

/// Where the image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The repository, without a tag. Absent is the operator's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub repository: Option<String>,
    /// The image's digest; it goes before the version's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// When the image is pulled.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Names of Secrets of this namespace that a pull needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pull_secrets: Vec<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// If the node does not have it.
    #[default]
    IfNotPresent,
    /// Each time.
    Always,
    /// Never.
    Never,
}

impl PullPolicy {
    /// The word of the pod's specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}
