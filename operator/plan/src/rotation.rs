//! When an authority that signs certificates gives way to the next one: a pure function of what is stored with it and of
//! how far what is published has got.
//!
//! ```text
//!   Settled ──announce──▶ Announced ──hand over──▶ Succeeded ──retire──▶ Settled
//!   A signs               A signs                  B signs                B signs
//!   A trusted             A and B trusted          A and B trusted        B trusted
//! ```
//!
//! * Two that hold what was published before and after any one step believe each other. Two that are a step further apart
//!   do not: no step is taken before everybody holds what the one before it published.
//! * Members say what they hold. Others who were given certificates cannot be asked: each step is left standing for an
//!   overlap after the last member has it, so that they can read it, too.
//! * A step is written down with the authority itself, in one object and against the version that was read. Whatever
//!   is lost in between, the next look finds either the step or what was before it.

use crate::Time;
use std::time::Duration;

/// Where the change of an authority stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// One signs, and it alone is trusted.
    Settled,
    /// The next one is trusted, too, and signs nothing yet.
    Announced {
        /// Since when all members have been known to trust it.
        spread: Option<Time>,
    },
    /// The next one signs; the one before is still trusted.
    Succeeded {
        /// Since when all members have been known to show what it signed.
        spread: Option<Time>,
    },
}

/// An authority, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority {
    /// When the one that signs ends; `None` if that is not written, as if it were over.
    pub ends: Option<Time>,
    /// The request that it was made for.
    pub generation: u32,
    /// Where its change stands.
    pub rotation: Rotation,
}

/// What is asked of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationWanted {
    /// Another number than the authority was made for asks for another one.
    pub generation: u32,
    /// It is changed when less than this is left of it.
    pub renewed_before: Duration,
    /// How long each step is left standing after the last member has it.
    pub overlap: Duration,
}

/// How far what follows from an authority has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// It is not published yet, or not all who run are known to hold it.
    Partly,
    /// It is published, and every member that runs holds it.
    Everywhere,
}

/// The next step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// The next authority is made and is to be trusted.
    Announce,
    /// All members hold what the last step published: from now on the overlap counts.
    Mark,
    /// The next authority signs from now on.
    HandOver,
    /// The one before is trusted no longer.
    Retire,
}

impl RotationStep {
    /// The word for events and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Announce => "AuthorityAnnounced",
            Self::Mark => "AuthoritySpread",
            Self::HandOver => "AuthorityHandedOver",
            Self::Retire => "AuthorityRetired",
        }
    }
}

/// What is to be done about an authority, if anything.
#[must_use]
pub fn rotate(wanted: &RotationWanted, authority: &Authority, spread: Spread, now: Time) -> Option<RotationStep> {
    match authority.rotation {
        Rotation::Settled => is_due(wanted, authority, now).then_some(RotationStep::Announce),
        Rotation::Announced { spread: since } => stood(wanted, spread, since, now, RotationStep::HandOver),
        Rotation::Succeeded { spread: since } => stood(wanted, spread, since, now, RotationStep::Retire),
    }
}

fn is_due(wanted: &RotationWanted, authority: &Authority, now: Time) -> bool {
    let lasts = authority.ends.is_some_and(|ends| ends.since(now) >= wanted.renewed_before);
    !lasts || authority.generation != wanted.generation
}

/// `next`, once the last step has been everywhere for as long as it has to.
fn stood(
    wanted: &RotationWanted,
    spread: Spread,
    since: Option<Time>,
    now: Time,
    next: RotationStep,
) -> Option<RotationStep> {
    // Whoever came since must hold it, too.
    match (spread, since) {
        (Spread::Partly, _) => None,
        (Spread::Everywhere, _) if wanted.overlap.is_zero() => Some(next),
        (Spread::Everywhere, None) => Some(RotationStep::Mark),
        (Spread::Everywhere, Some(since)) => (now.since(since) >= wanted.overlap).then_some(next),
    }
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
