//! What was asked for: the part of the spec that decisions depend on.

use crate::RecoveryWanted;
use std::time::Duration;

/// What a cluster should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Voters.
    pub replicas: u32,
    /// The least size of each volume, in bytes.
    pub storage_bytes: u64,
    /// Touch nothing.
    pub paused: bool,
    /// No pods, all volumes.
    pub hibernated: bool,
    /// Pods run what they run; new ones get the new template.
    pub update_paused: bool,
    /// The cluster is being deleted.
    pub deleting: bool,
    /// A deleted cluster takes its volumes along.
    pub delete_volumes: bool,
    /// What becomes of the volume of a member that was scaled away.
    pub scale_in: ScaleIn,
    /// What counts as caught up.
    pub catch_up: CatchUp,
    /// Whether lost members are replaced.
    pub repair: Repair,
    /// Make a new cluster of one member, if the quorum is lost.
    pub recovery: Option<RecoveryWanted>,
    /// How long one operation may take before it is called stuck. It is not given up then: it is said.
    pub progress_deadline: Duration,
}

/// What becomes of the volume of a member that was scaled away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleIn {
    /// It goes.
    Delete,
    /// It stays until its place is taken again: a removed member's data can never rejoin.
    Retain,
}

/// When a follower counts as caught up, judged by its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// Entries of the leader's log it may lack.
    pub entries_max: u64,
    /// How old the oldest of them may be.
    pub lag_max: Duration,
    /// How long both must have held.
    pub stable_for: Duration,
    /// After this a learner that has not caught up is called stuck.
    pub timeout: Duration,
}

/// Whether lost members are replaced without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Yes; one that is merely away, after this long.
    Automatic {
        /// How long a member may be away.
        away_for: Duration,
    },
    /// Never.
    Manual,
}
