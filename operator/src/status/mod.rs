//! The status, made whole each time from one look and what was planned from it. The reasons of conditions and events
//! are the plan's own words.

mod certificates;
mod recovery;
mod snapshots;

pub use certificates::steps;
pub use recovery::answers;

use crate::children::{pod_name, selector_text, volume_name};
use crate::context::Kept;
use crate::crd::{
    LeaderStatus, MemberRole, MemberStatus, MemberVolume, Phase, QuorumStatus, RaftCluster, RaftClusterStatus,
    Replication,
};
use crate::look::{Lacking, Look, is_ready, uid};
use crate::wanted::remember;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use plan::{Decision, Health, Member, Membership, Ordinal, Plan, Reason};
use std::collections::BTreeSet;
use std::time::Duration;

/// A follower that was not heard for longer is away. Heartbeats come many times a second.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Names of settings are of any length; a status has to stay small.
const NAMES_CHARS_MAX: usize = 1024;

/// Conditions that an event tells of, and the status that nobody wishes for. What else goes wrong the plan's own words
/// tell.
const WRONG: &[(&str, &str)] = &[("SettingsLeftOut", "True"), ("ObjectStoreReady", "False")];

/// The status after a look and a plan.
#[must_use]
pub fn status(look: &Look, planned: &Plan, kept: &Kept) -> RaftClusterStatus {
    let membership = look.seen.membership.as_ref();
    let health = membership.map(|membership| Health::of(&look.seen, membership, &look.wanted.catch_up));
    let mut status = RaftClusterStatus {
        observed_generation: look.cluster.metadata.generation,
        phase: Some(phase(planned)),
        message: Some(message(planned, kept)),
        selector: Some(selector_text(&look.names.cluster)),
        replicas: Some(count(look.pods.len())),
        ready_replicas: Some(count(look.pods.values().filter(|pod| is_ready(pod)).count())),
        updated_replicas: Some(count(updated(look))),
        voters: membership.map(|membership| count(membership.voters().count())),
        learners: membership
            .map(|membership| count(membership.members.values().filter(|member| !member.voter).count())),
        version: version(look),
        leader: membership.map(|membership| leader(look, membership)),
        quorum: health.map(quorum_status),
        replication: Some(replication(look)),
        members: members(look),
        snapshots: snapshots::snapshots(look),
        authorities: certificates::authorities(look),
        certificates: certificates::certificates(look),
        last_errors: kept.errors.clone(),
        ..RaftClusterStatus::default()
    };
    remember(&look.names.cluster, &planned.memory, &mut status);
    let old = look.cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let changing = certificates::changing(&status.authorities);
    status.conditions = conditions(look, planned, health, changing, old);
    status
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn phase(planned: &Plan) -> Phase {
    match &planned.decision {
        Decision::Wait(Reason::Paused) => Phase::Paused,
        Decision::Wait(Reason::Hibernated) => Phase::Hibernated,
        Decision::Wait(Reason::QuorumLost | Reason::RecoveringQuorum(_)) => Phase::QuorumLost,
        Decision::Act(plan::Action::Release) => Phase::Deleting,
        _ if planned.memory.cluster.is_none() => Phase::Forming,
        Decision::Wait(
            Reason::NotSafe { .. }
            | Reason::ForeignDisk(_)
            | Reason::RepairIsManual(_)
            | Reason::StrangeMember(_)
            | Reason::VolumeTooLarge(_)
            | Reason::NoTransferee
            | Reason::NoLeader,
        ) => Phase::Blocked,
        Decision::Settled => Phase::Running,
        Decision::Act(_) | Decision::Wait(_) => Phase::Progressing,
    }
}

/// Without figures that change all the time: the status would never rest.
fn message(planned: &Plan, kept: &Kept) -> String {
    let now = match &planned.decision {
        Decision::Settled => "as asked for".to_owned(),
        Decision::Act(action) => format!("next: {}", action.name()),
        Decision::Wait(reason) => words(reason),
    };
    match kept.errors.first().filter(|_| kept.failures > 0) {
        Some(error) => format!("{now}; the last attempt failed: {}", error.message),
        None => now,
    }
}

/// A reason in words, for people.
#[must_use]
pub fn words(reason: &Reason) -> String {
    match reason {
        Reason::Paused => "paused: nothing is touched".into(),
        Reason::Hibernated => "hibernated: no pods, all volumes".into(),
        Reason::Forming => "waiting for the first members to find each other".into(),
        Reason::NoLeader => "no member leads at the moment".into(),
        Reason::QuorumLost => "no member leads: a majority is lost or cannot be reached; nothing is touched \
                               (spec.quorumRecovery makes a new cluster of one member)"
            .into(),
        Reason::RecoveringQuorum(ordinal) => {
            format!("waiting for the member at place {ordinal} to start as a cluster of its own")
        }
        Reason::MembershipChanging => "a change of the members is being settled".into(),
        Reason::Pod(ordinal) => format!("waiting for the pod at place {ordinal}"),
        Reason::Volume(ordinal) => format!("waiting for the volume at place {ordinal} to go"),
        Reason::Set => "waiting for the stateful set's controller".into(),
        Reason::CatchingUp { ordinal, .. } => format!("waiting for the member at place {ordinal} to catch up"),
        Reason::NotSafe { member, healthy, required } => {
            format!("without member {member} only {healthy} voters would be up and caught up, and it takes {required}")
        }
        Reason::NoTransferee => "no other member is fit to lead".into(),
        Reason::ForeignDisk(ordinal) => {
            format!("the volume at place {ordinal} holds another cluster's data: put the right one back, or delete it")
        }
        Reason::RepairIsManual(ordinal) => format!("the member at place {ordinal} is lost, and repair is manual"),
        Reason::StrangeMember(member) => format!("member {member} is none of the operator's: remove it by hand"),
        Reason::VolumeTooLarge(ordinal) => format!("the volume at place {ordinal} is larger than asked for"),
    }
}

fn updated(look: &Look) -> usize {
    let Some(set) = &look.seen.set else { return 0 };
    let Some(revision) = &set.revision else { return 0 };
    look.seen.pods.values().filter(|pod| pod.revision == *revision).count()
}

fn version(look: &Look) -> Option<String> {
    let all: BTreeSet<&String> = look.said.statuses.values().map(|status| &status.version).collect();
    let mut all = all.into_iter();
    match (all.next(), all.next()) {
        (Some(version), None) => Some(version.clone()),
        _ => None,
    }
}

fn leader(look: &Look, membership: &Membership) -> LeaderStatus {
    let ordinal = membership.members.get(&membership.leader).and_then(|member| member.ordinal);
    LeaderStatus {
        member: ordinal.map(|ordinal| pod_name(&look.names.cluster, ordinal)).unwrap_or_default(),
        id: membership.leader.to_string(),
    }
}

fn quorum_status(health: Health) -> QuorumStatus {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    QuorumStatus {
        required: number(plan::quorum(health.voters)),
        healthy: number(health.healthy),
        margin: i32::try_from(health.margin()).unwrap_or(i32::MIN),
    }
}

fn replication(look: &Look) -> Replication {
    let Some(membership) = &look.seen.membership else { return Replication::Unknown };
    let worst = membership.members.values().map(|member| replication_of(look, member)).max();
    worst.unwrap_or(Replication::Unknown)
}

fn replication_of(look: &Look, member: &Member) -> Replication {
    let limits = &look.wanted.catch_up;
    match &member.follower {
        None => Replication::CaughtUp,
        Some(follower) if follower.silent_for.is_none_or(|silence| silence > SILENCE_MAX) => Replication::Away,
        Some(follower)
            if follower.streaming && follower.lag_entries <= limits.entries_max && follower.lag <= limits.lag_max =>
        {
            Replication::CaughtUp
        }
        Some(_) => Replication::Behind,
    }
}

fn members(look: &Look) -> Vec<MemberStatus> {
    let membership = look.seen.membership.as_ref();
    let mut places: BTreeSet<Ordinal> = look.pods.keys().chain(look.volumes.keys()).copied().collect();
    places.extend(membership.into_iter().flat_map(|all| all.members.values().filter_map(|member| member.ordinal)));
    places.into_iter().map(|ordinal| member(look, membership, ordinal)).collect()
}

fn member(look: &Look, membership: Option<&Membership>, ordinal: Ordinal) -> MemberStatus {
    let pod = look.pods.get(&ordinal);
    let at = membership.and_then(|membership| membership.at(ordinal));
    let role = membership.map(|membership| match at {
        None => MemberRole::None,
        Some((id, _)) if id == membership.leader => MemberRole::Leader,
        Some((_, member)) if member.voter => MemberRole::Follower,
        Some(_) => MemberRole::Learner,
    });
    MemberStatus {
        name: pod_name(&look.names.cluster, ordinal),
        id: at.map(|(id, _)| id.to_string()),
        role,
        replication: at.map(|(_, member)| replication_of(look, member)),
        ready: pod.is_some_and(is_ready),
        version: look.said.statuses.get(&ordinal).map(|status| status.version.clone()),
        node: pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone()),
        volume: look.volumes.get(&ordinal).map(|claim| MemberVolume {
            name: volume_name(&look.names.cluster, ordinal),
            uid: uid(claim).0,
            capacity: claim
                .status
                .as_ref()
                .and_then(|status| status.capacity.as_ref()?.get("storage").map(|size| size.0.clone())),
        }),
    }
}

/// One condition as it is now.
struct Now {
    type_: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn conditions(
    look: &Look,
    planned: &Plan,
    health: Option<Health>,
    changing: Option<Now>,
    old: &[Condition],
) -> Vec<Condition> {
    let always = [
        available(look, planned),
        progressing(look, planned),
        degraded(look, health),
        replication_healthy(look),
        paused(look),
        left_out(&look.cluster),
    ];
    let store = object_store(&look.cluster, look.store_lacks.as_ref());
    let asked = look.cluster.spec.quorum_recovery.as_ref();
    let recovering = recovery::recovering(&planned.memory, asked.map(|asked| asked.request.as_str()));
    let generation = look.cluster.metadata.generation;
    let all = always.into_iter().chain(changing).chain(store).chain(recovering);
    all.map(|now| condition(now, generation, old)).collect()
}

/// What the plan waits for, if it waits.
fn waiting(planned: &Plan) -> Option<&Reason> {
    match &planned.decision {
        Decision::Wait(reason) => Some(reason),
        Decision::Act(_) | Decision::Settled => None,
    }
}

fn available(look: &Look, planned: &Plan) -> Now {
    let holds = look.seen.membership.is_some();
    Now {
        type_: "Available",
        holds,
        reason: match (holds, waiting(planned)) {
            (true, _) => "LeaderHearsQuorum",
            (false, Some(reason)) => reason.name(),
            (false, None) => "NoLeader",
        },
        message: if holds { "a leader hears its quorum" } else { "no leader that hears a quorum answers" }.into(),
    }
}

fn progressing(look: &Look, planned: &Plan) -> Now {
    let (waiting, stuck) = (waiting(planned), is_stuck(look, planned));
    Now {
        type_: "Progressing",
        holds: !matches!(planned.decision, Decision::Settled) && !stuck,
        reason: match (stuck, waiting) {
            (true, _) => "DeadlineExceeded",
            (false, Some(reason)) => reason.name(),
            (false, None) => planned.memory.operation.as_ref().map_or("Settled", |operation| operation.kind.name()),
        },
        message: waiting.map(words).unwrap_or_default(),
    }
}

fn degraded(look: &Look, health: Option<Health>) -> Now {
    let whole = health.is_some_and(|health| health.healthy == health.voters && health.voters >= look.wanted.replicas);
    let has_quorum = health.is_some_and(|health| health.margin() >= 0);
    Now {
        type_: "Degraded",
        holds: !whole,
        reason: match (whole, has_quorum) {
            (true, _) => "AllVotersWell",
            (false, true) => "VoterMissing",
            (false, false) => "NoQuorum",
        },
        message: String::new(),
    }
}

fn replication_healthy(look: &Look) -> Now {
    let replication = replication(look);
    Now {
        type_: "ReplicationHealthy",
        holds: replication == Replication::CaughtUp,
        reason: match replication {
            Replication::CaughtUp => "CaughtUp",
            Replication::Behind => "Behind",
            Replication::Away => "Away",
            Replication::Unknown => "Unknown",
        },
        message: String::new(),
    }
}

fn paused(look: &Look) -> Now {
    let holds = look.wanted.paused;
    let reason = if holds { "AskedFor" } else { "NotAskedFor" };
    Now { type_: "Paused", holds, reason, message: String::new() }
}

/// Whether members get what their object store takes; absent when none was asked for.
fn object_store(cluster: &RaftCluster, lacks: Option<&Lacking>) -> Option<Now> {
    cluster.spec.object_store.as_ref()?;
    Some(Now {
        type_: "ObjectStoreReady",
        holds: lacks.is_none(),
        reason: lacks.map_or("SecretsPresent", Lacking::reason),
        message: lacks.map(Lacking::words).unwrap_or_default(),
    })
}

/// What people should know of as it begins: conditions that have become what nobody wishes for since the status before.
pub fn newly_wrong<'a>(before: Option<&RaftClusterStatus>, after: &'a RaftClusterStatus) -> Vec<&'a Condition> {
    let before = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let wrong = |condition: &Condition| {
        WRONG.iter().any(|(type_, status)| condition.type_ == *type_ && condition.status == *status)
    };
    let is_new = |condition: &&Condition| {
        let same = |old: &Condition| {
            (&old.type_, &old.status, &old.reason, &old.message)
                == (&condition.type_, &condition.status, &condition.reason, &condition.message)
        };
        !before.iter().any(same)
    };
    after.conditions.iter().filter(|condition| wrong(condition)).filter(is_new).collect()
}

/// Settings of `config.extra` that are not passed on to members.
fn left_out(cluster: &RaftCluster) -> Now {
    let names = cluster.spec.config.left_out().collect::<Vec<_>>().join(", ");
    let holds = !names.is_empty();
    let names: String = names.chars().take(NAMES_CHARS_MAX).collect();
    Now {
        type_: "SettingsLeftOut",
        holds,
        reason: if holds { "SetByOperator" } else { "NoneLeftOut" },
        message: if holds { format!("config.extra: {names}") } else { String::new() },
    }
}

/// Its time is that of its last change, not of the last look.
fn condition(now: Now, generation: Option<i64>, old: &[Condition]) -> Condition {
    let status = if now.holds { "True" } else { "False" };
    let before = old.iter().find(|old| old.type_ == now.type_ && old.status == status);
    let since = before.map_or_else(|| Time(Timestamp::now()), |before| before.last_transition_time.clone());
    Condition {
        type_: now.type_.into(),
        status: status.into(),
        reason: now.reason.into(),
        message: now.message,
        observed_generation: generation,
        last_transition_time: since,
    }
}

/// An operation has taken longer than it may without a word.
fn is_stuck(look: &Look, planned: &Plan) -> bool {
    let Some(operation) = &planned.memory.operation else { return false };
    let joins = matches!(operation.kind, plan::OperationKind::Join { .. });
    let patience = if joins { look.wanted.catch_up.timeout } else { look.wanted.progress_deadline };
    look.seen.now.since(operation.started) > patience
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(extra: &serde_json::Value) -> (bool, &'static str, String) {
        let object = json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": "m" },
            "spec": { "version": "0.1.0", "config": { "extra": extra } },
        });
        let now = left_out(&crate::stored::read(object).expect("it reads"));
        (now.holds, now.reason, now.message)
    }

    #[test]
    fn settings_that_members_do_not_get_are_named() {
        let both = said(&json!({ "name": "mine", "max-txn-ops": "64", "data-dir": "/tmp" }));
        assert_eq!(both, (true, "SetByOperator", "config.extra: data-dir, name".to_owned()));
        assert_eq!(said(&json!({ "max-txn-ops": "64" })), (false, "NoneLeftOut", String::new()));
        let (.., message) = said(&json!({ ("X".repeat(100_000)): "1" }));
        assert!(message.len() < 2 * NAMES_CHARS_MAX, "{} bytes of a status", message.len());
    }
}
