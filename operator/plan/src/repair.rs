//! Who is lost, and may be replaced.

use crate::health::{is_heard, to_remove};
use crate::{
    Decision, Exit, JoinWhy, MemberId, Membership, Memory, Observed, OperationKind, Ordinal, Pod, Reason, Repair, Uid,
    Wanted, quorum,
};

/// What repair has to say.
pub(crate) enum Need {
    /// The operation that replaces a member; it may begin.
    Begin(OperationKind),
    /// A member is lost, and this is in the way.
    Blocked(Reason),
}

/// The first member that is lost. `None` when all are there, or may come back by themselves.
pub(crate) fn need(wanted: &Wanted, memory: &Memory, seen: &Observed, membership: &Membership) -> Option<Need> {
    let keep = memory.replicas.unwrap_or(wanted.replicas).min(wanted.replicas);
    let placed = membership.members.iter().filter_map(|(id, member)| Some((*id, member.ordinal?)));
    // Who is to be scaled away is not replaced before.
    let lost = placed
        .filter(|(_, ordinal)| *ordinal < keep)
        .find_map(|(id, ordinal)| lost(wanted, seen, membership, id, ordinal).map(|why| (id, ordinal, why)));
    let (id, ordinal, why) = lost?;
    let why = match why {
        Lost::Foreign => return Some(Need::Blocked(Reason::ForeignDisk(ordinal))),
        Lost::Because(_) if wanted.repair == Repair::Manual => {
            return Some(Need::Blocked(Reason::RepairIsManual(ordinal)));
        }
        Lost::Because(why) => why,
    };
    if let Some(short) = to_remove(seen, membership, &wanted.catch_up, id) {
        let reason = Reason::NotSafe { member: id, healthy: short.healthy, required: quorum(short.voters) };
        return Some(Need::Blocked(reason));
    }
    let wipe = volume(seen, ordinal);
    Some(Need::Begin(OperationKind::Join { ordinal, member: seen.fresh, old: Some(id), wipe, why, nudged: None }))
}

/// The volume at a place, if there is one.
pub(crate) fn volume(seen: &Observed, ordinal: Ordinal) -> Option<Uid> {
    seen.volumes.get(&ordinal).map(|volume| volume.uid.clone())
}

enum Lost {
    Because(JoinWhy),
    Foreign,
}

fn lost(wanted: &Wanted, seen: &Observed, membership: &Membership, id: MemberId, ordinal: Ordinal) -> Option<Lost> {
    let report = seen.reports.get(&ordinal);
    if report.is_some_and(|report| report.member == id && report.corrupt) {
        return Some(Lost::Because(JoinWhy::Corrupt));
    }
    // Whoever its leader hears is there, whatever its pod looked like a moment ago.
    if membership.members.get(&id).is_some_and(is_heard) {
        return None;
    }
    // Its process runs, as somebody else of another cluster.
    if report.is_some_and(|report| report.cluster != membership.cluster) {
        return Some(Lost::Foreign);
    }
    if seen.volumes.get(&ordinal).is_some_and(|volume| volume.lost) {
        return Some(Lost::Because(JoinWhy::VolumeLost));
    }
    let pod = seen.pods.get(&ordinal);
    match pod.and_then(Pod::refused) {
        Some(Exit::DiskReplaced) => return Some(Lost::Because(JoinWhy::VolumeLost)),
        Some(Exit::Damaged) => return Some(Lost::Because(JoinWhy::Corrupt)),
        Some(Exit::Removed) => return Some(Lost::Because(JoinWhy::StaleDisk)),
        Some(Exit::WrongIdentity) => return Some(Lost::Foreign),
        Some(Exit::Other) | None => {}
    }
    is_away(wanted, seen, membership, id, pod).then_some(Lost::Because(JoinWhy::Away))
}

/// Its leader has not heard from it for long, and its process does not run. One that runs and is cut off cannot be
/// fenced from here, and one that fails because of its template would fail again with a new disk.
fn is_away(wanted: &Wanted, seen: &Observed, membership: &Membership, id: MemberId, pod: Option<&Pod>) -> bool {
    let Repair::Automatic { away_for } = wanted.repair else { return false };
    let Some(follower) = membership.members.get(&id).and_then(|member| member.follower.as_ref()) else { return false };
    if follower.silent_for.is_none_or(|silence| silence < away_for) {
        return false;
    }
    let Some(pod) = pod else { return true };
    let down = !pod.is_up() && pod.unready_since.is_some_and(|since| seen.now.since(since) >= away_for);
    down && seen.pods.values().any(|other| other.unready_since.is_none() && other.revision == pod.revision)
}

/// Begins what is needed, in place of whatever is under way.
pub(crate) fn begin(kind: OperationKind, memory: &mut Memory, seen: &Observed) -> Decision {
    memory.begin(kind, seen.now);
    Reason::MembershipChanging.into()
}
