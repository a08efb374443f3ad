//! The words of the recovery of a lost quorum.

use super::{id, kube_time, time};
use crate::children::{ordinal_of, pod_name};
use crate::crd::{QuorumRecoveryStatus, RaftCluster, RecoveryPhase, RefusedRecoveryStatus};
use kube::ResourceExt;
use plan::{Recovery, RecoveryRefused, RecoveryStage, RecoveryWanted, Refused, Survivor};

/// What is asked for. A request that does not accept what it costs is none; the API server refuses it.
pub(super) fn wanted(cluster: &RaftCluster) -> Option<RecoveryWanted> {
    let spec = cluster.spec.quorum_recovery.as_ref().filter(|spec| spec.accept_data_loss)?;
    let survivor = match &spec.survivor {
        None => Survivor::Furthest,
        Some(pod) => ordinal_of(&cluster.name_any(), pod).map_or(Survivor::Nobody, Survivor::At),
    };
    Some(RecoveryWanted { request: spec.request.clone(), survivor })
}

pub(super) fn taken_up(status: &QuorumRecoveryStatus) -> Option<Recovery> {
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let cluster = || number(status.new_cluster_id.as_deref()?);
    let stage = match status.phase {
        RecoveryPhase::Asked => RecoveryStage::Asked { member: id(status.survivor_id.as_deref()?)? },
        RecoveryPhase::Recovered => RecoveryStage::Recovered { cluster: cluster()? },
        RecoveryPhase::Done => RecoveryStage::Done { cluster: cluster()? },
        RecoveryPhase::Abandoned => RecoveryStage::Abandoned,
    };
    let (_, survivor) = status.survivor.rsplit_once('-')?;
    Some(Recovery {
        request: status.request.clone(),
        survivor: survivor.parse().ok()?,
        former: number(&status.old_cluster_id)?,
        stage,
        started: time(status.started_at.0),
    })
}

pub(super) fn taken_up_status(recovery: &Recovery, name: &str) -> QuorumRecoveryStatus {
    let mut status = QuorumRecoveryStatus {
        request: recovery.request.clone(),
        phase: RecoveryPhase::Abandoned,
        survivor: pod_name(name, recovery.survivor),
        survivor_id: None,
        old_cluster_id: format!("{:x}", recovery.former),
        new_cluster_id: None,
        started_at: kube_time(recovery.started),
        message: stage_words(recovery),
    };
    match recovery.stage {
        RecoveryStage::Asked { member } => {
            (status.phase, status.survivor_id) = (RecoveryPhase::Asked, Some(member.to_string()));
        }
        RecoveryStage::Recovered { cluster } => {
            (status.phase, status.new_cluster_id) = (RecoveryPhase::Recovered, Some(format!("{cluster:x}")));
        }
        RecoveryStage::Done { cluster } => {
            (status.phase, status.new_cluster_id) = (RecoveryPhase::Done, Some(format!("{cluster:x}")));
        }
        RecoveryStage::Abandoned => {}
    }
    status
}

pub(super) fn refused(status: &RefusedRecoveryStatus) -> Option<RecoveryRefused> {
    let why = Refused::ALL.into_iter().find(|why| why.name() == status.reason)?;
    Some(RecoveryRefused { request: status.request.clone(), why })
}

pub(super) fn refused_status(refused: &RecoveryRefused) -> RefusedRecoveryStatus {
    RefusedRecoveryStatus {
        request: refused.request.clone(),
        reason: refused.why.name().to_owned(),
        message: refused_words(refused),
    }
}

/// How far it has come, for people.
#[must_use]
pub fn stage_words(recovery: &Recovery) -> String {
    let Recovery { request, survivor, former, .. } = recovery;
    match recovery.stage {
        RecoveryStage::Asked { .. } => {
            format!("{request}: the member at place {survivor} is asked to become a cluster of its own")
        }
        RecoveryStage::Recovered { cluster } => format!(
            "{request}: the member at place {survivor} has become cluster {cluster:x}, with all that it had of cluster \
             {former:x}; the other places get new members"
        ),
        RecoveryStage::Done { cluster } => {
            format!("{request}: cluster {cluster:x} was made of the member at place {survivor}, and is whole")
        }
        RecoveryStage::Abandoned => {
            format!("{request}: a leader of cluster {former:x} hears its quorum again, which goes on as it is")
        }
    }
}

/// Why a request is refused, for people.
#[must_use]
pub fn refused_words(refused: &RecoveryRefused) -> String {
    let why = match refused.why {
        Refused::NotLost => "this status had not said that the quorum is lost when the request was given",
        Refused::LeaderIsKnown => "a member that answers knows a leader",
        Refused::NobodyAnswers => "no member of the cluster answers that is sound",
        Refused::EarlierUnderWay => {
            "the member that was chosen for an earlier request does not answer, and may be becoming another cluster; \
             naming a survivor gives it up"
        }
        Refused::SurvivorDoesNotAnswer => "the member that is named does not answer, or is none of this cluster",
    };
    format!("{}: refused, {why}; it stays refused, and another word asks anew", refused.request)
}
