//! From the objects of the API to the words of the plan.

use crate::wanted::time;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{Resource, ResourceExt};
use plan::{Exit, PodState, Set, Uid, Volume};

/// What the daemon ends with when its disk is not the one its cluster knows.
const EXIT_DISK_REPLACED: i32 = 71;
/// When its cluster has removed it.
const EXIT_REMOVED: i32 = 72;
/// When its disk belongs elsewhere, or its cluster does not know it.
const EXIT_WRONG_IDENTITY: i32 = 73;
/// When what its disk holds has rotted.
const EXIT_DAMAGED: i32 = 74;
/// The label that says what a pod was made from.
const LABEL_REVISION: &str = "controller-revision-hash";

/// The identity of an object.
pub(crate) fn uid(object: &impl Resource) -> Uid {
    Uid(object.meta().uid.clone().unwrap_or_default())
}

pub(super) fn set(set: &StatefulSet) -> Set {
    let status = set.status.as_ref();
    let spec = set.spec.as_ref();
    let has_seen = status.and_then(|status| status.observed_generation) >= set.metadata.generation;
    let claim = spec.and_then(|spec| spec.volume_claim_templates.as_ref()?.first());
    Set {
        uid: uid(set),
        replicas: spec.and_then(|spec| spec.replicas).and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        revision: status.filter(|_| has_seen).and_then(|status| status.update_revision.clone()),
        storage_bytes: claim.and_then(requested).unwrap_or(u64::MAX),
        terminating: set.metadata.deletion_timestamp.is_some(),
    }
}

pub(super) fn pod(pod: &Pod) -> plan::Pod {
    let status = pod.status.as_ref();
    let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
    let running = container.and_then(|container| container.state.as_ref()?.running.as_ref()).is_some();
    plan::Pod {
        uid: uid(pod),
        revision: pod.labels().get(LABEL_REVISION).cloned().unwrap_or_default(),
        state: if running { PodState::Running } else { PodState::Down },
        terminating: pod.metadata.deletion_timestamp.is_some(),
        unready_since: unready_since(pod),
        restarts: container.and_then(|container| u32::try_from(container.restart_count).ok()).unwrap_or(0),
        last_exit: container.and_then(last_exit),
    }
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    unready_since(pod).is_none()
}

fn unready_since(pod: &Pod) -> Option<plan::Time> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition.type_ == "Ready"));
    let made = pod.metadata.creation_timestamp.as_ref();
    match ready {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => condition.last_transition_time.as_ref().or(made).map(|at| time(at.0)),
        None => Some(made.map_or(plan::Time(0), |at| time(at.0))),
    }
}

fn last_exit(container: &ContainerStatus) -> Option<Exit> {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.clone())
    };
    let terminated = ended(&container.state).or_else(|| ended(&container.last_state))?;
    Some(match terminated.exit_code {
        EXIT_DISK_REPLACED => Exit::DiskReplaced,
        EXIT_REMOVED => Exit::Removed,
        EXIT_WRONG_IDENTITY => Exit::WrongIdentity,
        EXIT_DAMAGED => Exit::Damaged,
        _ => Exit::Other,
    })
}

pub(super) fn volume(claim: &PersistentVolumeClaim) -> Volume {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    Volume {
        uid: uid(claim),
        // What does not read is never made to grow.
        requested_bytes: requested(claim).unwrap_or(u64::MAX),
        lost: phase == Some("Lost"),
        terminating: claim.metadata.deletion_timestamp.is_some(),
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<u64> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").and_then(bytes)
}

fn bytes(quantity: &Quantity) -> Option<u64> {
    crate::crd::Size::of(&quantity.0).bytes().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn a_pod(status: &serde_json::Value) -> Pod {
        let meta = json!({ "name": "m-0", "uid": "u", "labels": { "controller-revision-hash": "r1" }, "creationTimestamp": "2026-01-01T00:00:00Z" });
        serde_json::from_value(json!({ "metadata": meta, "status": status })).expect("a pod")
    }

    #[test]
    fn a_ready_pod_is_ready() {
        let seen = pod(&a_pod(&json!({
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "quorate", "image": "q", "imageID": "", "ready": true, "restartCount": 2, "state": { "running": {} } }]
        })));
        assert_eq!((seen.state, seen.unready_since, seen.restarts), (PodState::Running, None, 2));
        assert_eq!(seen.revision, "r1");
    }

    #[test]
    fn how_a_process_ended_is_read_between_two_tries() {
        let exits = [
            (71, Exit::DiskReplaced),
            (72, Exit::Removed),
            (73, Exit::WrongIdentity),
            (74, Exit::Damaged),
            (1, Exit::Other),
        ];
        for (code, exit) in exits {
            let seen = pod(&a_pod(&json!({
                "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:01:00Z" }],
                "containerStatuses": [{
                    "name": "quorate", "image": "q", "imageID": "", "ready": false, "restartCount": 3,
                    "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                    "lastState": { "terminated": { "exitCode": code } }
                }]
            })));
            assert_eq!((seen.state, seen.last_exit), (PodState::Down, Some(exit)));
            assert_eq!(seen.unready_since, Some(time("2026-01-01T00:01:00Z".parse().expect("a time"))));
        }
    }

    #[test]
    fn a_pod_that_nobody_has_started_is_down_since_it_was_made() {
        let seen = pod(&a_pod(&json!({})));
        assert_eq!(seen.state, PodState::Down);
        assert_eq!(seen.unready_since, Some(time("2026-01-01T00:00:00Z".parse().expect("a time"))));
    }

    #[test]
    fn a_template_counts_once_its_controller_has_seen_it() {
        let object = |observed: i64| -> StatefulSet {
            serde_json::from_value(json!({
                "metadata": { "uid": "s", "generation": 2 },
                "spec": {
                    "replicas": 3, "selector": {}, "serviceName": "m-peer", "template": {},
                    "volumeClaimTemplates": [{ "spec": { "resources": { "requests": { "storage": "10Gi" } } } }]
                },
                "status": { "replicas": 3, "observedGeneration": observed, "updateRevision": "r2" }
            }))
            .expect("a set")
        };
        assert_eq!(set(&object(1)).revision, None);
        assert_eq!(set(&object(2)).revision.as_deref(), Some("r2"));
        assert_eq!((set(&object(2)).replicas, set(&object(2)).storage_bytes), (3, 10 << 30));
    }
}
