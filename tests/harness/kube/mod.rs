//! A cluster of Kubernetes, as tests need it: whatever `KUBECONFIG` leads to, a kind cluster of this harness or one of
//! the user's.
//!
//! ```text
//!   space      a namespace of one scenario; waits with a deadline that say what they saw
//!   evidence   what is saved when a scenario fails: events, logs, objects, members
//!   reach      a port of a pod as a port of this machine, whatever becomes of the pod
//!   trust      an authority and certificates, as Secrets
//!   quorate    three members from `deploy/`, and what they say of themselves
//!   installed  the operator, by its chart
//!   operator   a cluster that it takes care of
//!   fault/     what is done to them: pods, nodes, links, volumes
//! ```
//!
//! * Scenarios are plain functions on threads; the client's tasks run on a runtime of this module.
//! * What touches nodes goes through the container engine that kind runs them in. On a cluster that is not kind's it is
//!   not there, and scenarios that need it say that they are skipped.

pub mod evidence;
pub mod fault;
pub mod installed;
pub mod operator;
pub mod quorate;
pub mod reach;
pub mod space;
pub mod trust;

pub use quorate::Quorate;
pub use space::Space;

use crate::kind::Cluster;
use anyhow::{Context, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// No call to the API server takes longer, unless the server is gone.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A client of the cluster. A cheap clone.
#[derive(Clone)]
pub struct Kube {
    client: kube::Client,
    runtime: Arc<Runtime>,
}

impl Kube {
    /// The cluster of `KUBECONFIG`, or the one that this harness has up.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub fn connect() -> Result<Self> {
        quorate_tls();
        let kubeconfig = Kubeconfig::read_from(Cluster::current()?.kubeconfig())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(async {
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            // A stream of a forwarded port may well be silent; calls are bounded by whoever makes them.
            config.read_timeout = None;
            let client = kube::Client::try_from(config)?;
            client.apiserver_version().await.context("ask the API server")?;
            anyhow::Ok(client)
        })?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// Makes a call and waits for it.
    ///
    /// # Errors
    /// What the API server says, or that it says nothing in time.
    pub fn call<T>(&self, what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
        let bounded = async { tokio::time::timeout(CALL_TIMEOUT, call).await };
        let answered =
            self.runtime.block_on(bounded).with_context(|| format!("{what}: no answer in {CALL_TIMEOUT:?}"))?;
        answered.with_context(|| what.to_owned())
    }

    /// Objects of a namespace.
    #[must_use]
    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Objects of no namespace.
    #[must_use]
    pub fn cluster<K: kube::Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }
}

/// One provider of cryptography for the whole process; a second call changes nothing.
fn quorate_tls() {
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
}

/// Runs a program that comes with the cluster (`kubectl`, `docker`); its output.
///
/// # Errors
/// When it is not there or fails; then with what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Cluster::current()?.command(program);
    let output = command.args(arguments).output().with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{program} {}: {}\n{said}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said.into_owned())
}
