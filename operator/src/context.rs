//! What all looks share, and what is kept between the looks at one cluster. Nothing of it is needed for safety: an
//! operator that starts anew only waits a little longer.

use crate::crd::LastError;
use crate::error::OperatorError;
use crate::lease::Held;
use crate::look::{Desired, Stability, changed_at};
use crate::metrics::Metrics;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as KubeTime;
use kube::api::DynamicObject;
use kube::discovery::ApiResource;
use kube::runtime::events::Recorder;
use kube::{Api, Client, Resource};
use plan::Time;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What was refused is not tried again for this long: nothing else waits for it meanwhile.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Errors that a status shows.
const ERRORS_MAX: usize = 10;

/// Choices of whoever installed the operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The daemon's image, without a tag.
    pub image: String,
}

/// What all looks share.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// Choices of whoever installed the operator.
    pub settings: Settings,
    /// Whether this operator may act.
    pub lease: Held,
    /// Where events go.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
    /// What is kept of each cluster, by namespace and name. A cluster is looked at by one task at a time.
    kept: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Kept>>>>,
}

impl Context {
    /// With nothing kept.
    #[must_use]
    pub fn new(client: Client, settings: Settings, lease: Held, recorder: Recorder, metrics: Metrics) -> Self {
        Self { client, settings, lease, recorder, metrics, kept: Mutex::default() }
    }

    /// The objects of a kind in a namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The objects of a kind that is known at run time.
    #[must_use]
    pub fn dynamic(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// What is kept of a cluster.
    #[must_use]
    pub fn kept(&self, key: &str) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key.to_owned()).or_default())
    }

    /// A cluster is gone.
    pub fn forget(&self, key: &str) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// What is kept of one cluster.
#[derive(Default)]
pub struct Kept {
    /// How long its followers have been caught up.
    pub stability: Stability,
    /// Since when nobody that leads has answered.
    pub leaderless_since: Option<Time>,
    /// Its voters, when they were last known.
    pub voters: u32,
    /// Failures in a row.
    pub failures: u32,
    /// What failed lately.
    pub errors: Vec<LastError>,
    apply_failed: Option<Time>,
    growth_failed: Option<Time>,
    applied: BTreeMap<(String, String), String>,
}

impl Kept {
    /// An apply was refused: everything else goes on without it for a while.
    pub fn apply_failed(&mut self, now: Time) {
        self.apply_failed = Some(now);
    }

    /// A volume was refused more room.
    pub fn growth_failed(&mut self, now: Time) {
        self.growth_failed = Some(now);
    }

    pub(crate) fn apply_failed_lately(&self, now: Time) -> bool {
        self.apply_failed.is_some_and(|at| now.since(at) < REFUSED_FOR)
    }

    pub(crate) fn growth_failed_lately(&self, now: Time) -> bool {
        self.growth_failed.is_some_and(|at| now.since(at) < REFUSED_FOR)
    }

    /// An object was applied, and the API server holds it as this: other words for the same are no drift.
    pub fn applied(&mut self, desired: &Desired, live: &Value) {
        self.applied.insert(key(desired), format!("{}/{}", rendered(&desired.value), changed_at(live)));
    }

    pub(crate) fn is_as_applied(&self, desired: &Desired, live: &Value) -> bool {
        let now = format!("{}/{}", rendered(&desired.value), changed_at(live));
        self.applied.get(&key(desired)).is_some_and(|applied| *applied == now)
    }

    /// Remembers an error for the status, the latest first and each kind once.
    pub fn failed(&mut self, error: &OperatorError) {
        let code = error.code();
        self.errors.retain(|old| old.code != code);
        let error = LastError { code: code.into(), message: error.to_string(), time: KubeTime(Timestamp::now()) };
        self.errors.insert(0, error);
        self.errors.truncate(ERRORS_MAX);
    }
}

fn key(desired: &Desired) -> (String, String) {
    (desired.resource.kind.clone(), desired.name.clone())
}

fn rendered(value: &Value) -> &str {
    value["metadata"]["annotations"][crate::children::ANNOTATION_RENDERED].as_str().unwrap_or_default()
}
