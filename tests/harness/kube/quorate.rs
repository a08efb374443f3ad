//! Three members from `deploy/`, as a user applies them, and what they say of themselves.

use super::reach::Reach;
use super::space::Space;
use super::{Kube, trust};
use crate::client::{Dial, Trust};
use crate::cluster::get;
use crate::tree;
use crate::workload::{Plan, Workload};
use admin_api::{MemberStatus, Replication, Role};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The name of the StatefulSet, of its container and of the clients' Service.
pub const NAME: &str = "quorate";
/// Members of the StatefulSet.
pub const MEMBERS: usize = 3;
/// Claims are provisioned and images are there: what is left is an election. Nodes share two cores, though.
pub const READY_WITHIN: Duration = Duration::from_secs(120);

const CLIENT_PORT: u16 = 2379;
const METRICS_PORT: u16 = 2381;
const ADMIN_PORT: u16 = 2382;

/// Enough clients to have some at each member while one is away.
const CLIENTS: usize = 6;
/// Each of them leaves the nodes' cores to the members; what matters here is time, not throughput.
const REST: Duration = Duration::from_millis(20);

/// Three members in a namespace of their own.
pub struct Quorate {
    space: Space,
    members: Vec<Doors>,
    trust: Trust,
}

/// The ports of one member.
struct Doors {
    client: Reach,
    metrics: Reach,
    admin: Reach,
}

impl Quorate {
    /// Applies `deploy/tls` with the image under test, and waits until every member is ready. `patches` are further
    /// documents of kustomize, for what a scenario needs otherwise.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn deploy(kube: &Kube, scenario: &str, image: &str, patches: &[&str]) -> Result<Self> {
        let space = Space::make(kube, &format!("quorate-{scenario}"))?;
        let trust = trust::provide(&space)?;
        let overlay = overlay(&space, image, patches)?;
        space.kubectl(&["apply", "--kustomize", &overlay.display().to_string()])?;
        let doors = |ordinal| {
            let open = |port| Reach::open(kube, space.name(), &pod_name(ordinal), port);
            anyhow::Ok(Doors { client: open(CLIENT_PORT)?, metrics: open(METRICS_PORT)?, admin: open(ADMIN_PORT)? })
        };
        let members = (0..MEMBERS).map(doors).collect::<Result<Vec<_>>>()?;
        let deployed = Self { space, members, trust };
        deployed.bear_witness();
        deployed.wait_ready()?;
        Ok(deployed)
    }

    /// What members say of themselves is part of what a failure saves.
    fn bear_witness(&self) {
        for (ordinal, doors) in self.members.iter().enumerate() {
            let (admin, metrics) = (doors.admin.address(), doors.metrics.address());
            let tells = move || {
                let page = |address: &str, path: &str| get(address, path).unwrap_or_else(|error| format!("{error:#}"));
                let pages = [(&admin, "/v1/status"), (&admin, "/v1/replication"), (&metrics, "/readyz?verbose")];
                let metrics = page(&metrics, "/metrics");
                let lag = metrics.lines().filter(|line| line.starts_with("quorate_follower"));
                let told = pages.map(|(address, path)| format!("{path}\n{}\n", page(address, path)));
                told.concat() + &lag.collect::<Vec<_>>().join("\n")
            };
            self.space.witness(&format!("member-{ordinal}"), Box::new(tells));
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The pod of a member.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod(&self, ordinal: usize) -> Result<Pod> {
        self.space.kube().call("get a pod", self.space.api::<Pod>().get(&pod_name(ordinal)))
    }

    /// The node of a member's pod.
    ///
    /// # Errors
    /// When it is on none.
    pub fn node(&self, ordinal: usize) -> Result<String> {
        self.pod(ordinal)?.spec.and_then(|spec| spec.node_name).context("a pod on a node")
    }

    /// Waits until every pod is ready.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn wait_ready(&self) -> Result<()> {
        (0..MEMBERS).try_for_each(|ordinal| self.wait_member_ready(ordinal))
    }

    /// Waits until the pod of a member is ready and not on its way out.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_member_ready(&self, ordinal: usize) -> Result<()> {
        self.space.wait(&format!("{} ready", pod_name(ordinal)), READY_WITHIN, || {
            Ok(is_ready(&self.pod(ordinal)?).then_some(()))
        })
    }

    /// What a member says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self, ordinal: usize) -> Result<MemberStatus> {
        Ok(serde_json::from_str(&get(&self.members[ordinal].admin.address(), admin_api::PATH_STATUS)?)?)
    }

    /// What the member, which must lead, says of its followers.
    ///
    /// # Errors
    /// When it does not answer or does not lead.
    pub fn replication(&self, leader: usize) -> Result<Replication> {
        Ok(serde_json::from_str(&get(&self.members[leader].admin.address(), admin_api::PATH_REPLICATION)?)?)
    }

    /// The page that Prometheus scrapes.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn metrics(&self, ordinal: usize) -> Result<String> {
        get(&self.members[ordinal].metrics.address(), "/metrics")
    }

    /// The member that says it leads; of two, one of which does not know yet, the one with the greater term.
    ///
    /// # Errors
    /// When nobody does in time.
    pub fn leader(&self) -> Result<usize> {
        self.space.wait("a leader", READY_WITHIN, || {
            let statuses = (0..MEMBERS).filter_map(|ordinal| Some((ordinal, self.status(ordinal).ok()?)));
            let leading = statuses.filter(|(_, status)| status.role == Role::Leader);
            Ok(leading.max_by_key(|(_, status)| status.term).map(|(ordinal, _)| ordinal))
        })
    }

    /// Waits until the leader's followers, all of them, have everything it has, and says which member leads.
    ///
    /// # Errors
    /// When they have not in time.
    pub fn wait_caught_up(&self, entries_max: u64) -> Result<usize> {
        self.space.wait("followers caught up", READY_WITHIN, || {
            let leader = self.leader()?;
            let replication = self.replication(leader)?;
            let behind = replication.followers.iter().find(|follower| follower.lag_entries > entries_max);
            ensure!(behind.is_none(), "{behind:?}");
            ensure!(replication.followers.len() + 1 == MEMBERS, "{} followers", replication.followers.len());
            Ok(Some(leader))
        })
    }

    /// How clients reach each member.
    #[must_use]
    pub fn dials(&self) -> Vec<Dial> {
        let dial = |doors: &Doors| Dial { address: doors.client.address(), tls: Some(self.trust.clone()) };
        self.members.iter().map(dial).collect()
    }

    /// Clients that write and read at every member until the workload is stopped.
    #[must_use]
    pub fn load(&self, seed: u64) -> Workload {
        Workload::start_at(self.dials(), Plan { clients: CLIENTS, seed, rest: REST, compacts: false })
    }
}

/// The pod of a member.
#[must_use]
pub fn pod_name(ordinal: usize) -> String {
    format!("{NAME}-{ordinal}")
}

/// Whether a pod is ready and stays.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// A kustomization on top of `deploy/tls`. Kustomize takes no absolute path, so it lies a relative one away.
fn overlay(space: &Space, image: &str, patches: &[&str]) -> Result<PathBuf> {
    let folder = tree::target().join("kubernetes").join("overlays").join(space.name());
    fs::create_dir_all(&folder)?;
    let base = relative(&folder.canonicalize()?, &tree::root().canonicalize()?.join("deploy/tls"));
    let (name, tag) = image.rsplit_once(':').context("an image has a tag")?;
    let names: Vec<String> = (0..patches.len()).map(|n| format!("patch-{n}.yaml")).collect();
    for (name, patch) in names.iter().zip(patches) {
        fs::write(folder.join(name), patch)?;
    }
    let listed: Vec<_> = names.iter().map(|name| serde_json::json!({ "path": name })).collect();
    let kustomization = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": space.name(),
        "resources": [base],
        "images": [{ "name": "quorate", "newName": name, "newTag": tag }],
        "patches": listed,
    });
    fs::write(folder.join("kustomization.yaml"), kustomization.to_string())?;
    Ok(folder)
}

/// The way from one absolute folder to another.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    up.chain(to[shared..].iter().copied()).collect()
}
