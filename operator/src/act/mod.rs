//! One step, with everything it expects written into the call.

mod apply;

use crate::children::{Names, pod_name, volume_name};
use crate::context::{Context, Kept};
use crate::error::OperatorError;
use crate::look::{Look, confirmed};
use admin_api::{Change, ChangeMembers, Id, RecoverQuorum};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use plan::{Action, MemberId, Membership, Ordinal, Uid};
use serde_json::json;

/// Who applies what a cluster should look like.
pub(crate) const MANAGER: &str = "quorate-operator";
/// Who changes how many pods a set has, and how large a volume is.
const MANAGER_SIZE: &str = "quorate-operator-size";
/// Holds a cluster until its volumes are dealt with.
pub const FINALIZER: &str = "quorate.io/operator";

/// Does one step.
///
/// # Errors
/// It was not done, or it is not known whether it was. The next look tells.
pub async fn act(context: &Context, kept: &mut Kept, look: &Look, action: &Action) -> Result<(), OperatorError> {
    if !context.lease.is_held() {
        return Err(OperatorError::NotLeading);
    }
    match action {
        Action::Apply => apply::apply(context, kept, look).await,
        Action::SetReplicas { set, from, to } => set_replicas(context, look, set, *from, *to).await,
        Action::AddLearner { config_index, member, ordinal } => {
            let change = Change::AddLearner {
                id: Id(member.0),
                name: pod_name(&look.names.cluster, *ordinal),
                peer_urls: vec![apply::peer_url(&look.cluster, *ordinal)],
            };
            self::change(look, *config_index, change).await
        }
        Action::Promote { config_index, member } => {
            change(look, *config_index, Change::Promote { id: Id(member.0) }).await
        }
        Action::Remove { config_index, member } => {
            change(look, *config_index, Change::Remove { id: Id(member.0) }).await
        }
        Action::Transfer { to, .. } => {
            leader(look)?.transfer(Id(to.0)).await?;
            Ok(())
        }
        Action::DeletePod { ordinal, uid, safe } => delete_pod(context, look, *ordinal, uid, *safe).await,
        Action::DeleteVolume { ordinal, uid, config_index } => {
            delete_volume(context, look, *ordinal, uid, *config_index).await
        }
        Action::GrowVolume { ordinal, uid, bytes: _ } => {
            let grown = grow_volume(context, look, *ordinal, uid).await;
            if grown.is_err() {
                kept.growth_failed(look.seen.now);
            }
            grown
        }
        Action::RecoverQuorum { ordinal, member, cluster, request } => {
            recover(look, *ordinal, *member, *cluster, request).await
        }
        Action::OrphanSet { uid } => orphan_set(context, look, uid).await,
        Action::Release => release(context, look).await,
    }
}

fn leader(look: &Look) -> Result<&crate::member::MemberClient, OperatorError> {
    look.said.leader.as_ref().ok_or_else(|| OperatorError::Precondition("nobody leads".into()))
}

async fn change(look: &Look, config_index: u64, change: Change) -> Result<(), OperatorError> {
    let change = ChangeMembers { expected_config_index: config_index, changes: vec![change] };
    leader(look)?.change(&change).await?;
    Ok(())
}

/// The member refuses if it is another one by now, or hears of a leader.
async fn recover(
    look: &Look,
    ordinal: Ordinal,
    member: MemberId,
    cluster: u64,
    request: &str,
) -> Result<(), OperatorError> {
    let there = look.said.clients.get(&ordinal);
    let there = there.ok_or_else(|| OperatorError::Precondition(format!("nobody answers at place {ordinal}")))?;
    let recover = RecoverQuorum {
        request: request.to_owned(),
        expected_cluster_id: Id(cluster),
        expected_member_id: Id(member.0),
        accept_data_loss: true,
    };
    there.recover_quorum(&recover).await?;
    Ok(())
}

/// The members at this moment, and not those of the look.
async fn live(look: &Look) -> Result<Membership, OperatorError> {
    let membership = confirmed(&look.names, leader(look)?).await;
    membership.ok_or_else(|| OperatorError::Precondition("the leader does not confirm that it leads".into()))
}

async fn set_replicas(context: &Context, look: &Look, uid: &Uid, from: u32, to: u32) -> Result<(), OperatorError> {
    if to > 0 && to < from && live(look).await?.places() > to {
        return Err(OperatorError::Precondition(format!("a member lives at place {to} or above")));
    }
    let version = look.set.as_ref().and_then(ResourceExt::resource_version);
    let patch = json!({ "metadata": { "uid": uid.0, "resourceVersion": version }, "spec": { "replicas": to } });
    let api = context.api::<StatefulSet>(&look.names.namespace);
    api.patch(&look.names.cluster, &size(), &Patch::Merge(&patch)).await?;
    Ok(())
}

fn size() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER_SIZE.into()), ..PatchParams::default() }
}

fn only(uid: &Uid, version: Option<String>) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.0.clone()), resource_version: version };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// The pod as it was seen and no other: one that has got well since has another version.
async fn delete_pod(
    context: &Context,
    look: &Look,
    ordinal: Ordinal,
    uid: &Uid,
    safe: Option<MemberId>,
) -> Result<(), OperatorError> {
    if let Some(member) = safe {
        let answer = leader(look)?.safe_to_stop(Id(member.0)).await?;
        if !answer.safe {
            return Err(OperatorError::Precondition(format!("{member} may not stop: {:?}", answer.reasons)));
        }
    }
    let version = look.pods.get(&ordinal).and_then(ResourceExt::resource_version);
    let api = context.api::<Pod>(&look.names.namespace);
    api.delete(&pod_name(&look.names.cluster, ordinal), &only(uid, version)).await?;
    Ok(())
}

async fn delete_volume(
    context: &Context,
    look: &Look,
    ordinal: Ordinal,
    uid: &Uid,
    config_index: Option<u64>,
) -> Result<(), OperatorError> {
    if let Some(config_index) = config_index {
        let membership = live(look).await?;
        if membership.config_index != config_index || membership.at(ordinal).is_some() {
            return Err(OperatorError::Precondition(format!("a member lives at place {ordinal}")));
        }
    }
    let api = context.api::<PersistentVolumeClaim>(&look.names.namespace);
    api.delete(&volume_name(&look.names.cluster, ordinal), &only(uid, None)).await?;
    Ok(())
}

/// In the words of the spec that it was planned from: people read them again in the claim.
async fn grow_volume(context: &Context, look: &Look, ordinal: Ordinal, uid: &Uid) -> Result<(), OperatorError> {
    let requests = json!({ "storage": look.cluster.spec.storage.size.as_str() });
    let patch = json!({ "metadata": { "uid": uid.0 }, "spec": { "resources": { "requests": requests } } });
    let api = context.api::<PersistentVolumeClaim>(&look.names.namespace);
    api.patch(&volume_name(&look.names.cluster, ordinal), &size(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn orphan_set(context: &Context, look: &Look, uid: &Uid) -> Result<(), OperatorError> {
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..only(uid, None) };
    context.api::<StatefulSet>(&look.names.namespace).delete(&look.names.cluster, &orphan).await?;
    Ok(())
}

async fn release(context: &Context, look: &Look) -> Result<(), OperatorError> {
    let others: Vec<String> = look.cluster.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    set_finalizers(context, &look.names, look.cluster.resource_version(), &others).await
}

/// Writes the whole list, against the version that was read: it is a list that others write as well.
///
/// # Errors
/// The API server refuses.
pub async fn set_finalizers(
    context: &Context,
    names: &Names,
    version: Option<String>,
    finalizers: &[String],
) -> Result<(), OperatorError> {
    let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
    let api = context.api::<crate::crd::RaftCluster>(&names.namespace);
    api.patch(&names.cluster, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}
