//! Rolling out a new template, one member at a time: those that do not take part first, then the follower that is
//! furthest behind, the leader last and only after it has handed over.
//!
//! Every step waits until all that were restarted before have been caught up for a while, so a bad template stops
//! after one follower.

use crate::health::{is_caught_up, is_heard, is_stable, to_stop};
use crate::{
    Action, Decision, Member, MemberId, Membership, Memory, Observed, OperationKind, Ordinal, Pod, PodState, Reason,
    Set, Uid, Wanted, quorum,
};
use std::cmp::Reverse;

/// A pod that is outdated and whose process does not run: it takes part in nothing, so replacing it costs nothing,
/// with or without a leader. This is what heals a bad rollout.
pub(crate) fn outdated_and_down(seen: &Observed) -> Option<Decision> {
    let set = seen.set.as_ref()?;
    let dead = |pod: &Pod| !pod.is_current(set) && pod.state == PodState::Down && !pod.terminating;
    let (ordinal, pod) = seen.pods.iter().find(|(_, pod)| dead(pod))?;
    Some(Action::DeletePod { ordinal: *ordinal, uid: pod.uid.clone(), safe: None }.into())
}

/// Begins with the next pod that is not made from the set's template. `None` when there is none.
pub(crate) fn begin(
    wanted: &Wanted,
    memory: &mut Memory,
    seen: &Observed,
    membership: &Membership,
) -> Option<Decision> {
    let set = seen.set.as_ref()?;
    let outdated = || seen.pods.iter().filter(|(_, pod)| !pod.is_current(set));
    if wanted.update_paused || outdated().next().is_none() {
        return None;
    }
    if let Some(waiting) = unsettled(wanted, seen, membership, set) {
        return Some(waiting);
    }
    let (ordinal, pod) = outdated().min_by_key(|(ordinal, pod)| rank(**ordinal, pod, membership))?;
    memory.begin(OperationKind::Restart { ordinal: *ordinal, pod: pod.uid.clone() }, seen.now);
    step(*ordinal, &pod.uid, wanted, seen, membership)
}

/// Those that were restarted before must be well.
fn unsettled(wanted: &Wanted, seen: &Observed, membership: &Membership, set: &Set) -> Option<Decision> {
    let current = seen.pods.iter().filter(|(_, pod)| pod.is_current(set));
    current.map(|(ordinal, _)| *ordinal).find_map(|ordinal| is_back(ordinal, wanted, seen, membership).err())
}

/// Who goes first is least: does not take part, then furthest behind, the leader last.
fn rank(ordinal: Ordinal, pod: &Pod, membership: &Membership) -> (bool, bool, Reverse<u64>, Reverse<Ordinal>) {
    let at = membership.at(ordinal);
    let leads = at.is_some_and(|(id, _)| id == membership.leader);
    let takes_part = pod.unready_since.is_none() && at.is_some_and(|(_, member)| is_heard(member));
    let lag = at.and_then(|(_, member)| member.follower.as_ref()).map_or(0, |follower| follower.lag_entries);
    (leads, takes_part, Reverse(lag), Reverse(ordinal))
}

/// The next step with one pod. `None` when it is made anew and its member is back.
pub(crate) fn step(
    ordinal: Ordinal,
    uid: &Uid,
    wanted: &Wanted,
    seen: &Observed,
    membership: &Membership,
) -> Option<Decision> {
    let set = seen.set.as_ref()?;
    match seen.pods.get(&ordinal) {
        // Its successor as well, if the template has changed again before it got well.
        Some(pod) if !pod.terminating && !pod.is_current(set) && (pod.uid == *uid || pod.unready_since.is_some()) => {
            Some(stop(ordinal, pod, wanted, seen, membership))
        }
        // Scaled away meanwhile, by whatever hand.
        None if set.replicas <= ordinal => None,
        _ => is_back(ordinal, wanted, seen, membership).err(),
    }
}

fn stop(ordinal: Ordinal, pod: &Pod, wanted: &Wanted, seen: &Observed, membership: &Membership) -> Decision {
    let delete = |safe| Action::DeletePod { ordinal, uid: pod.uid.clone(), safe }.into();
    let Some((member, _)) = membership.at(ordinal) else { return delete(None) };
    if pod.state == PodState::Down {
        return delete(None);
    }
    if let Some(short) = to_stop(seen, membership, &wanted.catch_up, member) {
        return Reason::NotSafe { member, healthy: short.healthy, required: quorum(short.voters) }.into();
    }
    let voters = membership.voters().count();
    if membership.leader == member && voters > 1 {
        return match transferee(wanted, seen, membership) {
            Some(to) => Action::Transfer { from: member, to }.into(),
            None => Reason::NoTransferee.into(),
        };
    }
    // One or two voters cannot spare any, and would never be told that they can.
    delete((voters > 2).then_some(member))
}

/// The member at a place takes part, has a ready pod, and has been caught up for long enough.
fn is_back(ordinal: Ordinal, wanted: &Wanted, seen: &Observed, membership: &Membership) -> Result<(), Decision> {
    let Some((id, member)) = membership.at(ordinal) else { return Ok(()) };
    match seen.pods.get(&ordinal) {
        Some(pod) if pod.is_up() && (pod.unready_since.is_none() || !member.voter) => {}
        _ => return Err(Reason::Pod(ordinal).into()),
    }
    if is_stable(member, &wanted.catch_up) {
        return Ok(());
    }
    let lag_entries = member.follower.as_ref().map_or(0, |follower| follower.lag_entries);
    Err(Reason::CatchingUp { member: id, ordinal, lag_entries }.into())
}

/// Who takes leadership over: a voter that is caught up with a ready pod; rather one that needs no restart, and of
/// those the one that is least behind.
pub(crate) fn transferee(wanted: &Wanted, seen: &Observed, membership: &Membership) -> Option<MemberId> {
    let set = seen.set.as_ref()?;
    let fit = |(id, member): &(MemberId, &Member)| *id != membership.leader && is_caught_up(member, &wanted.catch_up);
    let pod_of = |member: &Member| {
        let pod = seen.pods.get(&member.ordinal?)?;
        (pod.is_up() && pod.unready_since.is_none()).then_some(pod)
    };
    // Leadership that is moved to a member about to be scaled away would have to move again.
    let stays = |member: &Member| member.ordinal.is_some_and(|ordinal| ordinal < wanted.replicas);
    let lag = |member: &Member| member.follower.as_ref().map_or(0, |follower| follower.lag_entries);
    let fit = membership.voters().filter(fit).filter_map(|(id, member)| Some((id, member, pod_of(member)?)));
    fit.min_by_key(|(id, member, pod)| (!stays(member), !pod.is_current(set), lag(member), *id)).map(|(id, ..)| id)
}
