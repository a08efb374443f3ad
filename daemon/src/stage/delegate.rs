//! Which member stages: a follower that is well, so that the leader's line and disk stay free; the leader if there is
//! none. Pure; what it decides is told to the log.

use raft::{FollowerStatus, MemberId, StreamState};
use std::time::Duration;

/// A follower that has been silent for longer has other troubles.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A follower that is further behind is busy.
const LAG_MAX: Duration = Duration::from_secs(10);

/// Whom to delegate to; none if it is to stay as it is.
///
/// `failed` is the member that gave the work back last: the next in turn gets it.
pub(super) fn choose(
    current: Option<MemberId>,
    leader: MemberId,
    followers: &[FollowerStatus],
    failed: Option<MemberId>,
) -> Option<MemberId> {
    let mut fit: Vec<MemberId> = followers.iter().filter(|it| is_fit(it)).map(|it| it.member).collect();
    fit.sort();
    match current {
        Some(current) if fit.contains(&current) => None,
        Some(current) if current == leader && fit.is_empty() => None,
        // The leader has its turn, too, once every follower has failed.
        Some(current) if current == leader && failed.is_some_and(|failed| Some(&failed) == fit.last()) => None,
        _ => Some(after(&fit, leader, failed)),
    }
}

/// The followers take turns, and after the last one the leader.
fn after(fit: &[MemberId], leader: MemberId, failed: Option<MemberId>) -> MemberId {
    let next = match failed {
        Some(failed) if failed != leader => fit.iter().find(|member| **member > failed),
        _ => fit.first(),
    };
    next.copied().unwrap_or(leader)
}

fn is_fit(follower: &FollowerStatus) -> bool {
    !follower.learner
        && follower.state == StreamState::Replicate
        && follower.silent_for.is_some_and(|silence| silence <= SILENCE_MAX)
        && follower.lag.age <= LAG_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{Index, Lag, LogId, PausedReason, Resets};

    const LEADER: MemberId = MemberId(2);

    fn follower(member: u64) -> FollowerStatus {
        FollowerStatus {
            member: MemberId(member),
            learner: false,
            state: StreamState::Replicate,
            paused: PausedReason::None,
            matched: LogId::ZERO,
            next: Index(1),
            lag: Lag::default(),
            applied: Index(0),
            in_flight_messages: 0,
            in_flight_bytes: 0,
            window_bytes: 0,
            credit_bytes: 0,
            round_trip: None,
            ack_bytes_per_second: 0,
            silent_for: Some(Duration::ZERO),
            rejections: 0,
            resets: Resets::default(),
        }
    }

    fn chosen(current: Option<u64>, followers: &[FollowerStatus], failed: Option<u64>) -> Option<u64> {
        choose(current.map(MemberId), LEADER, followers, failed.map(MemberId)).map(|member| member.0)
    }

    #[test]
    fn a_follower_that_is_well_gets_the_work_and_keeps_it() {
        let both = [follower(3), follower(1)];
        assert_eq!(chosen(None, &both, None), Some(1));
        assert_eq!(chosen(Some(3), &both, None), None);
        assert_eq!(chosen(Some(2), &both, None), Some(1), "the leader passes it on");
    }

    #[test]
    fn one_that_is_away_behind_or_gone_loses_it() {
        let silent = FollowerStatus { silent_for: Some(Duration::from_secs(60)), ..follower(1) };
        let unheard = FollowerStatus { silent_for: None, ..follower(1) };
        let learner = FollowerStatus { learner: true, ..follower(1) };
        let behind = FollowerStatus { state: StreamState::Snapshot, ..follower(1) };
        let slow = FollowerStatus { lag: Lag { age: Duration::from_secs(60), ..Lag::default() }, ..follower(1) };
        for unfit in [silent, unheard, learner, behind, slow] {
            assert_eq!(chosen(Some(1), &[unfit.clone(), follower(3)], None), Some(3), "{unfit:?}");
            assert_eq!(chosen(Some(1), &[unfit], None), Some(2));
        }
        assert_eq!(chosen(Some(7), &[follower(3)], None), Some(3), "it was removed");
    }

    #[test]
    fn a_member_alone_does_it_itself() {
        assert_eq!(chosen(None, &[], None), Some(2));
        assert_eq!(chosen(Some(2), &[], None), None);
    }

    #[test]
    fn who_fails_gives_it_back_and_all_have_their_turn() {
        let both = [follower(1), follower(3)];
        assert_eq!(chosen(None, &both, Some(1)), Some(3));
        assert_eq!(chosen(None, &both, Some(3)), Some(2), "the leader, after the last follower");
        assert_eq!(chosen(Some(2), &both, Some(3)), None, "which keeps it while it tries");
        assert_eq!(chosen(None, &both, Some(2)), Some(1), "and from the beginning");
    }
}
