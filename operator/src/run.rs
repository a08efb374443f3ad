//! The operator at work: one controller, woken by what changes and by the clock.

use crate::children::{LABEL_CLUSTER, LABEL_MANAGED_BY, MANAGED_BY};
use crate::context::{Context, Settings};
use crate::lease::{Elector, Held};
use crate::metrics::Metrics;
use crate::reconcile::{after_failure, reconcile};
use crate::serve::serve;
use crate::stored::Told;
use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::controller::Config;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Clusters that are looked at at once: a look waits mostly for others.
const CONCURRENCY: u16 = 8;
/// One change makes many events; one look sees them all.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// The lease of all operators of an installation.
const LEASE: &str = "quorate-operator";

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace whose clusters it takes care of; `None` is all of them.
    pub namespace: Option<String>,
    /// The namespace of the lease; `None` is none: there is only one operator.
    pub lease_namespace: Option<String>,
    /// This process's name among operators.
    pub identity: String,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// The daemon's image, without a tag.
    pub image: String,
}

/// Works until it is told to stop, or until it loses the lease.
///
/// # Errors
/// The address cannot be bound.
pub async fn run(client: Client, options: Options, metrics: Metrics, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    let pages = tokio::spawn(serve(listener, metrics.clone(), stop.clone()));
    let (held, elected) = elect(&client, &options, &metrics, &stop);
    let reporter = Reporter { controller: "quorate.io/operator".into(), instance: Some(options.identity.clone()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let settings = Settings { image: options.image.clone() };
    let context = Arc::new(Context::new(client.clone(), settings, held, recorder, metrics));
    control(&client, options.namespace.as_deref(), context, &stop).await;
    stop.cancel();
    if let Some(elected) = elected {
        elected.await?;
    }
    pages.await??;
    Ok(())
}

fn elect(
    client: &Client,
    options: &Options,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> (Held, Option<tokio::task::JoinHandle<()>>) {
    let Some(namespace) = &options.lease_namespace else {
        metrics.leading(true);
        return (Held::always(), None);
    };
    let elector = Elector::new(client.clone(), namespace, LEASE, options.identity.clone(), metrics.clone());
    let held = elector.held();
    let stop = stop.clone();
    let task = tokio::spawn(async move {
        elector.run(stop.clone()).await;
        // Without the lease there is nothing left to do here.
        stop.cancel();
    });
    (held, Some(task))
}

async fn control(client: &Client, namespace: Option<&str>, context: Arc<Context>, stop: &CancellationToken) {
    let ours = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
    let members = watcher::Config::default().labels(LABEL_CLUSTER);
    let stopped = stop.clone();
    let config = Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
    Controller::new(api::<Told>(client, namespace), watcher::Config::default())
        .with_config(config)
        .owns(api::<StatefulSet>(client, namespace), ours.clone())
        .owns(api::<Service>(client, namespace), ours.clone())
        .owns(api::<ConfigMap>(client, namespace), ours.clone())
        .owns(api::<PodDisruptionBudget>(client, namespace), ours)
        .watches(api::<Pod>(client, namespace), members.clone(), |pod| cluster_of(&pod))
        .watches(api::<PersistentVolumeClaim>(client, namespace), members, |claim| cluster_of(&claim))
        .graceful_shutdown_on(async move { stopped.cancelled().await })
        .run(reconcile, |cluster, _, context| after_failure(&cluster, &context), context)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::debug!(%error, "a pass has ended");
            }
        })
        .await;
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Pods belong to a set and claims to nobody: both say by a label whose they are.
fn cluster_of<K: Resource>(object: &K) -> Option<ObjectRef<Told>> {
    let cluster = object.labels().get(LABEL_CLUSTER)?;
    Some(ObjectRef::new(cluster).within(&object.namespace()?))
}

#[cfg(test)]
#[path = "permission_tests.rs"]
mod permission_tests;
#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "trace_tests.rs"]
mod trace_tests;
