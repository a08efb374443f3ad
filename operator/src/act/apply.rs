//! Making the objects of a cluster as they should be.

use super::MANAGER;
use crate::certificate::{Authority, Keep, secret_plans};
use crate::children::{Names, PORT_PEER};
use crate::context::{Context, Kept};
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use crate::look::{Desired, Look};
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
    if look.secrets_due {
        secrets(context, look).await?;
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

async fn secrets(context: &Context, look: &Look) -> Result<(), OperatorError> {
    let api = context.api::<Secret>(&look.names.namespace);
    let create = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    for plan in secret_plans(&look.cluster) {
        let authority = match api.get_opt(&plan.authority).await? {
            Some(secret) => Authority::from_secret(&plan.authority, &secret),
            None => {
                let authority = Authority::generate(&plan.authority)?;
                // Two operators may both want to: the one that comes second is refused, and looks again.
                api.create(&create, &authority.to_secret(&look.cluster, &plan.authority)).await?;
                Some(authority)
            }
        };
        let Some(authority) = authority else {
            return Err(OperatorError::Secret { name: plan.authority, why: "it holds no authority".into() });
        };
        let there = api.get_opt(&plan.name).await?;
        if plan.judge(there.as_ref(), &authority, Timestamp::now()) == Keep::MakeAnew {
            let secret = plan.make(&look.cluster, &authority)?;
            let params = PatchParams::apply(MANAGER).force();
            api.patch(&plan.name, &params, &Patch::Apply(&typed(&secret)?)).await?;
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
