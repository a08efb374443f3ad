//! The operator, installed by its chart as a user installs it.

use super::reach::Reach;
use super::{Kube, fault, run};
use crate::cluster::get;
use crate::kind::servers::Scraped;
use crate::release::Image;
use crate::tree;
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use std::collections::BTreeMap;
use std::time::Instant;

/// The namespace of the operator that scenarios share.
const NAMESPACE: &str = "quorate-system";
/// The release's name, and with it the deployment's.
const RELEASE: &str = "quorate-operator";
/// Its lease.
const LEASE: &str = "quorate-operator";
const PORT: u16 = 8080;
/// What the API server says to an account that may not do what it does; in JSON's words.
const FORBIDDEN: &str = "is forbidden: User";
/// Its calls of the Kubernetes API, on its page.
const CALLS: &str = "quorate_operator_api_requests_total{";
/// And those that were answered by an error.
const REFUSALS: &str = "quorate_operator_api_refusals_total{";

/// An operator that is installed.
pub struct Operator {
    kube: Kube,
    namespace: String,
    operator: String,
    tag: String,
    member: String,
}

impl Operator {
    /// Installs the chart and waits until the operator is ready. `member` names the members' image without a tag.
    ///
    /// # Errors
    /// When helm fails.
    pub fn install(kube: &Kube, operator: &Image, member: &str) -> Result<Self> {
        let operator = Self {
            kube: kube.clone(),
            namespace: NAMESPACE.to_owned(),
            operator: operator.name().to_owned(),
            tag: operator.tag().to_owned(),
            member: member.to_owned(),
        };
        let begun = Instant::now();
        operator.upgrade(&[])?;
        eprintln!("the operator ready {:?} after helm install", begun.elapsed());
        Ok(operator)
    }

    /// Another installation of the same, in a namespace of its own, for the clusters of one namespace and no others.
    /// The definition is there already.
    ///
    /// # Errors
    /// When helm fails.
    pub fn install_for(&self, namespace: &str, watched: &str) -> Result<Self> {
        let other = Self {
            kube: self.kube.clone(),
            namespace: namespace.to_owned(),
            operator: self.operator.clone(),
            tag: self.tag.clone(),
            member: self.member.clone(),
        };
        other.upgrade(&["--set=crds.enabled=false", &format!("--set-string=watchNamespace={watched}")])?;
        Ok(other)
    }

    fn upgrade(&self, more: &[&str]) -> Result<()> {
        let chart = tree::root().join("charts/quorate-operator").display().to_string();
        let set = [
            format!("--set-string=image.repository={}", self.operator),
            format!("--set-string=image.tag={}", self.tag),
            format!("--set-string=memberImage={}", self.member),
        ];
        let mut arguments = vec!["upgrade", "--install", RELEASE, &chart, "--namespace", &self.namespace];
        arguments.extend(["--create-namespace", "--wait", "--timeout", "120s"]);
        arguments.extend(set.iter().map(String::as_str));
        arguments.extend(more);
        run("helm", &arguments).map(drop)
    }

    /// Removes it, and its namespace; clusters stay.
    ///
    /// # Errors
    /// When helm fails.
    pub fn uninstall(&self) -> Result<()> {
        run("helm", &["uninstall", RELEASE, "--namespace", &self.namespace, "--wait", "--timeout", "60s"])?;
        run("kubectl", &["delete", "namespace", &self.namespace, "--wait=false"]).map(drop)
    }

    /// The members' image, without a tag.
    #[must_use]
    pub fn member_image(&self) -> &str {
        &self.member
    }

    /// Ends every process of the operator; its deployment starts another.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn kill(&self) -> Result<()> {
        run("kubectl", &["-n", &self.namespace, "delete", "pods", "--all", "--grace-period=0", "--force"]).map(drop)
    }

    /// Ends it where it stands (SIGKILL), with no word to anybody. Another one is not kept waiting: the pod goes, so
    /// that its kubelet does not restart it later and later, and so does the lease, which nobody holds any more. False
    /// when none runs that could crash.
    ///
    /// # Errors
    /// When its node cannot be reached.
    pub fn crash(&self) -> Result<bool> {
        let Some(pod) = self.running()? else { return Ok(false) };
        fault::pod::end_process(&pod)?;
        self.kill()?;
        run("kubectl", &["-n", &self.namespace, "delete", "lease", LEASE, "--ignore-not-found"])?;
        Ok(true)
    }

    /// So many of it.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn scale(&self, replicas: usize) -> Result<()> {
        let deployment = format!("deployment/{RELEASE}");
        run("kubectl", &["-n", &self.namespace, "scale", &deployment, &format!("--replicas={replicas}")])?;
        run("kubectl", &["-n", &self.namespace, "rollout", "status", &deployment, "--timeout=60s"]).map(drop)
    }

    /// The pod that runs.
    fn pod(&self) -> Result<Pod> {
        self.running()?.context("an operator that runs")
    }

    /// The same, if there is one at this moment.
    fn running(&self) -> Result<Option<Pod>> {
        let api = self.kube.namespaced::<Pod>(&self.namespace);
        let pods = self.kube.call("list pods", api.list(&ListParams::default()))?.items;
        let runs = |pod: &Pod| {
            let state = fault::pod::container(pod).and_then(|status| status.state.as_ref()?.running.as_ref());
            state.is_some() && pod.metadata.deletion_timestamp.is_none()
        };
        Ok(pods.into_iter().find(runs))
    }

    /// The page that Prometheus scrapes.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> Result<String> {
        let pod = self.pod()?.metadata.name.context("a name")?;
        let reach = Reach::open(&self.kube, &self.namespace, &pod, PORT)?;
        get(&reach.address(), "/metrics")
    }

    /// Its pods, for Prometheus.
    #[must_use]
    pub fn scraped(&self) -> Scraped {
        let selector = format!("app.kubernetes.io/name={RELEASE}");
        Scraped { namespace: self.namespace.clone(), selector, port: PORT }
    }

    /// Memory of its process that lies in RAM, in kibibytes.
    ///
    /// # Errors
    /// When its node cannot be reached.
    pub fn resident_kibibytes(&self) -> Result<u64> {
        let pod = self.pod()?;
        let process = fault::pod::process(&pod)?;
        let status = fault::Node::of(&pod)?.run(&["cat", &format!("/proc/{process}/status")])?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("its memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Whether a permission has lacked since it started, by its log: what the API server says of an account, and not of
    /// a namespace that is being deleted.
    ///
    /// # Errors
    /// When one has; then which.
    pub fn audit_log(&self) -> Result<()> {
        let log = run("kubectl", &["-n", &self.namespace, "logs", &format!("deployment/{RELEASE}")])?;
        let forbidden: Vec<&str> = log.lines().filter(|line| line.contains(FORBIDDEN)).collect();
        ensure!(forbidden.is_empty(), "the operator may not do what it does: {forbidden:?}");
        Ok(())
    }

    /// The same by its counters, which miss nothing. No namespace that it looks at may be on its way out.
    ///
    /// # Errors
    /// When one has; then which.
    pub fn audit(&self) -> Result<()> {
        let page = self.metrics()?;
        ensure!(!calls(&page).is_empty(), "it has called nobody");
        let forbidden = |line: &&str| line.starts_with(REFUSALS) && line.contains("code=\"403\"");
        let forbidden: Vec<&str> = page.lines().filter(forbidden).collect();
        if !forbidden.is_empty() {
            bail!("the operator may not do what it does: {forbidden:?}");
        }
        Ok(())
    }

    /// What the operator that scenarios share logged since it started.
    #[must_use]
    pub fn log() -> String {
        Self::log_of(NAMESPACE)
    }

    /// What the operator of a namespace logged since it started.
    #[must_use]
    pub fn log_of(namespace: &str) -> String {
        run("kubectl", &["-n", namespace, "logs", "deployment/quorate-operator", "--tail=400"])
            .unwrap_or_else(|error| format!("{error:#}"))
    }
}

/// How often each kind of call of the Kubernetes API was made, from the operator's page.
#[must_use]
pub fn calls(page: &str) -> BTreeMap<String, u64> {
    let read = |line: &str| {
        let (labels, count) = line.strip_prefix(CALLS)?.rsplit_once("} ")?;
        Some((labels.to_owned(), count.parse().ok()?))
    };
    page.lines().filter_map(read).collect()
}
