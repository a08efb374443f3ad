//! Who may reach the members, on request.

use super::labels::{LABEL_ASKS, Names, label_selector, owned};
use super::pod::{PORT_ADMIN, PORT_CLIENT, PORT_METRICS, PORT_PEER};
use crate::crd::RaftCluster;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Peers reach peers, operators and whoever is labelled for it the admin port, clients the client port, anybody the metrics. `None` if it was
/// not asked for.
#[must_use]
pub fn network_policy(cluster: &RaftCluster) -> Option<NetworkPolicy> {
    let asked = &cluster.spec.network_policy;
    let names = Names::of(cluster);
    let own = NetworkPolicyPeer { pod_selector: Some(label_selector(&names.cluster)), ..NetworkPolicyPeer::default() };
    let spec = NetworkPolicySpec {
        pod_selector: Some(label_selector(&names.cluster)),
        policy_types: Some(vec!["Ingress".into()]),
        ingress: Some(vec![
            rule(&[PORT_PEER, PORT_CLIENT], vec![own]),
            rule(&[PORT_ADMIN], vec![operator(), asker(&names.cluster)]),
            rule(&[PORT_CLIENT], asked.client_from.clone()),
            rule(&[PORT_METRICS], Vec::new()),
        ]),
        ..NetworkPolicySpec::default()
    };
    asked.enabled.then(|| NetworkPolicy { metadata: owned(cluster, names.cluster), spec: Some(spec) })
}

/// An empty list of peers is everybody.
fn rule(ports: &[i32], from: Vec<NetworkPolicyPeer>) -> NetworkPolicyIngressRule {
    let port = |port: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*port)),
        protocol: Some("TCP".into()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicyIngressRule { ports: Some(ports.iter().map(port).collect()), from: (!from.is_empty()).then_some(from) }
}

/// The operator's pods, in whichever namespace.
fn operator() -> NetworkPolicyPeer {
    let labels = [("app.kubernetes.io/name".to_owned(), "quorate-operator".to_owned())];
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(LabelSelector { match_labels: Some(labels.into()), ..LabelSelector::default() }),
        ip_block: None,
    }
}

/// Pods of the same namespace that say by a label that they ask this cluster's members: the chart's test, a person's own.
/// Whoever makes pods there could as well give them the members' labels.
fn asker(cluster: &str) -> NetworkPolicyPeer {
    let labels = [(LABEL_ASKS.to_owned(), cluster.to_owned())];
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector { match_labels: Some(labels.into()), ..LabelSelector::default() }),
        ..NetworkPolicyPeer::default()
    }
}
