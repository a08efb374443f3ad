//! The members' volumes.

use super::Size;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The members' volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("the storage class cannot be changed: make another cluster"))]
pub struct Storage {
    /// The size of each member's volume. It can grow, if the storage class lets volumes grow; members are not
    /// restarted for it.
    #[serde(default = "ten")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0")
        .message("a volume cannot shrink"))]
    pub size: Size,
    /// The storage class. Absent is the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What becomes of the volume of a member that was scaled away. A kept one goes when its place is taken again:
    /// the data of a removed member can never rejoin.
    #[serde(default = "Disposal::delete")]
    pub on_scale_in: Disposal,
    /// What becomes of the volumes when the cluster is deleted.
    #[serde(default = "Disposal::retain")]
    pub on_delete: Disposal,
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: ten(), storage_class_name: None, on_scale_in: Disposal::Delete, on_delete: Disposal::Retain }
    }
}

fn ten() -> Size {
    Size::of("10Gi")
}

/// What becomes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Disposal {
    /// It goes.
    Delete,
    /// It stays.
    Retain,
}

impl Disposal {
    fn delete() -> Self {
        Self::Delete
    }

    fn retain() -> Self {
        Self::Retain
    }
}
