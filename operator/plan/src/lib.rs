//! What the operator does next with one cluster: a pure function of what was asked for, what was begun, and what was
//! seen.
//!
//! ```text
//!   Wanted  (the spec) ─┐
//!   Memory  (the status)┼──▶ plan() ──▶ Memory', Decision ──▶ write Memory', then do the one step, then look again
//!   Observed (live)    ─┘
//! ```
//!
//! * One operation at a time, latched in [`Memory`] before its first effect. Where an operation stands is never
//!   remembered: each step is derived from what was seen, so a step may be repeated, lost or done by somebody else.
//! * Repair outranks rollout; a pod that is outdated and does not take part may always be replaced; without a leader
//!   that hears its quorum nothing is touched that holds data or a vote.
//! * Membership changes name the configuration they expect, deletions the identity of what they delete, and the
//!   memory is written against the version that was read: an action planned on an old view is refused, not done.
//! * A quorum that is lost is recovered for a request only, which is answered once: see [`Recovery`].
//! * How authorities that sign certificates change is a plan of its own ([`rotate`]): it waits for members only, and
//!   never for a leader.
//! * Nothing here knows a clock, a client or randomness: time and fresh ids come in with [`Observed`].

mod action;
mod bootstrap;
mod decide;
mod health;
mod join;
mod leave;
mod memory;
mod observed;
mod recovery;
mod repair;
mod restart;
mod rotation;
mod shrink;
mod storage;
mod wanted;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod recovery_tests;

pub use action::{Action, Decision, Plan, Reason};
pub use decide::plan;
pub use health::{Health, quorum};
pub use memory::{JoinWhy, Memory, Operation, OperationKind};
pub use observed::{Exit, Follower, MadeOf, Member, Membership, Observed, Pod, PodState, Set, Shown, Volume};
pub use recovery::{Recovery, RecoveryRefused, RecoveryStage, RecoveryWanted, Refused, Survivor};
pub use rotation::{Authority, Rotation, RotationStep, RotationWanted, Spread, rotate};
pub use wanted::{CatchUp, Repair, ScaleIn, Wanted};

use std::fmt;

/// Where a member stands in its set: its pod is `NAME-ORDINAL`.
pub type Ordinal = u32;

/// So many places there are: far more than a cluster has voters, and few enough that a number which somebody wrote, or a
/// member calls itself by, makes no thousands of pods.
pub const PLACES_MAX: Ordinal = 64;

/// The id of a member, random and never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The identity of an object of the cluster's API: another one under the same name has another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub String);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Milliseconds of wall time. Only differences count, and only for patience: nothing is safe because of a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// How long ago `earlier` was; 0 if it is not past.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
