//! What members read when they start for the first time: whom to look for, and whether empty disks may form a cluster.
//!
//! It is no part of the pods' template: the permission to form a cluster ends while they run.

use super::labels::{Names, owned, pod_name};
use super::pod::{PORT_PEER, scheme};
use crate::crd::RaftCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use plan::{Memory, PLACES_MAX};

/// The key of the list of members.
pub(super) const KEY_MEMBERS: &str = "initial-cluster";
/// The key of the permission.
pub(super) const KEY_STATE: &str = "initial-cluster-state";

/// For what is remembered of the cluster.
#[must_use]
pub fn config_map(cluster: &RaftCluster, memory: &Memory) -> ConfigMap {
    let names = Names::of(cluster);
    let scheme = scheme(cluster.spec.tls.is_some());
    // First members must find exactly each other. Later ones ask whoever is there, and must be in the list themselves
    // before they start.
    let forming = memory.cluster.is_none();
    let places = if forming { memory.places } else { memory.places.max(cluster.spec.replicas) };
    let members: Vec<String> = (0..places.min(PLACES_MAX))
        .map(|at| format!("{}={scheme}://{}:{PORT_PEER}", pod_name(&names.cluster, at), names.host(at)))
        .collect();
    let state = if forming { "new" } else { "existing" };
    let data = [(KEY_MEMBERS, members.join(",")), (KEY_STATE, state.to_owned())];
    ConfigMap {
        metadata: owned(cluster, names.config_map()),
        data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
        ..ConfigMap::default()
    }
}
