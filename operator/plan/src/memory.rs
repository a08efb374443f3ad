//! What is remembered between two looks, in the status of the cluster: only what cannot be seen.

use crate::{MemberId, Ordinal, Recovery, RecoveryRefused, Time, Uid};

/// What was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The cluster that formed. From then on no member may form another.
    pub cluster: Option<u64>,
    /// How many voters are being made or kept: the wish that was accepted last.
    pub replicas: Option<u32>,
    /// How many pods the set should have. Written before the set is.
    pub places: u32,
    /// The pods were taken away on request.
    pub hibernated: bool,
    /// It has been said that the quorum is lost.
    pub quorum_lost: bool,
    /// The recovery that was taken up last.
    pub recovery: Option<Recovery>,
    /// The request for one that was refused last.
    pub recovery_refused: Option<RecoveryRefused>,
    /// The one operation under way.
    pub operation: Option<Operation>,
}

impl Memory {
    /// How many pods the set should have now.
    #[must_use]
    pub fn set_size(&self) -> u32 {
        if self.hibernated { 0 } else { self.places }
    }

    pub(crate) fn begin(&mut self, kind: OperationKind, now: Time) {
        self.operation = Some(Operation { kind, started: now });
    }
}

/// The one operation under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: OperationKind,
    /// Since when.
    pub started: Time,
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A place gets a member: a new place, or one whose member is lost.
    Join {
        /// The place.
        ordinal: Ordinal,
        /// Who comes. Chosen before the first effect, so that adding it twice adds it once.
        member: MemberId,
        /// Who is to be removed before.
        old: Option<MemberId>,
        /// The volume that must be gone before.
        wipe: Option<Uid>,
        /// Why.
        why: JoinWhy,
        /// The pod that was made to try again after the newcomer was added. What one says after that counts.
        nudged: Option<Uid>,
    },
    /// The highest place is given up.
    Shrink {
        /// The place.
        ordinal: Ordinal,
    },
    /// A pod is made anew from the set's template.
    Restart {
        /// The place.
        ordinal: Ordinal,
        /// The pod that goes.
        pod: Uid,
    },
}

/// Why a place gets a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JoinWhy {
    /// More voters were asked for.
    ScaleOut,
    /// Its volume is lost, or was replaced under it.
    VolumeLost,
    /// Its state differs from that of the others.
    Corrupt,
    /// It has been away for too long.
    Away,
    /// Its disk is that of a member that was removed.
    StaleDisk,
    /// Somebody added it, and it was there when we looked.
    Found,
}

impl JoinWhy {
    /// The word for events and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScaleOut => "ScaleOut",
            Self::VolumeLost => "VolumeLost",
            Self::Corrupt => "Corrupt",
            Self::Away => "Away",
            Self::StaleDisk => "StaleDisk",
            Self::Found => "Found",
        }
    }
}

impl OperationKind {
    /// The word for events, status and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Join { why: JoinWhy::ScaleOut, .. } => "ScaleOut",
            Self::Join { why: JoinWhy::Found, .. } => "FinishLearner",
            Self::Join { .. } => "ReplaceMember",
            Self::Shrink { .. } => "ScaleIn",
            Self::Restart { .. } => "RestartMember",
        }
    }

    /// The place it is about.
    #[must_use]
    pub fn ordinal(&self) -> Ordinal {
        match self {
            Self::Join { ordinal, .. } | Self::Shrink { ordinal } | Self::Restart { ordinal, .. } => *ordinal,
        }
    }
}
