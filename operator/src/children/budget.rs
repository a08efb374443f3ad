//! The disruption budget: a drain may not cost the quorum, whether the operator runs or not.

use super::labels::{Names, label_selector, owned};
use crate::crd::RaftCluster;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use plan::quorum;

/// At least a quorum of the greater of what votes and what should. `None` if it was not asked for.
///
/// Members count only while they are ready, which one that does not vote never is.
#[must_use]
pub fn disruption_budget(cluster: &RaftCluster, voters: u32) -> Option<PodDisruptionBudget> {
    let names = Names::of(cluster);
    let least = quorum(voters.max(cluster.spec.replicas));
    cluster.spec.pod_disruption_budget.enabled.then(|| PodDisruptionBudget {
        metadata: owned(cluster, names.cluster.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(i32::try_from(least).unwrap_or(i32::MAX))),
            selector: Some(label_selector(&names.cluster)),
            // A member that is not ready guards nothing: it may go as long as the others are enough.
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
