//! Clusters that the operator takes care of: formed, grown, shrunk, upgraded, repaired, deleted, under load.

mod backed_up;
mod changes;
mod charted;
mod crashed;
mod drained;
mod life;
mod quorum_lost;
mod repair;
mod rest;
mod retained;
mod rollout;
mod samples;
mod single;
mod unreadable;
mod watched;

use crate::stage;
use anyhow::Result;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;
use tests::kind::Cluster;
use tests::kube::operator::{Managed, Operator, VERSION};
use tests::release::Image;

/// The version that upgrades go to: the same program under another tag, so that what is judged is the upgrade.
const NEXT_VERSION: &str = "0.1.1";
/// A version that no node has and nobody may pull.
const BAD_VERSION: &str = "0.1.2";

/// A member that is told to go hands over for five seconds at most and stops in two: its grace period of fifteen is
/// never used up. The set's controller and the kubelet take a few more.
const MEMBER_GONE_WITHIN: Duration = Duration::from_secs(14);

/// Installed once: scenarios share the operator, as clusters do.
fn operator() -> Result<&'static Operator> {
    static OPERATOR: OnceLock<Result<Operator, String>> = OnceLock::new();
    let installed = OPERATOR.get_or_init(|| install().map_err(|error| format!("{error:#}")));
    installed.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn install() -> Result<Operator> {
    let member = Image::of_package_as("quorate", "quorate", &[VERSION, NEXT_VERSION])?;
    let operator = Image::of_package("quorate-operator", "quorate-operator")?;
    Cluster::current()?.load(&[member.archive().to_path_buf(), operator.archive().to_path_buf()])?;
    Operator::install(&stage()?.kube, &operator, member.name())
}

/// Runs a scenario on a cluster of its own, in which the operator lacks no permission. When it fails, what there was to
/// see is saved.
fn scenario(
    name: &str,
    places: usize,
    spec: &Value,
    body: impl FnOnce(&Managed, &Operator) -> Result<()>,
) -> Result<()> {
    let operator = operator()?;
    let managed = Managed::apply(&stage()?.kube, name, places, spec)?;
    let outcome = body(&managed, operator).and_then(|()| operator.audit_log());
    outcome.map_err(|error| {
        let saved = managed.space().save_evidence(&format!("{error:#}"));
        error.context(format!("{name}; what was seen is in {saved}"))
    })
}
