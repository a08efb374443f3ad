//! The order of things. Everything that is safe without a leader comes first; then one operation at a time.

use crate::join::Join;
use crate::repair::Need;
use crate::{
    Action, Decision, JoinWhy, Membership, Memory, Observed, OperationKind, Plan, Reason, Recovery, RecoveryStage,
    Wanted, bootstrap, join, leave, recovery, repair, restart, shrink, storage,
};
use std::time::Duration;

/// Without a leader for longer than this the quorum counts as lost. Elections take a second or two.
const LEADERLESS_MAX: Duration = Duration::from_secs(30);

/// What to remember and what to do next.
#[must_use]
pub fn plan(wanted: &Wanted, memory: &Memory, seen: &Observed) -> Plan {
    let mut memory = memory.clone();
    let decision = decide(wanted, &mut memory, seen);
    Plan { memory, decision }
}

fn decide(wanted: &Wanted, memory: &mut Memory, seen: &Observed) -> Decision {
    if wanted.deleting {
        return leave::delete(wanted, seen);
    }
    let lost = is_lost(wanted, memory, seen);
    recovery::weigh(wanted, memory, seen, lost);
    note_lost(wanted, memory, seen, lost);
    if wanted.paused {
        return Reason::Paused.into();
    }
    bootstrap::first_size(wanted, memory, seen);
    if let Some(action) = recovery::ask(memory, seen) {
        return action.into();
    }
    if let Some(step) = without_leader(wanted, memory, seen) {
        return step;
    }
    if memory.cluster.is_none() {
        return bootstrap::step(memory, seen);
    }
    match membership(memory, seen) {
        Some(membership) => with_leader(wanted, memory, seen, membership),
        None => nobody_leads(memory, lost).into(),
    }
}

/// What the leader says, if it is one of this cluster.
fn membership<'a>(memory: &Memory, seen: &'a Observed) -> Option<&'a Membership> {
    seen.membership.as_ref().filter(|membership| memory.counts(membership.cluster))
}

/// No leader has answered for so long that no election explains it.
fn is_lost(wanted: &Wanted, memory: &Memory, seen: &Observed) -> bool {
    let awake = !wanted.hibernated && !memory.hibernated;
    let long = seen.leaderless_since.is_some_and(|since| seen.now.since(since) >= LEADERLESS_MAX);
    memory.cluster.is_some() && awake && membership(memory, seen).is_none() && long
}

/// What the status says from now on. It goes on saying that the quorum is lost until a leader answers.
fn note_lost(wanted: &Wanted, memory: &mut Memory, seen: &Observed, lost: bool) {
    if membership(memory, seen).is_some() || wanted.hibernated {
        memory.quorum_lost = false;
    } else if lost {
        memory.quorum_lost = true;
    }
}

fn nobody_leads(memory: &Memory, lost: bool) -> Reason {
    match &memory.recovery {
        Some(Recovery { stage: RecoveryStage::Asked { .. }, survivor, .. }) => Reason::RecoveringQuorum(*survivor),
        _ if lost => Reason::QuorumLost,
        _ => Reason::NoLeader,
    }
}

/// What touches neither data nor votes, or only those that take part in nothing.
fn without_leader(wanted: &Wanted, memory: &mut Memory, seen: &Observed) -> Option<Decision> {
    if let Some(step) = storage::grow(wanted, seen) {
        return Some(step);
    }
    match &seen.set {
        Some(set) if set.terminating => return Some(Reason::Set.into()),
        Some(_) if !seen.drifted => {}
        _ => return Some(Action::Apply.into()),
    }
    if let Some(step) = leave::hibernate(wanted, memory, seen) {
        return Some(step);
    }
    if let Some(set) = seen.set.as_ref().filter(|set| set.replicas < memory.places) {
        return Some(Action::SetReplicas { set: set.uid.clone(), from: set.replicas, to: memory.places }.into());
    }
    restart::outdated_and_down(seen)
}

fn with_leader(wanted: &Wanted, memory: &mut Memory, seen: &Observed, membership: &Membership) -> Decision {
    if !membership.settled {
        return Reason::MembershipChanging.into();
    }
    // A member that somebody added gets its pod.
    memory.places = memory.places.max(membership.places());
    let repair = repair::need(wanted, memory, seen, membership);
    if let Some(step) = under_way(wanted, memory, seen, membership, repair.as_ref()) {
        return step;
    }
    recovery::settle(wanted, memory, membership);
    match repair {
        Some(Need::Begin(kind)) => return repair::begin(kind, memory, seen),
        Some(Need::Blocked(reason)) => return reason.into(),
        None => {}
    }
    let stranger = membership.members.iter().find(|(_, member)| member.ordinal.is_none());
    if let Some((id, _)) = stranger {
        return Reason::StrangeMember(*id).into();
    }
    memory.replicas = Some(wanted.replicas);
    learner(memory, seen, membership)
        .or_else(|| scale(wanted, memory, seen, membership))
        .or_else(|| storage::template(wanted, seen))
        .or_else(|| rollout(wanted, memory, seen, membership))
        .unwrap_or(Decision::Settled)
}

/// The next step of what is under way. Repair does not wait behind a restart or behind a newcomer that has no vote:
/// either may be stuck for the very reason that something is broken.
fn under_way(
    wanted: &Wanted,
    memory: &mut Memory,
    seen: &Observed,
    membership: &Membership,
    repair: Option<&Need>,
) -> Option<Decision> {
    let operation = memory.operation.clone()?;
    let step = match &operation.kind {
        OperationKind::Join { ordinal, member, old, wipe, why, nudged } => {
            let (wipe, nudged) = (wipe.as_ref(), nudged.as_ref());
            let join = Join { ordinal: *ordinal, member: *member, old: *old, wipe, why: *why, nudged };
            join::step(&join, wanted, memory, seen, membership)
        }
        OperationKind::Shrink { ordinal } => shrink::step(*ordinal, wanted, memory, seen, membership),
        OperationKind::Restart { ordinal, pod } => restart::step(*ordinal, pod, wanted, seen, membership),
    };
    let waits = matches!(step, Some(Decision::Wait(_)));
    if let Some(Need::Begin(kind)) = repair.filter(|need| waits && gives_way(&operation.kind, need, seen, membership)) {
        return Some(repair::begin(kind.clone(), memory, seen));
    }
    if step.is_none() {
        memory.operation = None;
    }
    step
}

fn gives_way(kind: &OperationKind, need: &Need, seen: &Observed, membership: &Membership) -> bool {
    match kind {
        OperationKind::Restart { .. } => true,
        // A newcomer that is there already is found again afterwards; or it is itself what has to be replaced, if its
        // pod says so after it was added.
        OperationKind::Join { member, ordinal, nudged, .. } => {
            let said_before = matches!(need, Need::Begin(kind) if kind.ordinal() == *ordinal)
                && seen.pods.get(ordinal).is_none_or(|pod| nudged.as_ref().is_none_or(|nudged| *nudged == pod.uid));
            membership.members.contains_key(member) && !said_before
        }
        OperationKind::Shrink { .. } => false,
    }
}

/// A member without a vote that nobody is taking care of.
fn learner(memory: &mut Memory, seen: &Observed, membership: &Membership) -> Option<Decision> {
    let (member, ordinal) = membership
        .members
        .iter()
        .filter(|(_, member)| !member.voter)
        .find_map(|(id, member)| Some((*id, member.ordinal?)))?;
    let kind = OperationKind::Join { ordinal, member, old: None, wipe: None, why: JoinWhy::Found, nudged: None };
    memory.begin(kind, seen.now);
    Some(Reason::MembershipChanging.into())
}

/// One place more or less. A volume that was kept at a place that is taken again belongs to a member that was
/// removed: it goes first.
fn scale(wanted: &Wanted, memory: &mut Memory, seen: &Observed, membership: &Membership) -> Option<Decision> {
    let missing = (0..wanted.replicas).find(|ordinal| membership.at(*ordinal).is_none());
    // Pods that somebody asked the set for are taken away in order, as if they had members.
    let places = seen.set.as_ref().map_or(0, |set| set.replicas).max(memory.places);
    let kind = match missing {
        Some(ordinal) => OperationKind::Join {
            ordinal,
            member: seen.fresh,
            old: None,
            wipe: repair::volume(seen, ordinal),
            why: JoinWhy::ScaleOut,
            nudged: None,
        },
        None if places > wanted.replicas => OperationKind::Shrink { ordinal: places - 1 },
        None => return None,
    };
    memory.begin(kind, seen.now);
    Some(Reason::MembershipChanging.into())
}

fn rollout(wanted: &Wanted, memory: &mut Memory, seen: &Observed, membership: &Membership) -> Option<Decision> {
    if seen.set.as_ref().is_some_and(|set| set.revision.is_none()) {
        return Some(Reason::Set.into());
    }
    restart::begin(wanted, memory, seen, membership)
}
