//! Clusters for the table of cases, told in sentences.

use crate::{
    CatchUp, Exit, Follower, Member, MemberId, Membership, Memory, Observed, Operation, OperationKind, Ordinal, Pod,
    PodState, Repair, ScaleIn, Set, Shown, Time, Uid, Volume, Wanted,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const NOW: Time = Time(10_000_000);
pub(crate) const FRESH: MemberId = MemberId(0xf5);
pub(crate) const GIB: u64 = 1 << 30;

/// The member that a healthy cluster has at a place.
pub(crate) fn member(ordinal: Ordinal) -> MemberId {
    MemberId(u64::from(ordinal) + 1)
}

pub(crate) fn pod_uid(ordinal: Ordinal) -> Uid {
    Uid(format!("pod-{ordinal}"))
}

pub(crate) fn volume_uid(ordinal: Ordinal) -> Uid {
    Uid(format!("volume-{ordinal}"))
}

pub(crate) fn set_uid() -> Uid {
    Uid("set".into())
}

pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

impl Wanted {
    pub(crate) fn of(replicas: u32) -> Self {
        Self {
            replicas,
            storage_bytes: GIB,
            paused: false,
            hibernated: false,
            update_paused: false,
            deleting: false,
            delete_volumes: false,
            scale_in: ScaleIn::Delete,
            catch_up: CatchUp {
                entries_max: 1000,
                lag_max: Duration::from_secs(2),
                stable_for: Duration::from_secs(10),
                timeout: minutes(30),
            },
            repair: Repair::Automatic { away_for: minutes(10) },
            recovery: None,
            progress_deadline: minutes(10),
        }
    }
}

impl Memory {
    pub(crate) fn formed(replicas: u32) -> Self {
        Self { cluster: Some(0xc), replicas: Some(replicas), places: replicas, ..Self::default() }
    }

    pub(crate) fn doing(mut self, kind: OperationKind) -> Self {
        self.operation = Some(Operation { kind, started: NOW });
        self
    }
}

/// What a member of a cluster that is well says of itself.
fn shown(member: MemberId) -> Shown {
    Shown { member, corrupt: false, cluster: 0xc, last: (3, 40), knows_leader: true, made_of: None }
}

/// A follower that has been caught up for long.
pub(crate) fn caught_up() -> Follower {
    Follower {
        lag_entries: 0,
        lag: Duration::ZERO,
        silent_for: Some(Duration::ZERO),
        streaming: true,
        caught_up_for: Some(minutes(60)),
    }
}

/// A follower that is connected and lacks so many entries.
pub(crate) fn behind(entries: u64) -> Follower {
    Follower { lag_entries: entries, lag: Duration::from_secs(entries / 100), caught_up_for: None, ..caught_up() }
}

/// A follower that was last heard so long ago.
pub(crate) fn silent(time: Duration) -> Follower {
    Follower { silent_for: Some(time), streaming: false, caught_up_for: None, ..caught_up() }
}

impl Observed {
    /// So many members, all well, the first one leads, everything as it should be.
    pub(crate) fn healthy(members: u32) -> Self {
        let set = Set {
            uid: set_uid(),
            replicas: members,
            revision: Some("r1".into()),
            storage_bytes: GIB,
            terminating: false,
        };
        let membership =
            Membership { cluster: 0xc, config_index: 7, settled: true, leader: member(0), members: BTreeMap::new() };
        let empty = Self {
            now: NOW,
            fresh: FRESH,
            set: Some(set),
            pods: BTreeMap::new(),
            volumes: BTreeMap::new(),
            membership: Some(membership),
            leaderless_since: None,
            reports: BTreeMap::new(),
            drifted: false,
            growth_refused: false,
        };
        (0..members).fold(empty, |seen, ordinal| seen.with_pod(ordinal).with_volume(ordinal).with_voter(ordinal))
    }

    /// Nothing but a wish.
    pub(crate) fn nothing() -> Self {
        Self { set: None, membership: None, drifted: true, ..Self::healthy(0) }
    }

    pub(crate) fn with_pod(mut self, ordinal: Ordinal) -> Self {
        let pod = Pod {
            uid: pod_uid(ordinal),
            revision: "r1".into(),
            state: PodState::Running,
            terminating: false,
            unready_since: None,
            restarts: 0,
            last_exit: None,
        };
        self.pods.insert(ordinal, pod);
        self
    }

    pub(crate) fn with_volume(mut self, ordinal: Ordinal) -> Self {
        let volume = Volume { uid: volume_uid(ordinal), requested_bytes: GIB, lost: false, terminating: false };
        self.volumes.insert(ordinal, volume);
        self
    }

    pub(crate) fn with_voter(self, ordinal: Ordinal) -> Self {
        let id = member(ordinal);
        self.with_member(ordinal, id, true, caught_up())
    }

    pub(crate) fn with_learner(self, ordinal: Ordinal, follower: Follower) -> Self {
        self.with_member(ordinal, FRESH, false, follower)
    }

    fn with_member(mut self, ordinal: Ordinal, id: MemberId, voter: bool, follower: Follower) -> Self {
        let membership = self.membership.as_mut().expect("a leader answered");
        let follower = (id != membership.leader).then_some(follower);
        membership.members.insert(id, Member { ordinal: Some(ordinal), voter, follower });
        self.reports.insert(ordinal, shown(id));
        self
    }

    pub(crate) fn led_by(mut self, ordinal: Ordinal) -> Self {
        let membership = self.membership.as_mut().expect("a leader answered");
        membership.leader = member(ordinal);
        for (id, there) in &mut membership.members {
            there.follower = (*id != membership.leader).then(caught_up);
        }
        self
    }

    pub(crate) fn without_member(mut self, ordinal: Ordinal) -> Self {
        let membership = self.membership.as_mut().expect("a leader answered");
        membership.members.retain(|_, member| member.ordinal != Some(ordinal));
        membership.config_index += 1;
        self
    }

    pub(crate) fn without_pod(mut self, ordinal: Ordinal) -> Self {
        self.pods.remove(&ordinal);
        self
    }

    pub(crate) fn without_volume(mut self, ordinal: Ordinal) -> Self {
        self.volumes.remove(&ordinal);
        self
    }

    pub(crate) fn without_leader_for(mut self, time: Duration) -> Self {
        self.membership = None;
        self.leaderless_since = Some(Time(NOW.0 - u64::try_from(time.as_millis()).expect("minutes")));
        self
    }

    /// Nobody has led for long; these answer, with the last entries of their logs.
    pub(crate) fn quorum_lost(self, logs: &[(Ordinal, (u64, u64))]) -> Self {
        let says = |(ordinal, last): &(Ordinal, (u64, u64))| {
            (*ordinal, Shown { last: *last, knows_leader: false, ..shown(member(*ordinal)) })
        };
        Self { reports: logs.iter().map(says).collect(), ..self.without_leader_for(minutes(5)) }
    }

    /// All of it is another cluster's.
    pub(crate) fn of_cluster(mut self, cluster: u64) -> Self {
        self.membership.iter_mut().for_each(|membership| membership.cluster = cluster);
        self.reports.values_mut().for_each(|shown| shown.cluster = cluster);
        self
    }

    pub(crate) fn shown(mut self, ordinal: Ordinal, change: impl FnOnce(&mut Shown)) -> Self {
        change(self.reports.get_mut(&ordinal).expect("a report"));
        self
    }

    pub(crate) fn follower(mut self, ordinal: Ordinal, follower: Follower) -> Self {
        let membership = self.membership.as_mut().expect("a leader answered");
        let there = membership.members.values_mut().find(|member| member.ordinal == Some(ordinal));
        there.expect("a member").follower = Some(follower);
        self
    }

    pub(crate) fn pod(mut self, ordinal: Ordinal, change: impl FnOnce(&mut Pod)) -> Self {
        change(self.pods.get_mut(&ordinal).expect("a pod"));
        self
    }

    pub(crate) fn volume(mut self, ordinal: Ordinal, change: impl FnOnce(&mut Volume)) -> Self {
        change(self.volumes.get_mut(&ordinal).expect("a volume"));
        self
    }

    pub(crate) fn outdated(self, ordinals: &[Ordinal]) -> Self {
        ordinals.iter().fold(self, |seen, ordinal| seen.pod(*ordinal, |pod| pod.revision = "r0".into()))
    }

    /// The process at a place ended like this and is between two tries; its leader has not heard it since.
    pub(crate) fn crashed(self, ordinal: Ordinal, exit: Exit, ago: Duration) -> Self {
        let since = Time(NOW.0 - u64::try_from(ago.as_millis()).expect("minutes"));
        self.follower(ordinal, silent(ago)).pod(ordinal, |pod| {
            pod.state = PodState::Down;
            pod.unready_since = Some(since);
            pod.last_exit = Some(exit);
            pod.restarts = 3;
        })
    }

    pub(crate) fn set(mut self, change: impl FnOnce(&mut Set)) -> Self {
        change(self.set.as_mut().expect("a set"));
        self
    }
}
