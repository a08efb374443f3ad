//! What a status says of certificates.

use super::Now;
use crate::crd::{AuthorityPhase, AuthorityStatus, CertificateStatus, RaftClusterStatus};
use crate::look::{Look, SideLook};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plan::Rotation;

pub(super) fn authorities(look: &Look) -> Vec<AuthorityStatus> {
    look.sides.iter().filter_map(authority).collect()
}

fn authority(side: &SideLook) -> Option<AuthorityStatus> {
    let there = side.authorities.as_ref()?;
    let phase = match there.planned().rotation {
        Rotation::Settled => AuthorityPhase::Settled,
        Rotation::Announced { .. } => AuthorityPhase::Announced,
        Rotation::Succeeded { .. } => AuthorityPhase::Succeeded,
    };
    // Members that are a little late with a renewed certificate are nobody's concern.
    let waiting_for = if phase == AuthorityPhase::Settled { Vec::new() } else { side.waiting_for.clone() };
    Some(AuthorityStatus {
        secret: side.plan.authority.clone(),
        generation: there.planned().generation,
        not_after: there.active().ends().map(Time),
        phase,
        spread_at: there.spread_at().map(Time),
        waiting_for,
    })
}

pub(super) fn certificates(look: &Look) -> Vec<CertificateStatus> {
    let leaves = look.sides.iter().flat_map(|side| &side.leaves);
    leaves
        .map(|leaf| CertificateStatus { secret: leaf.plan.name.clone(), not_after: leaf.not_after.map(Time) })
        .collect()
}

/// Whether an authority is being changed; absent without one of the operator's own.
pub(super) fn changing(authorities: &[AuthorityStatus]) -> Option<Now> {
    let changing = authorities.iter().find(|authority| authority.phase != AuthorityPhase::Settled);
    let message = changing.map(|authority| {
        let waits = match &authority.waiting_for[..] {
            [] => "its time to stand".to_owned(),
            members => members.join(", "),
        };
        format!("{} waits for {waits}", authority.secret)
    });
    (!authorities.is_empty()).then(|| Now {
        type_: "AuthorityChanging",
        holds: changing.is_some(),
        reason: match changing.map(|authority| authority.phase) {
            None | Some(AuthorityPhase::Settled) => "Settled",
            Some(AuthorityPhase::Announced) => "Announced",
            Some(AuthorityPhase::Succeeded) => "Succeeded",
        },
        message: message.unwrap_or_default(),
    })
}

/// The steps that authorities have taken since the status before: a word and a sentence for each.
#[must_use]
pub fn steps(before: Option<&RaftClusterStatus>, after: &RaftClusterStatus) -> Vec<(&'static str, String)> {
    let before = before.map(|status| status.authorities.as_slice()).unwrap_or_default();
    let step = |now: &AuthorityStatus| {
        let was = before.iter().find(|old| old.secret == now.secret).filter(|old| old.phase != now.phase)?;
        let secret = &now.secret;
        Some(match (was.phase, now.phase) {
            (_, AuthorityPhase::Announced) => (
                "AuthorityAnnounced",
                format!("{secret}: the next authority is trusted from now on, and signs nothing yet"),
            ),
            (_, AuthorityPhase::Succeeded) => (
                "AuthorityHandedOver",
                format!("{secret}: the next authority signs from now on; the one before is trusted"),
            ),
            (_, AuthorityPhase::Settled) => {
                ("AuthorityRetired", format!("{secret}: the authority before this one is trusted no longer"))
            }
        })
    };
    after.authorities.iter().filter_map(step).collect()
}
