//! The leader's node dies, stands still, is cut off; and comes back. Its member's lag tells of it meanwhile, and what
//! was acknowledged stays.

use crate::{WRITES_AGAIN_WITHIN, scenario_with_nodes, series};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tests::kube::Quorate;
use tests::kube::fault::Node;
use tests::kube::quorate::{MEMBERS, READY_WITHIN, pod_name};
use tests::workload::Workload;

/// A test cluster's nodes report often enough for this; others take up to a minute.
const NOTICED_WITHIN: Duration = Duration::from_secs(90);

/// Writes that the member misses while its node is away.
const MISSED: u64 = 200;

#[test]
fn the_leader_s_node_is_killed_and_comes_back() -> Result<()> {
    scenario_with_nodes("node-killed", |quorate| lose(quorate, Node::kill, Node::start))
}

#[test]
fn the_leader_s_node_stands_still_and_goes_on() -> Result<()> {
    scenario_with_nodes("node-paused", |quorate| lose(quorate, Node::pause, Node::unpause))
}

#[test]
fn the_leader_s_node_is_cut_off_and_heals() -> Result<()> {
    scenario_with_nodes("node-cut", |quorate| lose(quorate, Node::cut, Node::heal))
}

/// A node that is lost for a while; brought back also by a test that fails.
struct Lost {
    node: Node,
    back: fn(&Node) -> Result<()>,
    is_back: bool,
}

impl Lost {
    fn bring_back(&mut self) -> Result<()> {
        self.is_back = true;
        (self.back)(&self.node)
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if !self.is_back
            && let Err(error) = self.bring_back()
        {
            eprintln!("{} is left as it is: {error:#}", self.node.name());
        }
    }
}

fn lose(quorate: &Quorate, lose: fn(&Node) -> Result<()>, back: fn(&Node) -> Result<()>) -> Result<()> {
    let kube = quorate.space().kube();
    let load = quorate.load(7);
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    let away = quorate.wait_caught_up(50)?;
    let node = Node::of(&quorate.pod(away)?)?;
    let begun = Instant::now();
    lose(&node)?;
    let mut lost = Lost { node: node.clone(), back, is_back: false };
    load.wait_acknowledged(20, WRITES_AGAIN_WITHIN)?;
    eprintln!("{}: 20 more writes after {:?}", quorate.space().name(), begun.elapsed());
    load.wait_acknowledged(MISSED, WRITES_AGAIN_WITHIN * 2)?;
    let leader = other_leader(quorate, away)?;
    lag_tells(quorate, leader, away, &load)?;
    let space = quorate.space();
    space.wait(&format!("{} not ready", node.name()), NOTICED_WITHIN, || Ok((!node.is_ready(kube)?).then_some(())))?;
    lost.bring_back()?;
    space.wait(&format!("{} ready", node.name()), READY_WITHIN, || Ok(node.is_ready(kube)?.then_some(())))?;
    quorate.wait_ready()?;
    quorate.wait_caught_up(50)?;
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    load.stop_and_judge_at(&quorate.dials())?;
    lag_is_gone(quorate)
}

/// The leader among those that are there.
fn other_leader(quorate: &Quorate, away: usize) -> Result<usize> {
    quorate.space().wait("another leader", WRITES_AGAIN_WITHIN, || {
        let there = (0..MEMBERS).filter(|ordinal| *ordinal != away);
        let leads = |ordinal: &usize| quorate.replication(*ordinal).is_ok();
        Ok(there.into_iter().find(leads))
    })
}

/// Entries, bytes and seconds on the leader's page say what the member that is away has missed.
fn lag_tells(quorate: &Quorate, leader: usize, away: usize, load: &Workload) -> Result<()> {
    let acknowledged = load.acknowledged();
    quorate.space().wait("lag of the member that is away", WRITES_AGAIN_WITHIN, || {
        let page = quorate.metrics(leader)?;
        let read = |metric: &str| series(&page, metric, &pod_name(away)).with_context(|| metric.to_owned());
        let (entries, bytes) = (read("quorate_follower_lag_entries")?, read("quorate_follower_lag_bytes")?);
        let seconds = read("quorate_follower_lag_seconds")?;
        ensure!(entries >= MISSED as f64, "{entries} entries, {acknowledged} writes acknowledged");
        ensure!(bytes >= entries && seconds > 0.0, "{bytes} bytes, {seconds} s");
        Ok(Some(()))
    })
}

fn lag_is_gone(quorate: &Quorate) -> Result<()> {
    let leader = quorate.wait_caught_up(0)?;
    let page = quorate.metrics(leader)?;
    for ordinal in (0..MEMBERS).filter(|ordinal| *ordinal != leader) {
        let lag = series(&page, "quorate_follower_lag_entries", &pod_name(ordinal));
        ensure!(lag == Some(0.0), "{}: {lag:?}", pod_name(ordinal));
    }
    Ok(())
}
