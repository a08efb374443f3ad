//! Names and labels: how the objects of a cluster find each other.

use crate::crd::RaftCluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use plan::{Ordinal, PLACES_MAX};
use std::collections::BTreeMap;

/// Whose objects these are.
pub const LABEL_CLUSTER: &str = "quorate.io/cluster";
/// Pods of the cluster's namespace that may ask its members how they are, where a network policy keeps others out.
pub const LABEL_ASKS: &str = "quorate.io/asks";
/// Who takes care of them.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// We do.
pub const MANAGED_BY: &str = "quorate-operator";
/// What an object was rendered as, in short: a field that is not wanted any more shows here and nowhere else.
pub const ANNOTATION_RENDERED: &str = "quorate.io/rendered";
/// The volume of each pod, by its name in the template.
pub(super) const VOLUME: &str = "data";

/// The names of a cluster's objects.
#[derive(Clone, Debug)]
pub struct Names {
    /// The cluster; also the stateful set, the budget, the account and the network policy.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
}

impl Names {
    /// Of a cluster.
    #[must_use]
    pub fn of(cluster: &RaftCluster) -> Self {
        Self { cluster: cluster.name_any(), namespace: cluster.namespace().unwrap_or_default() }
    }

    /// The Service that gives members their host names, ready or not.
    #[must_use]
    pub fn peer_service(&self) -> String {
        format!("{}-peer", self.cluster)
    }

    /// The Service that clients use.
    #[must_use]
    pub fn client_service(&self) -> String {
        format!("{}-client", self.cluster)
    }

    /// What members read when they start for the first time.
    #[must_use]
    pub fn config_map(&self) -> String {
        format!("{}-forming", self.cluster)
    }

    /// The authority that signs what clients and members show each other.
    #[must_use]
    pub fn client_authority(&self) -> String {
        format!("{}-client-ca", self.cluster)
    }

    /// The authority that signs what members show each other. Another one: a client's certificate opens no peer port.
    #[must_use]
    pub fn peer_authority(&self) -> String {
        format!("{}-peer-ca", self.cluster)
    }

    /// A certificate for clients to show.
    #[must_use]
    pub fn client_tls(&self) -> String {
        format!("{}-client-tls", self.cluster)
    }

    /// The certificate towards clients.
    #[must_use]
    pub fn server_tls(&self) -> String {
        format!("{}-server-tls", self.cluster)
    }

    /// The certificate towards peers.
    #[must_use]
    pub fn peer_tls(&self) -> String {
        format!("{}-peer-tls", self.cluster)
    }

    /// A member's host name, good inside the Kubernetes cluster.
    #[must_use]
    pub fn host(&self, ordinal: Ordinal) -> String {
        format!("{}.{}.{}.svc", pod_name(&self.cluster, ordinal), self.peer_service(), self.namespace)
    }
}

/// The pod at a place.
#[must_use]
pub fn pod_name(cluster: &str, ordinal: Ordinal) -> String {
    format!("{cluster}-{ordinal}")
}

/// The volume claim at a place.
#[must_use]
pub fn volume_name(cluster: &str, ordinal: Ordinal) -> String {
    format!("{VOLUME}-{cluster}-{ordinal}")
}

/// The place of a pod, by its name; `None` if it is not one of this cluster's.
#[must_use]
pub fn ordinal_of(cluster: &str, pod: &str) -> Option<Ordinal> {
    let digits = pod.strip_prefix(cluster)?.strip_prefix('-')?;
    let ordinal: Ordinal = digits.parse().ok()?;
    // No second name for one place: neither "+1" nor "01".
    (ordinal < PLACES_MAX && ordinal.to_string() == digits).then_some(ordinal)
}

/// What the pods of a cluster have and nothing else has.
#[must_use]
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", "quorate"), (LABEL_CLUSTER, cluster)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The same as text, for lists and for the scale subresource.
#[must_use]
pub fn selector_text(cluster: &str) -> String {
    let pairs: Vec<String> = selector(cluster).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// What every object of a cluster has.
#[must_use]
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY.into());
    labels.insert("app.kubernetes.io/instance".into(), cluster.to_owned());
    labels
}

pub(super) fn label_selector(cluster: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(cluster)), ..LabelSelector::default() }
}

/// The metadata of an object that goes when its cluster goes.
pub(crate) fn owned(cluster: &RaftCluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: cluster.namespace(),
        labels: Some(labels(&cluster.name_any())),
        owner_references: owner(cluster).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn owner(cluster: &RaftCluster) -> Option<OwnerReference> {
    cluster.controller_owner_ref(&())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_a_pods_name_and_from_no_other() {
        assert_eq!(ordinal_of("m", "m-0"), Some(0));
        assert_eq!(ordinal_of("m", "m-12"), Some(12));
        for stranger in ["m", "m-", "m-+1", "m-01", "m-x", "n-0", "m-0-1", "mm-0", "m-64", "m-4294967295"] {
            assert_eq!(ordinal_of("m", stranger), None, "{stranger}");
        }
        assert_eq!(ordinal_of("m-1", "m-1-2"), Some(2));
    }
}
