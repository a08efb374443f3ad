//! What a pod's template has besides what the cluster says.

use super::labels::Names;
use crate::crd::RaftCluster;

/// What a pod's template has besides what the cluster says. Members read certificates again by themselves: only the
/// names of the Secrets are part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The image's repository when the cluster names none.
    pub repository: String,
    /// The Secret towards clients, with TLS.
    pub server_secret: Option<String>,
    /// The Secret towards peers, with TLS.
    pub peer_secret: Option<String>,
}

impl Template {
    /// For a cluster, with the operator's own choice of a repository.
    #[must_use]
    pub fn of(cluster: &RaftCluster, repository: &str) -> Self {
        let names = Names::of(cluster);
        let tls = cluster.spec.tls.as_ref();
        Self {
            repository: repository.to_owned(),
            server_secret: tls.map(|tls| tls.client.secret_name.clone().unwrap_or_else(|| names.server_tls())),
            peer_secret: tls.map(|tls| tls.peer.secret_name.clone().unwrap_or_else(|| names.peer_tls())),
        }
    }
}
