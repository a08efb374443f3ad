//! Making the objects of a cluster as they should be.

use super::MANAGER;
use crate::certificate::{Authorities, Keep};
use crate::children::{Names, PORT_PEER};
use crate::context::{Context, Kept};
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use crate::look::{Desired, Look, SideLook};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use plan::Ordinal;
use serde_json::{Value, json};

/// Where a member's peers reach it.
pub(super) fn peer_url(cluster: &RaftCluster, ordinal: Ordinal) -> String {
    let scheme = if cluster.spec.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}:{PORT_PEER}", Names::of(cluster).host(ordinal))
}

/// The Secrets first, the set last: whoever starts finds what it needs.
pub(super) async fn apply(context: &Context, kept: &mut Kept, look: &Look) -> Result<(), OperatorError> {
    let applied = all(context, kept, look).await;
    if applied.as_ref().is_err_and(|error| !error.is_conflict()) {
        kept.apply_failed(look.seen.now);
    }
    applied
}

async fn all(context: &Context, kept: &mut Kept, look: &Look) -> Result<(), OperatorError> {
    // A member that is told of no others forms a cluster of its own.
    if look.memory.places == 0 && !look.memory.hibernated {
        return Err(OperatorError::Precondition("it is not settled how many members there are".into()));
    }
    for side in look.sides.iter().filter(|side| side.is_due()) {
        secrets(context, look, side).await?;
    }
    for desired in &look.drifted {
        let live = match (desired.resource.kind.as_str(), &look.set) {
            ("StatefulSet", None) => create_set(context, look, desired).await?,
            _ => patch(context, look, desired).await?,
        };
        kept.applied(desired, &live);
    }
    for unwanted in &look.unwanted {
        let api = context.dynamic(&look.names.namespace, &unwanted.resource);
        api.delete(&unwanted.name, &super::only(&unwanted.uid, None)).await?;
    }
    Ok(())
}

async fn patch(context: &Context, look: &Look, desired: &Desired) -> Result<Value, OperatorError> {
    let api = context.dynamic(&look.names.namespace, &desired.resource);
    let params = PatchParams::apply(MANAGER).force();
    let live = api.patch(&desired.name, &params, &Patch::Apply(&desired.value)).await?;
    Ok(serde_json::to_value(live)?)
}

/// Made and not applied: whoever applies a field owns it, and a field that its owner leaves out falls back to its
/// default. The number of pods would fall back to one.
async fn create_set(context: &Context, look: &Look, desired: &Desired) -> Result<Value, OperatorError> {
    let mut value = desired.value.clone();
    value["spec"]["replicas"] = json!(look.memory.set_size());
    let object: DynamicObject = serde_json::from_value(value)?;
    let api = context.dynamic(&look.names.namespace, &desired.resource);
    let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    Ok(serde_json::to_value(api.create(&params, &object).await?)?)
}

/// The authorities first: what is published follows from what stands there, and from nothing else.
async fn secrets(context: &Context, look: &Look, side: &SideLook) -> Result<(), OperatorError> {
    let (api, now) = (context.api::<Secret>(&look.names.namespace), Timestamp::now());
    let (name, generation) = (&side.plan.authority, side.plan.wanted.generation);
    let made;
    let authorities = match (&side.authorities, side.step) {
        (None, _) => {
            made = Authorities::first(name, generation, now)?;
            let create = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
            // Two operators may both want to: the one that comes second is refused, and looks again.
            api.create(&create, &made.to_secret(&look.cluster, name)).await?;
            &made
        }
        (Some(there), Some(step)) => {
            made = there.after(step, name, generation, now)?;
            let patch = made.to_patch(&look.cluster, name, side.version.as_deref())?;
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            api.patch(name, &params, &Patch::Merge(&patch)).await?;
            tracing::info!(cluster = %look.names.cluster, authority = %name, step = step.name(), "an authority changes");
            &made
        }
        (Some(there), None) => there,
    };
    for leaf in &side.plan.leaves {
        let there = api.get_opt(&leaf.name).await?;
        if leaf.judge(there.as_ref(), authorities, now) == Keep::MakeAnew {
            let secret = leaf.make(&look.cluster, authorities, now)?;
            let params = PatchParams::apply(MANAGER).force();
            api.patch(&leaf.name, &params, &Patch::Apply(&typed(&secret)?)).await?;
        }
    }
    Ok(())
}

fn typed(secret: &Secret) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(secret)?;
    value["apiVersion"] = json!("v1");
    value["kind"] = json!("Secret");
    Ok(value)
}
