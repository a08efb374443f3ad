//! Who counts: the arithmetic of quorums, over voters that are up and caught up by their leader's measure.

use crate::{CatchUp, Follower, Member, MemberId, Membership, Observed};
use std::time::Duration;

/// A voter silent for longer may be gone. Heartbeats come every 100 ms; three seconds are an election and more.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// The voters it takes.
#[must_use]
pub fn quorum(voters: u32) -> u32 {
    voters / 2 + 1
}

/// The voters of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// How many there are.
    pub voters: u32,
    /// How many of them are up and caught up.
    pub healthy: u32,
}

impl Health {
    /// As the leader sees them, except those whose pods are on their way out: it does not know that yet.
    #[must_use]
    pub fn of(seen: &Observed, membership: &Membership, limits: &CatchUp) -> Self {
        Self::counted(seen, membership, limits, |_| true)
    }

    /// All are counted as voters, and all but one as perhaps healthy.
    #[must_use]
    pub fn without(seen: &Observed, membership: &Membership, limits: &CatchUp, member: MemberId) -> Self {
        Self::counted(seen, membership, limits, |id| id != member)
    }

    fn counted(seen: &Observed, membership: &Membership, limits: &CatchUp, counts: impl Fn(MemberId) -> bool) -> Self {
        let stays = |member: &Member| {
            // A member whose pod is not one of ours is judged by its leader alone.
            member.ordinal.is_none_or(|ordinal| seen.pods.get(&ordinal).is_some_and(crate::Pod::is_up))
        };
        let fit = |(id, member): &(MemberId, &Member)| counts(*id) && is_caught_up(member, limits) && stays(member);
        let healthy = membership.voters().filter(fit).count();
        Self { voters: number(membership.voters().count()), healthy: number(healthy) }
    }

    /// How many more may fail.
    #[must_use]
    pub fn margin(&self) -> i64 {
        i64::from(self.healthy) - i64::from(quorum(self.voters))
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Takes part in the next commit within a moment. A leader does.
pub(crate) fn is_caught_up(member: &Member, limits: &CatchUp) -> bool {
    member.follower.as_ref().is_none_or(|follower| {
        follower.streaming && follower.lag_entries <= limits.entries_max && follower.lag <= limits.lag_max
    }) && is_heard(member)
}

/// Its leader has heard from it lately.
pub(crate) fn is_heard(member: &Member) -> bool {
    let recently = |follower: &Follower| follower.silent_for.is_some_and(|silence| silence <= SILENCE_MAX);
    member.follower.as_ref().is_none_or(recently)
}

/// Caught up, and has been for as long as it takes to believe it.
pub(crate) fn is_stable(member: &Member, limits: &CatchUp) -> bool {
    let long_enough = |follower: &Follower| follower.caught_up_for.is_some_and(|time| time >= limits.stable_for);
    is_caught_up(member, limits) && member.follower.as_ref().is_none_or(long_enough)
}

/// What is missing for a step; `None` when it may be taken.
pub(crate) type Shortage = Option<Health>;

/// A voter may stop for a while if the others are a quorum of all. One or two voters cannot spare any: the pause is
/// what was chosen with their number, and all of them must be well before it.
pub(crate) fn to_stop(seen: &Observed, membership: &Membership, limits: &CatchUp, member: MemberId) -> Shortage {
    if !membership.members.get(&member).is_some_and(|member| member.voter) {
        return None;
    }
    let all = Health::of(seen, membership, limits);
    let rest = Health::without(seen, membership, limits, member);
    match all.voters {
        0..=2 => (all.healthy < all.voters && rest.healthy < all.healthy).then_some(rest),
        voters => (rest.healthy < quorum(voters)).then_some(rest),
    }
}

/// A voter may be removed if a quorum commits it, and those that stay are one among themselves.
pub(crate) fn to_remove(seen: &Observed, membership: &Membership, limits: &CatchUp, member: MemberId) -> Shortage {
    if !membership.members.get(&member).is_some_and(|member| member.voter) {
        return None;
    }
    let all = Health::of(seen, membership, limits);
    let rest = Health { voters: all.voters - 1, ..Health::without(seen, membership, limits, member) };
    let enough = all.healthy >= quorum(all.voters) && rest.voters > 0 && rest.healthy >= quorum(rest.voters);
    (!enough).then_some(rest)
}

/// A learner that is caught up may vote if it and the healthy voters are a quorum of the greater number.
pub(crate) fn to_promote(seen: &Observed, membership: &Membership, limits: &CatchUp) -> Shortage {
    let all = Health::of(seen, membership, limits);
    let then = Health { voters: all.voters + 1, healthy: all.healthy + 1 };
    (then.healthy < quorum(then.voters)).then_some(then)
}
