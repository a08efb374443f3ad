//! What was seen, live, in one look.

use crate::{MemberId, Ordinal, Time, Uid};
use std::collections::BTreeMap;
use std::time::Duration;

/// One look at a cluster.
#[derive(Clone, Debug)]
pub struct Observed {
    /// When.
    pub now: Time,
    /// An id that no member ever had: randomness comes in through the door.
    pub fresh: MemberId,
    /// The stateful set.
    pub set: Option<Set>,
    /// The pods, by ordinal.
    pub pods: BTreeMap<Ordinal, Pod>,
    /// The volume claims, by ordinal.
    pub volumes: BTreeMap<Ordinal, Volume>,
    /// What the leader says, if one that hears its quorum answered.
    pub membership: Option<Membership>,
    /// Since when nobody that leads has answered.
    pub leaderless_since: Option<Time>,
    /// What each member says of itself, if it answered.
    pub reports: BTreeMap<Ordinal, Shown>,
    /// An object of the cluster is missing or not as it should be. The set's template counts, its size does not.
    pub drifted: bool,
    /// A volume was refused more room a moment ago: nothing else waits for it.
    pub growth_refused: bool,
}

/// The stateful set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its identity.
    pub uid: Uid,
    /// How many pods it keeps.
    pub replicas: u32,
    /// What new pods are made from. `None` until its controller has seen the template.
    pub revision: Option<String>,
    /// The size its volume template asks for, in bytes: it cannot be changed in place.
    pub storage_bytes: u64,
    /// It is being deleted.
    pub terminating: bool,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its identity.
    pub uid: Uid,
    /// What it was made from.
    pub revision: String,
    /// What it does.
    pub state: PodState,
    /// It is being deleted.
    pub terminating: bool,
    /// Since when it is not ready; absent while it is.
    pub unready_since: Option<Time>,
    /// How often its process ended.
    pub restarts: u32,
    /// How its process ended last.
    pub last_exit: Option<Exit>,
}

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Its process does not run: not scheduled, no image, or between two tries.
    Down,
    /// Its process runs.
    Running,
}

/// How a member's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The cluster knows this member with another disk.
    DiskReplaced,
    /// The cluster has removed this member.
    Removed,
    /// The disk belongs elsewhere, or the cluster does not know this member (yet).
    WrongIdentity,
    /// What the disk holds has rotted.
    Damaged,
    /// Anything else.
    Other,
}

/// A volume claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its identity.
    pub uid: Uid,
    /// The size asked for, in bytes.
    pub requested_bytes: u64,
    /// Its storage is gone.
    pub lost: bool,
    /// It is being deleted.
    pub terminating: bool,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub member: MemberId,
    /// Its state differs from that of the others.
    pub corrupt: bool,
    /// Its cluster.
    pub cluster: u64,
    /// The last entry of its log: its term, and its index.
    pub last: (u64, u64),
    /// It knows who leads.
    pub knows_leader: bool,
    /// What its cluster was made of, if that was this member by a request.
    pub made_of: Option<MadeOf>,
}

/// What a cluster was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeOf {
    /// The word of the request.
    pub request: String,
    /// The cluster that had lost its quorum.
    pub cluster: u64,
}

/// What the leader says, confirmed by its quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The cluster's id.
    pub cluster: u64,
    /// Where the configuration stands in the log. Every change names it.
    pub config_index: u64,
    /// It is committed, and alone in force.
    pub settled: bool,
    /// Who leads.
    pub leader: MemberId,
    /// The members, the leader included.
    pub members: BTreeMap<MemberId, Member>,
}

/// A member of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its place; `None` when it has a name that is not one of ours.
    pub ordinal: Option<Ordinal>,
    /// It votes.
    pub voter: bool,
    /// How the leader sees it; absent for the leader.
    pub follower: Option<Follower>,
}

/// A follower, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Entries it lacks.
    pub lag_entries: u64,
    /// The age of the oldest.
    pub lag: Duration,
    /// Since when nothing was heard from it; absent if nothing ever was.
    pub silent_for: Option<Duration>,
    /// Its stream is running: not probing, not waiting for a snapshot.
    pub streaming: bool,
    /// How long it has been caught up without a break, under this leader, as far as was watched.
    pub caught_up_for: Option<Duration>,
}

impl Membership {
    /// The member at a place.
    #[must_use]
    pub fn at(&self, ordinal: Ordinal) -> Option<(MemberId, &Member)> {
        self.members.iter().find(|(_, member)| member.ordinal == Some(ordinal)).map(|(id, member)| (*id, member))
    }

    /// Those who vote.
    pub fn voters(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter().filter(|(_, member)| member.voter).map(|(id, member)| (*id, member))
    }

    /// One more than the highest place taken.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.members
            .values()
            .filter_map(|member| member.ordinal)
            .map(|ordinal| ordinal.saturating_add(1))
            .max()
            .unwrap_or(0)
    }
}

impl Pod {
    /// Its process runs and it is not on its way out.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == PodState::Running && !self.terminating
    }

    /// How its process ended, if it does not run and the cluster or its disk would not have it.
    #[must_use]
    pub(crate) fn refused(&self) -> Option<Exit> {
        let down = self.state == PodState::Down && !self.terminating;
        self.last_exit.filter(|exit| down && *exit != Exit::Other)
    }

    /// Made from what the set would make a pod from now.
    #[must_use]
    pub fn is_current(&self, set: &Set) -> bool {
        set.revision.as_ref().is_none_or(|revision| *revision == self.revision)
    }
}
