//! What a plan is made of.

use crate::{MemberId, Memory, Ordinal, Uid};

/// What to remember, and what to do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To be written, if it differs, before anything is done.
    pub memory: Memory,
    /// The one step.
    pub decision: Decision,
}

/// The one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Everything is as asked for.
    Settled,
    /// Do this, then look again.
    Act(Action),
    /// Look again later.
    Wait(Reason),
}

/// One effect. Each names what it expects to find, so that one planned on an old view fails instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make every object of the cluster as it should be. Creates the set with as many pods as the memory says, and
    /// never changes the number of an existing one.
    Apply,
    /// Change the number of pods.
    SetReplicas {
        /// Of this set.
        set: Uid,
        /// From.
        from: u32,
        /// To.
        to: u32,
    },
    /// Add a member that does not vote.
    AddLearner {
        /// The configuration that was seen.
        config_index: u64,
        /// Who.
        member: MemberId,
        /// Where.
        ordinal: Ordinal,
    },
    /// Let it vote.
    Promote {
        /// The configuration that was seen.
        config_index: u64,
        /// Who.
        member: MemberId,
    },
    /// Remove a member for good.
    Remove {
        /// The configuration that was seen.
        config_index: u64,
        /// Who.
        member: MemberId,
    },
    /// Move leadership.
    Transfer {
        /// From.
        from: MemberId,
        /// To.
        to: MemberId,
    },
    /// Delete a pod; its set makes it anew.
    DeletePod {
        /// Where.
        ordinal: Ordinal,
        /// Which.
        uid: Uid,
        /// The leader must say, at that moment, that this member may stop.
        safe: Option<MemberId>,
    },
    /// Delete a volume claim. The caller makes sure, at that moment, that no member of the configuration lives there,
    /// unless `wiped` says that it has been removed as far as anybody knows.
    DeleteVolume {
        /// Where.
        ordinal: Ordinal,
        /// Which.
        uid: Uid,
        /// The configuration that was seen; `None` when the whole cluster is being deleted.
        config_index: Option<u64>,
    },
    /// Ask for a larger volume.
    GrowVolume {
        /// Where.
        ordinal: Ordinal,
        /// Which.
        uid: Uid,
        /// To this many bytes.
        bytes: u64,
    },
    /// Ask a member to become a cluster of its own. It ends, and its next start does that.
    RecoverQuorum {
        /// Where.
        ordinal: Ordinal,
        /// Who is meant.
        member: MemberId,
        /// In which cluster.
        cluster: u64,
        /// The word of the request, which it carries out once.
        request: String,
    },
    /// Delete the set and leave its pods: its volume template is another now, and it cannot be changed in place.
    OrphanSet {
        /// Which.
        uid: Uid,
    },
    /// The cluster may go.
    Release,
}

impl Action {
    /// The word for logs, metrics and events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::SetReplicas { .. } => "SetReplicas",
            Self::AddLearner { .. } => "AddLearner",
            Self::Promote { .. } => "Promote",
            Self::Remove { .. } => "Remove",
            Self::Transfer { .. } => "Transfer",
            Self::DeletePod { .. } => "DeletePod",
            Self::DeleteVolume { .. } => "DeleteVolume",
            Self::GrowVolume { .. } => "GrowVolume",
            Self::RecoverQuorum { .. } => "RecoverQuorum",
            Self::OrphanSet { .. } => "OrphanSet",
            Self::Release => "Release",
        }
    }
}

/// Why nothing is done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Asked to touch nothing.
    Paused,
    /// Asked to have no pods.
    Hibernated,
    /// The first members have not all found each other.
    Forming,
    /// No leader has answered, for less than it takes to worry.
    NoLeader,
    /// No leader that hears its quorum has answered for long: nothing is touched until there is one.
    QuorumLost,
    /// Waiting for the member at a place to start as a cluster of its own.
    RecoveringQuorum(Ordinal),
    /// A change of membership is not settled yet.
    MembershipChanging,
    /// Waiting for a pod to go, to come, or to run.
    Pod(Ordinal),
    /// Waiting for a volume to go.
    Volume(Ordinal),
    /// Waiting for the set's controller to see its template.
    Set,
    /// Waiting for a member to catch up.
    CatchingUp {
        /// Who.
        member: MemberId,
        /// Where.
        ordinal: Ordinal,
        /// By its leader's count.
        lag_entries: u64,
    },
    /// The others would not be a healthy quorum without this member.
    NotSafe {
        /// Who would have to go.
        member: MemberId,
        /// Voters that would be up and caught up.
        healthy: u32,
        /// That must be.
        required: u32,
    },
    /// Nobody is fit to take over leadership.
    NoTransferee,
    /// A member's disk belongs elsewhere. Only people can tell what to do about it.
    ForeignDisk(Ordinal),
    /// A member is lost and repair is manual.
    RepairIsManual(Ordinal),
    /// A member has a name that is none of ours: it is left alone, and so is the number of members.
    StrangeMember(MemberId),
    /// Volumes cannot shrink.
    VolumeTooLarge(Ordinal),
}

impl Reason {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Paused => "Paused",
            Self::Hibernated => "Hibernated",
            Self::Forming => "Forming",
            Self::NoLeader => "NoLeader",
            Self::QuorumLost => "QuorumLost",
            Self::RecoveringQuorum(_) => "RecoveringQuorum",
            Self::MembershipChanging => "MembershipChanging",
            Self::Pod(_) => "WaitingForPod",
            Self::Volume(_) => "WaitingForVolume",
            Self::Set => "WaitingForStatefulSet",
            Self::CatchingUp { .. } => "CatchingUp",
            Self::NotSafe { .. } => "NotSafe",
            Self::NoTransferee => "NoTransferee",
            Self::ForeignDisk(_) => "ForeignDisk",
            Self::RepairIsManual(_) => "RepairIsManual",
            Self::StrangeMember(_) => "StrangeMember",
            Self::VolumeTooLarge(_) => "VolumeTooLarge",
        }
    }
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        Self::Act(action)
    }
}

impl From<Reason> for Decision {
    fn from(reason: Reason) -> Self {
        Self::Wait(reason)
    }
}
