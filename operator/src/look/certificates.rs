//! The certificates of the operator's own making: what is there, who holds it, and what is to be done.

use crate::certificate::{Authorities, Held, Keep, SecretPlan, SidePlan, not_after, side_plans};
use crate::children::{Names, pod_name};
use crate::context::Context;
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use crate::wanted::time;
use admin_api::{MemberStatus, Side};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use plan::{Ordinal, RotationStep, Spread, rotate};
use std::collections::BTreeMap;

/// One side of a cluster.
pub struct SideLook {
    /// What is wanted of it.
    pub plan: SidePlan,
    /// The authorities; `None` while their Secret is not there.
    pub authorities: Option<Authorities>,
    /// The version of their Secret.
    pub version: Option<String>,
    /// What they sign.
    pub leaves: Vec<LeafLook>,
    /// Members that are not known to hold what is published.
    pub waiting_for: Vec<String>,
    /// The next step of a change, if it is time for one.
    pub step: Option<RotationStep>,
}

/// One Secret with a certificate.
pub struct LeafLook {
    /// What is wanted of it.
    pub plan: SecretPlan,
    /// When the certificate that is there ends.
    pub not_after: Option<Timestamp>,
    /// Whether it will do.
    pub keep: Keep,
}

impl SideLook {
    /// Something is to be done.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.authorities.is_none() || self.step.is_some() || self.leaves.iter().any(|leaf| leaf.keep == Keep::MakeAnew)
    }
}

/// The sides of a cluster, as they are now. `pods` are the places where something runs, or is about to.
pub(super) async fn look(
    context: &Context,
    cluster: &RaftCluster,
    names: &Names,
    pods: &[Ordinal],
    statuses: &BTreeMap<Ordinal, MemberStatus>,
) -> Result<Vec<SideLook>, OperatorError> {
    let api = context.api::<Secret>(&names.namespace);
    let mut sides = Vec::new();
    for plan in side_plans(cluster)? {
        let side = side(&api, plan, Timestamp::now(), |side, held| {
            let lags = |ordinal: &&Ordinal| !holds(statuses.get(*ordinal), side, held);
            pods.iter().filter(lags).map(|ordinal| pod_name(&names.cluster, *ordinal)).collect()
        });
        sides.push(side.await?);
    }
    Ok(sides)
}

async fn side(
    api: &Api<Secret>,
    plan: SidePlan,
    now: Timestamp,
    lagging: impl Fn(Side, &Held) -> Vec<String>,
) -> Result<SideLook, OperatorError> {
    let Some(secret) = api.get_opt(&plan.authority).await? else {
        return Ok(SideLook {
            plan,
            authorities: None,
            version: None,
            leaves: Vec::new(),
            waiting_for: Vec::new(),
            step: None,
        });
    };
    let authorities = Authorities::read(&plan.authority, &secret);
    let authorities = authorities.map_err(|why| OperatorError::Secret { name: plan.authority.clone(), why })?;
    let (mut leaves, mut waiting_for, mut published) = (Vec::new(), Vec::new(), true);
    for leaf in &plan.leaves {
        let there = api.get_opt(&leaf.name).await?;
        let keep = leaf.judge(there.as_ref(), &authorities, now);
        published &= keep == Keep::AsItIs;
        if leaf.is_for_members() {
            // What does not read is made anew before anybody is asked for it.
            let held = there.as_ref().and_then(Held::of);
            waiting_for.extend(held.iter().flat_map(|held| lagging(plan.side, held)));
        }
        leaves.push(LeafLook { plan: leaf.clone(), not_after: there.as_ref().and_then(not_after), keep });
    }
    let spread = if published && waiting_for.is_empty() { Spread::Everywhere } else { Spread::Partly };
    let step = rotate(&plan.wanted, &authorities.planned(), spread, time(now));
    let version = secret.metadata.resource_version;
    Ok(SideLook { plan, authorities: Some(authorities), version, leaves, waiting_for, step })
}

/// Whether a member says that it holds this and nothing else. One that says nothing may hold anything.
fn holds(status: Option<&MemberStatus>, side: Side, held: &Held) -> bool {
    let Some(status) = status else { return false };
    let mut ends = status.certificates.iter().filter(|end| end.side == side).peekable();
    ends.peek().is_some() && ends.all(|end| end.certificate == held.certificate && end.trusted == held.trusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin_api::CertificatesInUse;

    #[test]
    fn a_member_holds_what_all_of_its_ends_say() {
        let held = Held { certificate: "c".into(), trusted: vec!["a".into(), "b".into()] };
        let end = |side, certificate: &str, trusted: &[&str]| CertificatesInUse {
            side,
            certificate: certificate.into(),
            not_after_seconds: None,
            trusted: trusted.iter().map(|&digest| digest.to_owned()).collect(),
        };
        let says = |certificates: Vec<CertificatesInUse>| {
            holds(Some(&MemberStatus { certificates, ..MemberStatus::default() }), Side::Peer, &held)
        };
        assert!(says(vec![end(Side::Peer, "c", &["a", "b"]), end(Side::Client, "x", &[])]));
        assert!(!says(vec![end(Side::Peer, "c", &["a", "b"]), end(Side::Peer, "c", &["a"])]), "one end is behind");
        assert!(!says(vec![end(Side::Peer, "old", &["a", "b"])]));
        assert!(!says(vec![end(Side::Client, "c", &["a", "b"])]));
        assert!(!says(Vec::new()), "a version that tells nothing");
        assert!(!holds(None, Side::Peer, &held), "it does not answer");
    }
}
