//! From the words of the status and the spec to those of the plan, and back.

mod recovery;

pub use recovery::{refused_words, stage_words};

use crate::crd::{Disposal, Latched, OperationStatus, RaftCluster, RaftClusterStatus, RepairMode, TextError};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as KubeTime;
use plan::{
    CatchUp, JoinWhy, MemberId, Memory, Operation, OperationKind, PLACES_MAX, Repair, ScaleIn, Time, Uid, Wanted,
};

/// What was asked for.
///
/// # Errors
/// A text of the spec does not read, or a number is none that can be. The API server refuses such; an older one may have
/// let it through.
pub fn wanted(cluster: &RaftCluster) -> Result<Wanted, TextError> {
    let spec = &cluster.spec;
    let away_for = spec.repair.unreachable_for.get()?;
    Ok(Wanted {
        replicas: voters(spec.replicas)?,
        storage_bytes: spec.storage.size.bytes()?,
        paused: spec.paused,
        hibernated: spec.hibernated,
        update_paused: spec.update.paused,
        deleting: cluster.metadata.deletion_timestamp.is_some(),
        delete_volumes: spec.storage.on_delete == Disposal::Delete,
        scale_in: match spec.storage.on_scale_in {
            Disposal::Delete => ScaleIn::Delete,
            Disposal::Retain => ScaleIn::Retain,
        },
        catch_up: CatchUp {
            entries_max: spec.catch_up.max_lag_entries,
            lag_max: spec.catch_up.max_lag_time.get()?,
            stable_for: spec.catch_up.stable_for.get()?,
            timeout: spec.catch_up.timeout.get()?,
        },
        repair: match spec.repair.mode {
            RepairMode::Automatic => Repair::Automatic { away_for },
            RepairMode::Manual => Repair::Manual,
        },
        recovery: recovery::wanted(cluster),
        progress_deadline: spec.progress_deadline.get()?,
    })
}

/// A cluster of nobody is none; one of thousands is a slip that would cost all the other clusters their operator.
fn voters(replicas: u32) -> Result<u32, TextError> {
    if (1..=PLACES_MAX).contains(&replicas) { Ok(replicas) } else { Err(TextError::Voters(replicas)) }
}

/// What the status remembers. Whatever does not read is as if it were not there: what follows from it is looked at
/// anew.
#[must_use]
pub fn memory(status: Option<&RaftClusterStatus>) -> Memory {
    let Some(status) = status else { return Memory::default() };
    let latched = status.latched.unwrap_or_default();
    Memory {
        cluster: status.cluster_id.as_deref().and_then(|text| u64::from_str_radix(text, 16).ok()),
        replicas: latched.replicas,
        places: latched.places.min(PLACES_MAX),
        hibernated: latched.hibernated,
        quorum_lost: latched.quorum_lost,
        recovery: status.quorum_recovery.as_ref().and_then(recovery::taken_up),
        recovery_refused: status.refused_recovery.as_ref().and_then(recovery::refused),
        operation: status.operation.as_ref().and_then(operation),
    }
}

/// The memory, into the status of the cluster of this name.
pub fn remember(name: &str, memory: &Memory, status: &mut RaftClusterStatus) {
    status.cluster_id = memory.cluster.map(|id| format!("{id:x}"));
    let Memory { replicas, places, hibernated, quorum_lost, .. } = *memory;
    status.latched = Some(Latched { replicas, places, hibernated, quorum_lost });
    status.quorum_recovery = memory.recovery.as_ref().map(|taken_up| recovery::taken_up_status(taken_up, name));
    status.refused_recovery = memory.recovery_refused.as_ref().map(recovery::refused_status);
    status.operation = memory.operation.as_ref().map(operation_status);
}

/// A moment, as the plan has it.
#[must_use]
pub fn time(at: Timestamp) -> Time {
    Time(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

fn kube_time(at: Time) -> KubeTime {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    KubeTime(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn id(text: &str) -> Option<MemberId> {
    u64::from_str_radix(text, 16).ok().map(MemberId)
}

fn why(name: &str) -> Option<JoinWhy> {
    let all =
        [JoinWhy::ScaleOut, JoinWhy::VolumeLost, JoinWhy::Corrupt, JoinWhy::Away, JoinWhy::StaleDisk, JoinWhy::Found];
    all.into_iter().find(|why| why.name() == name)
}

fn operation(status: &OperationStatus) -> Option<Operation> {
    let uid = |text: &Option<String>| text.clone().map(Uid);
    let ordinal = status.ordinal;
    let kind = match (status.kind.as_str(), &status.member, &status.pod) {
        ("ScaleIn", ..) => OperationKind::Shrink { ordinal },
        ("RestartMember", _, Some(pod)) => OperationKind::Restart { ordinal, pod: Uid(pod.clone()) },
        (_, Some(member), _) if ordinal < PLACES_MAX => OperationKind::Join {
            ordinal,
            member: id(member)?,
            old: status.old_member.as_deref().and_then(id),
            wipe: uid(&status.wipe_volume),
            why: status.why.as_deref().and_then(why)?,
            nudged: uid(&status.nudged_pod),
        },
        _ => return None,
    };
    Some(Operation { kind, started: time(status.started_at.0) })
}

fn operation_status(operation: &Operation) -> OperationStatus {
    let mut status = OperationStatus {
        kind: operation.kind.name().to_owned(),
        ordinal: operation.kind.ordinal(),
        why: None,
        member: None,
        old_member: None,
        wipe_volume: None,
        pod: None,
        nudged_pod: None,
        started_at: kube_time(operation.started),
    };
    match &operation.kind {
        OperationKind::Join { member, old, wipe, why, nudged, .. } => {
            status.why = Some(why.name().to_owned());
            status.member = Some(member.to_string());
            status.old_member = old.map(|old| old.to_string());
            status.wipe_volume = wipe.as_ref().map(ToString::to_string);
            status.nudged_pod = nudged.as_ref().map(ToString::to_string);
        }
        OperationKind::Restart { pod, .. } => status.pod = Some(pod.to_string()),
        OperationKind::Shrink { .. } => {}
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{Recovery, RecoveryRefused, RecoveryStage, Refused};
    use serde_json::json;

    fn round_trip(kind: OperationKind) {
        let operation = Operation { kind, started: Time(1_700_000_000_000) };
        let memory = Memory {
            cluster: Some(0xfedc_ba98_7654_3210),
            replicas: Some(3),
            places: 4,
            operation: Some(operation),
            ..Memory::default()
        };
        comes_back(&memory);
    }

    fn comes_back(memory: &Memory) {
        let mut status = RaftClusterStatus::default();
        remember("m", memory, &mut status);
        let text = serde_json::to_string(&status).expect("it serializes");
        let read: RaftClusterStatus = serde_json::from_str(&text).expect("it reads");
        assert_eq!(super::memory(Some(&read)), *memory);
    }

    #[test]
    fn every_answer_to_a_request_for_recovery_comes_back_from_the_status_as_it_was() {
        let cluster = 0xfedc_ba98_7654_3210;
        let stages = [
            RecoveryStage::Asked { member: MemberId(u64::MAX) },
            RecoveryStage::Recovered { cluster },
            RecoveryStage::Done { cluster },
            RecoveryStage::Abandoned,
        ];
        for stage in stages {
            let started = Time(1_700_000_000_000);
            let recovery = Recovery { request: "monday".into(), survivor: 2, former: 7, stage, started };
            comes_back(&Memory { recovery: Some(recovery), quorum_lost: true, ..Memory::default() });
        }
        for why in Refused::ALL {
            let refused = RecoveryRefused { request: "monday".into(), why };
            comes_back(&Memory { recovery_refused: Some(refused), ..Memory::default() });
        }
    }

    #[test]
    fn every_operation_comes_back_from_the_status_as_it_was() {
        let all = [
            JoinWhy::ScaleOut,
            JoinWhy::VolumeLost,
            JoinWhy::Corrupt,
            JoinWhy::Away,
            JoinWhy::StaleDisk,
            JoinWhy::Found,
        ];
        for why in all {
            let member = MemberId(u64::MAX);
            let old = Some(MemberId(7));
            round_trip(OperationKind::Join { ordinal: 3, member, old, wipe: Some(Uid("v".into())), why, nudged: None });
            let nudged = Some(Uid("p".into()));
            round_trip(OperationKind::Join { ordinal: 3, member, old: None, wipe: None, why, nudged });
        }
        round_trip(OperationKind::Shrink { ordinal: 3 });
        round_trip(OperationKind::Restart { ordinal: 0, pod: Uid("p".into()) });
    }

    #[test]
    fn numbers_that_somebody_wrote_into_a_cluster_make_no_thousands_of_places() {
        let cluster = |replicas: u32| -> RaftCluster {
            let spec = json!({ "version": "0.1.0", "replicas": replicas });
            let object =
                json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": {}, "spec": spec });
            serde_json::from_value(object).expect("a cluster")
        };
        assert_eq!(wanted(&cluster(3)).map(|wanted| wanted.replicas), Ok(3));
        for replicas in [0, PLACES_MAX + 1, u32::MAX] {
            assert_eq!(wanted(&cluster(replicas)), Err(TextError::Voters(replicas)));
        }
        let latched = Latched { places: u32::MAX, ..Latched::default() };
        let mut status = RaftClusterStatus { latched: Some(latched), ..RaftClusterStatus::default() };
        let (member, why) = (MemberId(7), JoinWhy::Found);
        let kind = OperationKind::Join { ordinal: u32::MAX, member, old: None, wipe: None, why, nudged: None };
        status.operation = Some(operation_status(&Operation { kind, started: Time(0) }));
        let remembered = memory(Some(&status));
        assert_eq!((remembered.places, remembered.operation), (PLACES_MAX, None));
        let listed = crate::children::config_map(&cluster(u32::MAX), &Memory { places: u32::MAX, ..Memory::default() });
        let members = &listed.data.expect("it lists the members")["initial-cluster"];
        assert_eq!(members.split(',').count(), PLACES_MAX as usize);
    }

    #[test]
    fn nothing_is_remembered_of_a_new_cluster() {
        assert_eq!(super::memory(None), Memory::default());
        assert_eq!(super::memory(Some(&RaftClusterStatus::default())), Memory::default());
    }
}
