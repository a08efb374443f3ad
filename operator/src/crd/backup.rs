//! Backups, as they will be written. Their shapes are settled; nothing acts on them yet, so they are not installed.

use super::{DurationText, ObjectStore};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One backup of one cluster, taken once.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "quorate.io",
    version = "v1alpha1",
    kind = "RaftBackup",
    plural = "raftbackups",
    shortname = "rcb",
    namespaced,
    status = "BackupStatus",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Index", type_ = "integer", json_path = ".status.index"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a backup is taken once: make another one"))]
pub struct RaftBackupSpec {
    /// Of which cluster of this namespace.
    pub cluster: ClusterReference,
    /// Where to. Absent is the cluster's own object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
}

/// A cluster of this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReference {
    /// Its name.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupPhase {
    /// Not begun.
    Pending,
    /// Being taken.
    Running,
    /// Taken.
    Completed,
    /// It will not be.
    Failed,
}

/// What became of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupPhase>,
    /// The log index it holds everything up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Where its manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// Completed, Failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Backups by the clock.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "quorate.io",
    version = "v1alpha1",
    kind = "RaftScheduledBackup",
    plural = "raftscheduledbackups",
    shortname = "rcsb",
    namespaced,
    status = "ScheduledBackupStatus",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.backup.cluster.name"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastScheduleTime")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.keepLast) || has(self.keepFor)")
    .message("say how many backups are kept, by keepLast or by keepFor"))]
pub struct RaftScheduledBackupSpec {
    /// When, as cron has it: minute, hour, day of month, month, day of week, in UTC.
    #[schemars(length(min = 9, max = 128), regex(pattern = r"^\S+ \S+ \S+ \S+ \S+$"))]
    pub schedule: String,
    /// What each time.
    pub backup: RaftBackupSpec,
    /// Take none for now.
    #[serde(default)]
    pub suspend: bool,
    /// Take one at once as well.
    #[serde(default)]
    pub immediate: bool,
    /// What happens when the last one is still being taken.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// How many are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep_last: Option<u32>,
    /// For how long they are kept. The newest good one is kept in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<DurationText>,
}

/// What happens when the last backup is still being taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Concurrency {
    /// This one is left out.
    #[default]
    Forbid,
}

/// How a schedule goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledBackupStatus {
    /// When one was begun last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the next one is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// The last good one, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful: Option<String>,
    /// Ready, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
