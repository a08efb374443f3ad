//! Three members on Kubernetes, from `deploy/`, without an operator: what a user's cluster goes through, under load.
//!
//! Scenarios run one after the other: several of them take a whole node. Each has a namespace of its own.

mod claim_lost;
mod faults;
mod forms;
mod leader_killed;
mod managed;
mod node_lost;
mod restart;

use anyhow::Result;
use std::sync::OnceLock;
use std::time::Duration;
use tests::kind::Cluster;
use tests::kube::fault::Node;
use tests::kube::{Kube, Quorate};
use tests::release::Image;

/// Writes go on within this in any scenario in which a quorum is left: an election takes one to two seconds, and the
/// nodes of a test cluster share two cores.
const WRITES_AGAIN_WITHIN: Duration = Duration::from_secs(30);

/// The cluster, and the daemon's image in it.
struct Stage {
    kube: Kube,
    image: String,
}

/// Prepared once: what is built and loaded is the same for every scenario.
fn stage() -> Result<&'static Stage> {
    static STAGE: OnceLock<Result<Stage, String>> = OnceLock::new();
    let prepared = STAGE.get_or_init(|| prepare().map_err(|error| format!("{error:#}")));
    prepared.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn prepare() -> Result<Stage> {
    Ok(Stage { kube: Kube::connect()?, image: image()? })
}

/// Runs a scenario on three members of its own. When it fails, what there was to see is saved.
fn scenario(name: &str, body: impl FnOnce(&Quorate) -> Result<()>) -> Result<()> {
    let Stage { kube, image } = stage()?;
    let quorate = Quorate::deploy(kube, name, image, &[])?;
    let outcome = body(&quorate);
    outcome.map_err(|error| {
        let saved = quorate.space().save_evidence(&format!("{error:#}"));
        error.context(format!("{name}; what was seen is in {saved}"))
    })
}

/// The same, if what becomes of nodes is in this process's hands.
fn scenario_with_nodes(name: &str, body: impl FnOnce(&Quorate) -> Result<()>) -> Result<()> {
    if !Node::reachable(&stage()?.kube) {
        eprintln!("skipped: the nodes of this cluster are no containers of this machine's engine");
        return Ok(());
    }
    scenario(name, body)
}

/// The daemon's image by name: the one of `QUORATE_IMAGE`, which the cluster can pull, or one made now and loaded.
fn image() -> Result<String> {
    if let Ok(given) = std::env::var("QUORATE_IMAGE") {
        return Ok(given);
    }
    load(&Image::quorate()?)
}

fn load(image: &Image) -> Result<String> {
    Cluster::current()?.load(&[image.archive().to_path_buf()])?;
    Ok(image.reference())
}

/// The value of a series that the leader's page has for a follower.
fn series(page: &str, metric: &str, member: &str) -> Option<f64> {
    let label = format!("name=\"{member}\"");
    let line = page.lines().find(|line| line.starts_with(&format!("{metric}{{")) && line.contains(&label))?;
    line.rsplit_once(' ')?.1.parse().ok()
}
