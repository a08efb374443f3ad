//! What is done to nodes, which kind runs as containers of an engine: `docker` reaches them whatever their network does.

use crate::kube::{Kube, run};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node as Object, Pod};

/// The packets of everybody else, both ways; what stays inside the node goes on.
const CUT: &str = "
table inet quorate_cut
delete table inet quorate_cut
table inet quorate_cut {
  chain in { type filter hook prerouting priority -300; iifname \"eth0\" counter drop; }
  chain out { type filter hook postrouting priority 300; oifname \"eth0\" counter drop; }
}";

/// A node of kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    name: String,
}

impl Node {
    /// The node of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The node that a pod is on.
    ///
    /// # Errors
    /// When it is on none.
    pub fn of(pod: &Pod) -> Result<Self> {
        let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).context("a pod on a node")?;
        Ok(Self::named(name))
    }

    /// Whether the nodes of this cluster can be reached as containers of this machine's engine.
    #[must_use]
    pub fn reachable(kube: &Kube) -> bool {
        let nodes = kube.call("list nodes", kube.cluster::<Object>().list(&kube::api::ListParams::default()));
        let Ok(nodes) = nodes else { return false };
        let names = nodes.items.iter().filter_map(|node| node.metadata.name.as_deref());
        names.into_iter().all(|name| run("docker", &["inspect", "--format", "{{.Id}}", name]).is_ok())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a program on it.
    ///
    /// # Errors
    /// When it fails; then with what it said.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        run("docker", &[&["exec", &self.name], command].concat())
    }

    /// Pulls its plug.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn kill(&self) -> Result<()> {
        run("docker", &["kill", &self.name]).map(drop)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn start(&self) -> Result<()> {
        run("docker", &["start", &self.name]).map(drop)
    }

    /// Stops every process on it where it stands.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn pause(&self) -> Result<()> {
        run("docker", &["pause", &self.name]).map(drop)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn unpause(&self) -> Result<()> {
        run("docker", &["unpause", &self.name]).map(drop)
    }

    /// Cuts it off from every other node, both ways.
    ///
    /// # Errors
    /// When its packet filter refuses.
    pub fn cut(&self) -> Result<()> {
        self.filter(CUT)
    }

    /// Undoes [`Self::cut`].
    ///
    /// # Errors
    /// When its packet filter refuses.
    pub fn heal(&self) -> Result<()> {
        self.run(&["nft", "delete", "table", "inet", "quorate_cut"]).map(drop)
    }

    /// Gives its packet filter some rules, as one transaction.
    ///
    /// # Errors
    /// When it refuses.
    pub fn filter(&self, rules: &str) -> Result<()> {
        self.run(&["nft", rules]).map(drop)
    }

    /// Takes no further pods and moves the members on it away, as far as their budget allows; waits for it.
    ///
    /// # Errors
    /// When a pod may not go in time.
    pub fn drain(&self, within_seconds: u32) -> Result<()> {
        let timeout = format!("--timeout={within_seconds}s");
        let only = format!("--pod-selector=app.kubernetes.io/name={}", crate::kube::quorate::NAME);
        run("kubectl", &["drain", &self.name, &only, "--ignore-daemonsets", "--delete-emptydir-data", &timeout])
            .map(drop)
    }

    /// Takes no further pods; those that are there stay.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn cordon(&self) -> Result<()> {
        run("kubectl", &["cordon", &self.name]).map(drop)
    }

    /// Takes pods again.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn uncordon(&self) -> Result<()> {
        run("kubectl", &["uncordon", &self.name]).map(drop)
    }

    /// Whether the cluster takes it for ready.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn is_ready(&self, kube: &Kube) -> Result<bool> {
        let node = kube.call("get a node", kube.cluster::<Object>().get(&self.name))?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
    }
}

/// A node that takes no pods; it does again when this is lifted, and when dropped.
#[derive(Debug)]
pub struct Cordon {
    node: Node,
}

impl Cordon {
    /// Of the node that a pod is on.
    ///
    /// # Errors
    /// When it is on none, or the API server refuses.
    pub fn of(pod: &Pod) -> Result<Self> {
        let node = Node::of(pod)?;
        node.cordon()?;
        Ok(Self { node })
    }

    /// Which.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Lets it take pods again.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn lift(self) -> Result<()> {
        self.node.uncordon()
    }
}

impl Drop for Cordon {
    fn drop(&mut self) {
        if let Err(error) = self.node.uncordon() {
            eprintln!("{} is left cordoned: {error:#}", self.node.name());
        }
    }
}
