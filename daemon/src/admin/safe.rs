//! Whether a member may stop without costing the cluster its quorum: a function of what the leader sees.

use crate::node::MembersView;
use admin_api::{Id, SafeToStop, UnsafeReason};
use raft::{FollowerStatus, MemberId, Status, StreamState};
use std::time::Duration;

/// A voter that lacks no more than this takes part in the next commit within a moment.
const CAUGHT_UP_ENTRIES_MAX: u64 = 1000;
/// A voter that has been silent for longer may be gone.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Weighs a stop of `member`. `seen` is what the leader sees.
pub(super) fn safe_to_stop(member: MemberId, seen: &Status, members: &MembersView) -> SafeToStop {
    let mut reasons = Vec::new();
    let is_voter = |id: MemberId| members.get(id).is_some_and(|member| !member.learner);
    let voters = members.members.iter().filter(|member| !member.learner).count();
    if member == seen.id && voters > 1 {
        reasons.push(UnsafeReason::IsLeader);
    }
    if members.joint || !members.committed {
        reasons.push(UnsafeReason::MembershipChanging);
    }
    if is_voter(member) {
        let others: Vec<&FollowerStatus> =
            seen.followers.iter().filter(|follower| follower.member != member && is_voter(follower.member)).collect();
        let leader = usize::from(member != seen.id);
        let (caught_up, required) =
            (others.iter().filter(|voter| is_caught_up(voter)).count() + leader, voters / 2 + 1);
        if caught_up < required {
            reasons.push(UnsafeReason::QuorumWouldBeLost { caught_up: count(caught_up), required: count(required) });
        }
        reasons.extend(
            others
                .into_iter()
                .filter(|voter| !is_caught_up(voter))
                .map(|voter| UnsafeReason::CatchingUp { member: Id(voter.member.0), lag_entries: voter.lag.entries }),
        );
    }
    SafeToStop { safe: reasons.is_empty(), reasons }
}

fn is_caught_up(voter: &FollowerStatus) -> bool {
    voter.state == StreamState::Replicate
        && voter.lag.entries <= CAUGHT_UP_ENTRIES_MAX
        && voter.silent_for.is_some_and(|silence| silence <= SILENCE_MAX)
}

fn count(voters: usize) -> u32 {
    u32::try_from(voters).unwrap_or(u32::MAX)
}
