//! Two Services: one gives members their host names whether they are ready or not, the other has ready ones only.

use super::labels::{Names, owned, selector};
use super::pod::{PORT_CLIENT, PORT_METRICS, PORT_PEER};
use crate::crd::RaftCluster;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

/// For members: without it being there early and whole they never find each other.
#[must_use]
pub fn peer_service(cluster: &RaftCluster) -> Service {
    let names = Names::of(cluster);
    let spec = ServiceSpec {
        cluster_ip: Some("None".into()),
        publish_not_ready_addresses: Some(true),
        ports: Some(vec![port("client", PORT_CLIENT), port("peer", PORT_PEER), port("metrics", PORT_METRICS)]),
        selector: Some(selector(&names.cluster)),
        ..ServiceSpec::default()
    };
    Service { metadata: owned(cluster, names.peer_service()), spec: Some(spec), status: None }
}

/// For clients.
#[must_use]
pub fn client_service(cluster: &RaftCluster) -> Service {
    let names = Names::of(cluster);
    let spec = ServiceSpec {
        type_: Some("ClusterIP".into()),
        ports: Some(vec![port("client", PORT_CLIENT)]),
        selector: Some(selector(&names.cluster)),
        ..ServiceSpec::default()
    };
    Service { metadata: owned(cluster, names.client_service()), spec: Some(spec), status: None }
}

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort { name: Some(name.into()), port, protocol: Some("TCP".into()), ..ServicePort::default() }
}
