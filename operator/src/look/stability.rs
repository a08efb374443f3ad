//! How long followers have been caught up. It is watched and not remembered: whoever starts watching starts at zero,
//! which only costs time.

use plan::{CatchUp, MemberId, Membership, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// One look must follow another within this, or nothing is known about the time between.
const GAP_MAX: Duration = Duration::from_secs(60);

/// What was watched of one cluster.
#[derive(Debug, Default)]
pub struct Stability {
    leader: Option<MemberId>,
    looked: Time,
    since: BTreeMap<MemberId, Time>,
}

impl Stability {
    /// Takes a look into account, and writes into it how long each follower has been caught up.
    pub fn watch(&mut self, membership: &mut Membership, limits: &CatchUp, now: Time) {
        if self.leader != Some(membership.leader) || now.since(self.looked) > GAP_MAX {
            self.since.clear();
        }
        self.leader = Some(membership.leader);
        self.looked = now;
        let mut since = BTreeMap::new();
        for (id, member) in &mut membership.members {
            let Some(follower) = &mut member.follower else { continue };
            let caught_up =
                follower.streaming && follower.lag_entries <= limits.entries_max && follower.lag <= limits.lag_max;
            if caught_up {
                let began = self.since.get(id).copied().unwrap_or(now);
                since.insert(*id, began);
                follower.caught_up_for = Some(now.since(began));
            }
        }
        self.since = since;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{Follower, Member};

    const FOLLOWER: MemberId = MemberId(2);

    fn seen(leader: u64, lag_entries: u64) -> Membership {
        let follower = Follower {
            lag_entries,
            lag: Duration::ZERO,
            silent_for: Some(Duration::ZERO),
            streaming: true,
            caught_up_for: None,
        };
        let member = Member { ordinal: Some(1), voter: true, follower: Some(follower) };
        Membership {
            cluster: 1,
            config_index: 1,
            settled: true,
            leader: MemberId(leader),
            members: [(FOLLOWER, member)].into(),
        }
    }

    fn caught_up_for(stability: &mut Stability, mut seen: Membership, second: u64) -> Option<u64> {
        let limits = CatchUp {
            entries_max: 10,
            lag_max: Duration::from_secs(1),
            stable_for: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        };
        stability.watch(&mut seen, &limits, Time(second * 1000));
        let follower = seen.members[&FOLLOWER].follower.as_ref().expect("a follower");
        follower.caught_up_for.map(|time| time.as_secs())
    }

    #[test]
    fn time_counts_from_the_first_look_that_saw_a_follower_caught_up() {
        let mut stability = Stability::default();
        assert_eq!(caught_up_for(&mut stability, seen(1, 0), 100), Some(0));
        assert_eq!(caught_up_for(&mut stability, seen(1, 10), 107), Some(7));
        assert_eq!(caught_up_for(&mut stability, seen(1, 11), 108), None);
        assert_eq!(caught_up_for(&mut stability, seen(1, 0), 110), Some(0));
    }

    #[test]
    fn another_leader_and_a_long_gap_begin_anew() {
        let mut stability = Stability::default();
        caught_up_for(&mut stability, seen(1, 0), 100);
        assert_eq!(caught_up_for(&mut stability, seen(3, 0), 110), Some(0));
        assert_eq!(caught_up_for(&mut stability, seen(3, 0), 120), Some(10));
        assert_eq!(caught_up_for(&mut stability, seen(3, 0), 200), Some(0));
    }
}
