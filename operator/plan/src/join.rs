//! A place gets a member: whoever was there is removed, its disk goes, a fresh member is added that follows without a
//! vote, and votes once it has caught up.
//!
//! ```text
//!   old member? ─▶ transfer if it leads ─▶ remove ─▶ its volume and pod gone ─▶ add learner ─▶ pod ─▶ caught up ─▶ vote
//! ```
//!
//! Removed before its disk goes: the other way round a dead voter counts towards the quorum while the rest shrinks.

use crate::health::{is_heard, is_stable, to_promote, to_remove};
use crate::restart::transferee;
use crate::{
    Action, Decision, JoinWhy, MemberId, Membership, Memory, Observed, Operation, OperationKind, Ordinal, Reason, Uid,
    Wanted,
};

/// The parts of [`OperationKind::Join`].
pub(crate) struct Join<'a> {
    pub(crate) ordinal: Ordinal,
    pub(crate) member: MemberId,
    pub(crate) old: Option<MemberId>,
    pub(crate) wipe: Option<&'a Uid>,
    pub(crate) why: JoinWhy,
    pub(crate) nudged: Option<&'a Uid>,
}

/// The next step. `None` when the member votes.
pub(crate) fn step(
    join: &Join<'_>,
    wanted: &Wanted,
    memory: &mut Memory,
    seen: &Observed,
    membership: &Membership,
) -> Option<Decision> {
    let votes = membership.members.get(&join.member).is_some_and(|member| member.voter);
    if votes {
        return None;
    }
    if is_unwanted(join, wanted) {
        memory.begin(OperationKind::Shrink { ordinal: join.ordinal }, seen.now);
        return Some(Reason::MembershipChanging.into());
    }
    if let Some(old) = join.old.filter(|old| membership.members.contains_key(old)) {
        return Some(remove(old, wanted, seen, membership));
    }
    wipe(join, membership, seen)
        .or_else(|| add(join, membership))
        .or_else(|| place(join, memory, seen, membership))
        .or_else(|| nudge(join, memory, seen))
        .or_else(|| Some(promote(join, wanted, seen, membership)))
}

/// The wish has changed before the member got its vote. One that replaces a lost one is finished all the same.
fn is_unwanted(join: &Join<'_>, wanted: &Wanted) -> bool {
    matches!(join.why, JoinWhy::ScaleOut | JoinWhy::Found) && join.ordinal >= wanted.replicas
}

/// Removes a member, after it has handed leadership over if it leads.
pub(crate) fn remove(member: MemberId, wanted: &Wanted, seen: &Observed, membership: &Membership) -> Decision {
    if let Some(short) = to_remove(seen, membership, &wanted.catch_up, member) {
        return Reason::NotSafe { member, healthy: short.healthy, required: crate::quorum(short.voters) }.into();
    }
    if membership.leader == member {
        return match transferee(wanted, seen, membership) {
            Some(to) => Action::Transfer { from: member, to }.into(),
            None => Reason::NoTransferee.into(),
        };
    }
    Action::Remove { config_index: membership.config_index, member }.into()
}

/// The old disk goes, and the pod that holds on to it. Only then is the place free: a disk of a removed member would
/// come back as that member.
fn wipe(join: &Join<'_>, membership: &Membership, seen: &Observed) -> Option<Decision> {
    // Once the newcomer is known the disk may be its own. If it is not, the pod will say so.
    let uid = join.wipe.filter(|_| !membership.members.contains_key(&join.member))?;
    let ordinal = join.ordinal;
    let volume = seen.volumes.get(&ordinal);
    let pod = seen.pods.get(&ordinal);
    match volume {
        Some(volume) if volume.uid == *uid && !volume.terminating => {
            let config_index = Some(membership.config_index);
            Some(Action::DeleteVolume { ordinal, uid: uid.clone(), config_index }.into())
        }
        Some(volume) if volume.uid == *uid => Some(match pod {
            // The claim stays as long as a pod uses it.
            Some(pod) if !pod.terminating => Action::DeletePod { ordinal, uid: pod.uid.clone(), safe: None }.into(),
            Some(_) => Reason::Pod(ordinal).into(),
            None => Reason::Volume(ordinal).into(),
        }),
        _ => None,
    }
}

fn add(join: &Join<'_>, membership: &Membership) -> Option<Decision> {
    if membership.members.contains_key(&join.member) {
        return None;
    }
    let config_index = membership.config_index;
    Some(Action::AddLearner { config_index, member: join.member, ordinal: join.ordinal }.into())
}

fn place(join: &Join<'_>, memory: &mut Memory, seen: &Observed, membership: &Membership) -> Option<Decision> {
    let ordinal = join.ordinal;
    let set = seen.set.as_ref()?;
    if memory.places <= ordinal || set.replicas <= ordinal {
        memory.places = memory.places.max(ordinal.saturating_add(1));
        return Some(Action::SetReplicas { set: set.uid.clone(), from: set.replicas, to: memory.places }.into());
    }
    let pod = seen.pods.get(&ordinal).filter(|pod| !pod.terminating)?;
    // A pod whose claim went away under it never starts: the set makes claims only together with pods.
    let stranded = !seen.volumes.contains_key(&ordinal) && !pod.is_up();
    // A newcomer that nobody hears gets the template that may have been mended since.
    let unheard = membership.members.get(&join.member).is_some_and(|member| !is_heard(member));
    (stranded || (unheard && !pod.is_current(set)))
        .then(|| Action::DeletePod { ordinal, uid: pod.uid.clone(), safe: None }.into())
}

/// A process that was turned away before the newcomer was added waits longer and longer between its tries.
fn nudge(join: &Join<'_>, memory: &mut Memory, seen: &Observed) -> Option<Decision> {
    let pod = seen.pods.get(&join.ordinal).filter(|pod| pod.refused().is_some())?;
    if join.nudged.is_some_and(|nudged| *nudged != pod.uid) {
        return None;
    }
    if let Some(Operation { kind: OperationKind::Join { nudged, .. }, .. }) = &mut memory.operation {
        *nudged = Some(pod.uid.clone());
    }
    Some(Action::DeletePod { ordinal: join.ordinal, uid: pod.uid.clone(), safe: None }.into())
}

fn promote(join: &Join<'_>, wanted: &Wanted, seen: &Observed, membership: &Membership) -> Decision {
    let Some(learner) = membership.members.get(&join.member) else { return Reason::MembershipChanging.into() };
    let behind = || Reason::CatchingUp {
        member: join.member,
        ordinal: join.ordinal,
        lag_entries: learner.follower.as_ref().map_or(0, |follower| follower.lag_entries),
    };
    if !is_stable(learner, &wanted.catch_up) {
        return behind().into();
    }
    match to_promote(seen, membership, &wanted.catch_up) {
        Some(short) => {
            Reason::NotSafe { member: join.member, healthy: short.healthy, required: crate::quorum(short.voters) }
                .into()
        }
        None => Action::Promote { config_index: membership.config_index, member: join.member }.into(),
    }
}
