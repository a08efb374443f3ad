//! One `RaftCluster` that the operator takes care of.

use super::Kube;
pub use super::installed::Operator;
use super::reach::Reach;
use super::space::Space;
use crate::client::Dial;
use crate::cluster::get;
use crate::kind::servers::Scraped;
use crate::workload::{Plan, Workload};
use admin_api::{Id, Members};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The name of the cluster in each scenario.
pub const CLUSTER: &str = "db";
/// From the first look of the operator to a cluster that is available; the aim for a user.
pub const AVAILABLE_WITHIN: Duration = Duration::from_secs(120);
/// A change of members: each joins, catches up, is stable for a while, and is promoted.
pub const CHANGED_WITHIN: Duration = Duration::from_secs(240);

const CLIENT_PORT: u16 = 2379;
const ADMIN_PORT: u16 = 2382;
const METRICS_PORT: u16 = 2381;

/// Enough to see a stall, few enough to leave the nodes' cores to the members.
const CLIENTS: usize = 4;
const REST: Duration = Duration::from_millis(25);

/// A `RaftCluster` in a namespace of its own.
pub struct Managed {
    space: Space,
    doors: BTreeMap<usize, Doors>,
}

struct Doors {
    client: Reach,
    admin: Reach,
    metrics: Reach,
}

impl Managed {
    /// Applies a cluster with these fields in its spec besides the version, and waits until it is available. Places up
    /// to `places` can be reached.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn apply(kube: &Kube, scenario: &str, places: usize, spec: &Value) -> Result<Self> {
        let managed = Self::make(kube, scenario, places)?;
        let begun = Instant::now();
        managed.write(spec)?;
        managed.wait_available(AVAILABLE_WITHIN)?;
        eprintln!("{scenario}: available {:?} after it was applied", begun.elapsed());
        Ok(managed)
    }

    /// A place for one, and the doors to it: nothing is applied yet.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn make(kube: &Kube, scenario: &str, places: usize) -> Result<Self> {
        let space = Space::make(kube, &format!("managed-{scenario}"))?;
        space.witness("operator.log", Box::new(Operator::log));
        let door = |at: usize, port| Reach::open(kube, space.name(), &pod_name(at), port);
        let doors = |at| {
            let (client, admin) = (door(at, CLIENT_PORT)?, door(at, ADMIN_PORT)?);
            anyhow::Ok((at, Doors { client, admin, metrics: door(at, METRICS_PORT)? }))
        };
        let doors = (0..places).map(doors).collect::<Result<_>>()?;
        Ok(Self { space, doors })
    }

    /// Applies the object, as `kubectl apply` does.
    ///
    /// # Errors
    /// What the API server says.
    pub fn write(&self, spec: &Value) -> Result<()> {
        let mut whole = json!({
            "replicas": 3,
            "version": VERSION,
            "image": { "pullPolicy": "Never" },
            "storage": { "size": "100Mi" },
            "catchUp": { "stableFor": "2s" },
        });
        let fields = spec.as_object().context("fields of a spec")?;
        fields.iter().for_each(|(name, value)| whole[name] = value.clone());
        let object = json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": CLUSTER }, "spec": whole,
        });
        self.space.apply(&object)
    }

    /// Its namespace.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Deletes the object and waits until no member runs and, if `claims` are to go, none of these is left; how long
    /// that took.
    ///
    /// # Errors
    /// When something stays.
    pub fn delete(&self, within: Duration, claims: bool) -> Result<Duration> {
        let begun = Instant::now();
        self.space.kubectl(&["delete", "raftcluster", CLUSTER, "--timeout=60s"])?;
        self.space.wait_for("no pod", within, || self.pods(), |pods| pods.is_empty())?;
        let took = begun.elapsed();
        if claims {
            self.space.wait_for("no claim", within, || self.claims(), |claims| claims.is_empty())?;
        }
        Ok(took)
    }

    /// The claims by their name, and the identity of each.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn claims(&self) -> Result<BTreeMap<String, String>> {
        let api = self.space.api::<PersistentVolumeClaim>();
        let claims = self.space.kube().call("list claims", api.list(&ListParams::default()))?.items;
        Ok(claims.into_iter().filter_map(|claim| claim.metadata.name.zip(claim.metadata.uid)).collect())
    }

    /// The ids of the members, as the one at a place says.
    ///
    /// # Errors
    /// When the member at the place asked does not answer.
    pub fn ids(&self, at: usize) -> Result<Vec<Id>> {
        Ok(self.members(at)?.members.iter().map(|member| member.id).collect())
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// When it is not there.
    pub fn object(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.space.kubectl(&["get", "raftcluster", CLUSTER, "-o", "json"])?)?)
    }

    /// A condition's status and reason.
    ///
    /// # Errors
    /// When there is no such condition.
    pub fn condition(&self, kind: &str) -> Result<(String, String)> {
        let object = self.object()?;
        let conditions = object["status"]["conditions"].as_array().context("conditions")?;
        let found = conditions.iter().find(|condition| condition["type"] == kind).with_context(|| kind.to_owned())?;
        let word = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Ok((word("status"), word("reason")))
    }

    /// Waits until the operator has seen the newest spec and calls the cluster available and settled.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_settled(&self, within: Duration) -> Result<Value> {
        self.space.wait("the cluster settled", within, || {
            let object = self.object()?;
            let status = &object["status"];
            let generation = &object["metadata"]["generation"];
            ensure!(status["observedGeneration"] == *generation, "the newest spec has not been seen");
            ensure!(status["operation"].is_null(), "under way: {}", status["operation"]);
            let (available, why) = self.condition("Available")?;
            ensure!(available == "True", "not available: {why}");
            let (progressing, why) = self.condition("Progressing")?;
            ensure!(progressing == "False" && why == "Settled", "progressing {progressing}: {why}");
            let replicas = &object["spec"]["replicas"];
            ensure!(status["voters"] == *replicas, "{} of {replicas} vote", status["voters"]);
            ensure!(status["readyReplicas"] == *replicas, "{} of {replicas} are ready", status["readyReplicas"]);
            Ok(Some(object.clone()))
        })
    }

    /// Waits until it is available.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_available(&self, within: Duration) -> Result<()> {
        let available = || self.condition("Available").map(|(status, _)| status);
        self.space.wait_for("the cluster available", within, available, |status| status == "True").map(drop)
    }

    /// The pods by their place, and the identity of each.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn pods(&self) -> Result<BTreeMap<String, String>> {
        let name = |pod: &Pod| pod.metadata.name.clone().zip(pod.metadata.uid.clone());
        Ok(self.space.pods()?.iter().filter_map(name).collect())
    }

    /// The pod at a place.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod(&self, at: usize) -> Result<Pod> {
        self.space.kube().call("get a pod", self.space.api::<Pod>().get(&pod_name(at)))
    }

    /// The members, as the one at a place says.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn members(&self, at: usize) -> Result<Members> {
        Ok(serde_json::from_str(&get(&self.doors[&at].admin.address(), admin_api::PATH_MEMBERS)?)?)
    }

    /// The page that Prometheus scrapes.
    ///
    /// # Errors
    /// When the member at the place does not answer.
    pub fn metrics(&self, at: usize) -> Result<String> {
        get(&self.doors[&at].metrics.address(), "/metrics")
    }

    /// The place of the leader, as the status says.
    ///
    /// # Errors
    /// When the status names none.
    pub fn leader(&self) -> Result<usize> {
        let object = self.object()?;
        let name = object["status"]["leader"]["member"].as_str().context("a leader in the status")?;
        name.rsplit_once('-').and_then(|(_, at)| at.parse().ok()).with_context(|| name.to_owned())
    }

    /// How clients reach the members at these places.
    #[must_use]
    pub fn dials(&self, places: &[usize]) -> Vec<Dial> {
        places.iter().map(|at| Dial::plain(&self.doors[at].client.address())).collect()
    }

    /// Clients that write and read there until the workload is stopped.
    #[must_use]
    pub fn load(&self, places: &[usize], seed: u64) -> Workload {
        Workload::start_at(self.dials(places), Plan { clients: CLIENTS, seed, rest: REST, compacts: false })
    }
}

/// The version that scenarios begin with.
pub const VERSION: &str = "0.1.0";

/// The members in a namespace, for Prometheus.
#[must_use]
pub fn scraped(namespace: &str) -> Scraped {
    let selector = format!("quorate.io/cluster={CLUSTER}");
    Scraped { namespace: namespace.to_owned(), selector, port: METRICS_PORT }
}

/// The pod at a place.
#[must_use]
pub fn pod_name(at: usize) -> String {
    format!("{CLUSTER}-{at}")
}

/// The claim at a place.
#[must_use]
pub fn claim_name(at: usize) -> String {
    format!("data-{CLUSTER}-{at}")
}
