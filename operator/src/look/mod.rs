//! One look at a cluster: everything live, nothing from a cache. Events only say when to look.

mod certificates;
mod drift;
mod facts;
mod members;
mod stability;
mod store;

pub use certificates::{LeafLook, SideLook};
pub use drift::Desired;
pub(crate) use facts::{is_ready, uid};
pub use members::{Said, confirmed};
pub use stability::Stability;
pub use store::Lacking;

use crate::children::{self, LABEL_MANAGED_BY, MANAGED_BY, Names, Template, ordinal_of, selector_text, volume_name};
use crate::context::{Context, Kept};
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use crate::member::Trust;
use crate::wanted::{time, wanted};
use admin_api::Backups;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DynamicObject, ListParams};
use kube::discovery::ApiResource;
use kube::{Api, ResourceExt};
use plan::{MemberId, Memory, Observed, Ordinal, Uid, Wanted};
use serde_json::Value;
use std::collections::BTreeMap;

/// One look.
pub struct Look {
    /// The cluster, as it was read.
    pub cluster: RaftCluster,
    /// Its objects' names.
    pub names: Names,
    /// What was asked for.
    pub wanted: Wanted,
    /// What is remembered.
    pub memory: Memory,
    /// What was seen.
    pub seen: Observed,
    /// The stateful set.
    pub set: Option<StatefulSet>,
    /// The pods.
    pub pods: BTreeMap<Ordinal, Pod>,
    /// The volume claims.
    pub volumes: BTreeMap<Ordinal, PersistentVolumeClaim>,
    /// What the members said.
    pub said: Said,
    /// The objects that are not as they should be.
    pub drifted: Vec<Desired>,
    /// The objects of ours that are not asked for any more.
    pub unwanted: Vec<Unwanted>,
    /// The sides whose certificates are ours.
    pub sides: Vec<SideLook>,
    /// What the object store lacks that was asked for.
    pub store_lacks: Option<Lacking>,
    /// The snapshots in it, as the leader knows them.
    pub backups: Option<Backups>,
}

/// An object that is not asked for any more.
#[derive(Clone, Debug)]
pub struct Unwanted {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: Uid,
}

/// Looks. `cluster` has just been read.
///
/// # Errors
/// The API server does not answer, or the spec does not read.
pub async fn look(context: &Context, kept: &mut Kept, cluster: RaftCluster) -> Result<Look, OperatorError> {
    let names = Names::of(&cluster);
    let wanted = wanted(&cluster)?;
    let memory = crate::wanted::memory(cluster.status.as_ref());
    let now = time(Timestamp::now());
    let set = context.api::<StatefulSet>(&names.namespace).get_opt(&names.cluster).await?;
    let pods = pods(context, &names).await?;
    let volumes = volumes(context, &names).await?;
    let trust = if wanted.deleting { None } else { trust(context, &cluster, &names).await? };
    let mut said = match &trust {
        Some(trust) => members::ask(&names, &pods, trust, &memory).await,
        None => Said::default(),
    };
    match &mut said.membership {
        Some(membership) => {
            kept.stability.watch(membership, &wanted.catch_up, now);
            kept.leaderless_since = None;
        }
        // Nobody is missed who was sent to sleep; how long it takes to wake up does not count from before.
        None if wanted.hibernated || memory.hibernated => kept.leaderless_since = None,
        None => {
            kept.leaderless_since.get_or_insert(now);
        }
    }
    let voters = said.membership.as_ref().map(|membership| membership.voters().count());
    if let Some(voters) = voters {
        kept.voters = u32::try_from(voters).unwrap_or(u32::MAX);
    }
    let drifted = match wanted.deleting {
        true => Vec::new(),
        false => drifted(context, kept, &cluster, &memory, set.as_ref()).await?,
    };
    let unwanted = if wanted.deleting { Vec::new() } else { unwanted(context, &cluster, &names).await? };
    let places: Vec<Ordinal> = pods.keys().copied().collect();
    let sides = match wanted.deleting {
        true => Vec::new(),
        false => certificates::look(context, &cluster, &names, &places, &said.statuses).await?,
    };
    let secrets_due = sides.iter().any(SideLook::is_due);
    let store_lacks = if wanted.deleting { None } else { store::lacking(context, &cluster, &names, &pods).await? };
    let backups = backups(&cluster, &said).await;
    let seen = Observed {
        now,
        fresh: fresh()?,
        set: set.as_ref().map(facts::set),
        pods: pods.iter().map(|(ordinal, pod)| (*ordinal, facts::pod(pod))).collect(),
        volumes: volumes.iter().map(|(ordinal, claim)| (*ordinal, facts::volume(claim))).collect(),
        membership: said.membership.clone(),
        leaderless_since: kept.leaderless_since,
        reports: said.shown(),
        drifted: (!drifted.is_empty() || !unwanted.is_empty() || secrets_due) && !kept.apply_failed_lately(now),
        growth_refused: kept.growth_failed_lately(now),
    };
    Ok(Look {
        cluster,
        names,
        wanted,
        memory,
        seen,
        set,
        pods,
        volumes,
        said,
        drifted,
        unwanted,
        sides,
        store_lacks,
        backups,
    })
}

/// A leader that does not answer in time says nothing of snapshots; that is no reason to look no further.
async fn backups(cluster: &RaftCluster, said: &Said) -> Option<Backups> {
    cluster.spec.object_store.as_ref()?;
    said.leader.as_ref()?.backups().await.ok()
}

fn fresh() -> Result<MemberId, OperatorError> {
    // Zero names nobody.
    getrandom::u64().map(|id| MemberId(id.max(1))).map_err(|error| OperatorError::Randomness(error.to_string()))
}

async fn pods(context: &Context, names: &Names) -> Result<BTreeMap<Ordinal, Pod>, OperatorError> {
    let list = ListParams::default().labels(&selector_text(&names.cluster));
    let pods = context.api::<Pod>(&names.namespace).list(&list).await?;
    let placed = pods.items.into_iter().filter_map(|pod| Some((ordinal_of(&names.cluster, &pod.name_any())?, pod)));
    Ok(placed.collect())
}

async fn volumes(context: &Context, names: &Names) -> Result<BTreeMap<Ordinal, PersistentVolumeClaim>, OperatorError> {
    let list = ListParams::default().labels(&selector_text(&names.cluster));
    let claims = context.api::<PersistentVolumeClaim>(&names.namespace).list(&list).await?;
    let prefix = volume_name(&names.cluster, 0);
    let prefix = prefix.trim_end_matches("-0").to_owned();
    let placed = |claim: PersistentVolumeClaim| Some((ordinal_of(&prefix, &claim.name_any())?, claim));
    Ok(claims.items.into_iter().filter_map(placed).collect())
}

/// `None` while the Secret is not there: nobody can be asked then.
async fn trust(context: &Context, cluster: &RaftCluster, names: &Names) -> Result<Option<Trust>, OperatorError> {
    let Some(name) = Template::of(cluster, &context.settings.image).server_secret else {
        return Ok(Some(Trust::default()));
    };
    let Some(secret) = context.api::<Secret>(&names.namespace).get_opt(&name).await? else { return Ok(None) };
    match Trust::from_secret(&secret) {
        Ok(trust) => Ok(Some(trust)),
        Err(why) => Err(OperatorError::Secret { name, why }),
    }
}

/// The objects as they should be, in the order in which they are made: the set last, when all it names is there.
///
/// # Errors
/// One does not serialize.
pub fn desired(
    context: &Context,
    cluster: &RaftCluster,
    memory: &Memory,
    voters: u32,
    set: Option<&StatefulSet>,
) -> Result<Vec<Desired>, OperatorError> {
    let mut all = vec![
        Desired::of(&children::service_account(cluster))?,
        Desired::of(&children::config_map(cluster, memory))?,
        Desired::of(&children::peer_service(cluster))?,
        Desired::of(&children::client_service(cluster))?,
    ];
    all.extend(children::disruption_budget(cluster, voters).as_ref().map(Desired::of).transpose()?);
    all.extend(children::network_policy(cluster).as_ref().map(Desired::of).transpose()?);
    let mut wanted = children::stateful_set(cluster, &Template::of(cluster, &context.settings.image));
    // The volume template of a set cannot be changed: another size takes another set.
    if let (Some(live), Some(wanted)) = (set.and_then(|set| set.spec.as_ref()), &mut wanted.spec) {
        wanted.volume_claim_templates.clone_from(&live.volume_claim_templates);
    }
    all.push(Desired::of(&wanted)?);
    Ok(all)
}

async fn drifted(
    context: &Context,
    kept: &Kept,
    cluster: &RaftCluster,
    memory: &Memory,
    set: Option<&StatefulSet>,
) -> Result<Vec<Desired>, OperatorError> {
    let namespace = cluster.namespace().unwrap_or_default();
    let mut drifted = Vec::new();
    // As long as nobody has said how many vote, it may be as many as there are places.
    let voters = if kept.voters == 0 { memory.places } else { kept.voters };
    for wanted in desired(context, cluster, memory, voters, set)? {
        let api: Api<DynamicObject> = context.dynamic(&namespace, &wanted.resource);
        let there = api.get_opt(&wanted.name).await?;
        let met = match &there {
            None => false,
            Some(there) => {
                let live = serde_json::to_value(there)?;
                kept.is_as_applied(&wanted, &live) || wanted.is_met_by(&live)
            }
        };
        if !met {
            drifted.push(wanted);
        }
    }
    Ok(drifted)
}

/// Objects that are made on request, and are there without one.
async fn unwanted(context: &Context, cluster: &RaftCluster, names: &Names) -> Result<Vec<Unwanted>, OperatorError> {
    let budget = children::disruption_budget(cluster, 0).is_none();
    let policy = children::network_policy(cluster).is_none();
    let asked =
        [(budget, ApiResource::erase::<PodDisruptionBudget>(&())), (policy, ApiResource::erase::<NetworkPolicy>(&()))];
    let mut unwanted = Vec::new();
    for (_, resource) in asked.into_iter().filter(|(not, _)| *not) {
        let there = context.dynamic(&names.namespace, &resource).get_opt(&names.cluster).await?;
        // One of the same name that somebody else made is none of ours.
        let ours = there.filter(|object| object.labels().get(LABEL_MANAGED_BY).is_some_and(|by| by == MANAGED_BY));
        unwanted.extend(ours.map(|object| Unwanted { uid: uid_of(&object), name: names.cluster.clone(), resource }));
    }
    Ok(unwanted)
}

fn uid_of(object: &DynamicObject) -> Uid {
    Uid(object.metadata.uid.clone().unwrap_or_default())
}

/// What tells whether an object has been changed since: its generation, or its version where it has none.
pub(crate) fn changed_at(live: &Value) -> String {
    let meta = &live["metadata"];
    let version = meta.get("generation").unwrap_or(&meta["resourceVersion"]);
    format!("{}/{version}", meta["uid"])
}
