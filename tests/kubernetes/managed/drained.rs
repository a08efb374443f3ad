//! Two nodes drained at once: the budget and the members' own readiness keep a quorum, whoever drains.

use super::scenario;
use crate::{WRITES_AGAIN_WITHIN, series, stage};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};
use tests::kube::fault::{Cordon, Node};
use tests::kube::operator::{CHANGED_WITHIN, Managed, pod_name};
use tests::kube::quorate::is_ready;

/// Both drains end by then: the second waits for the first member to come back.
const DRAINED_WITHIN_SECONDS: u32 = 180;
/// How long the second is watched to wait. kubectl tries an eviction again every five seconds.
const WATCHED_FOR: Duration = Duration::from_secs(12);
/// What a member may lack when it counts as caught up, unless a cluster says otherwise.
const LAG_ENTRIES_MAX: f64 = 1000.0;
/// Leadership is handed over before its member stops.
const STALL_MAX: Duration = Duration::from_secs(3);

#[test]
fn of_two_nodes_drained_at_once_the_second_waits_until_the_first_member_is_back() -> Result<()> {
    if !Node::reachable(&stage()?.kube) {
        eprintln!("skipped: the nodes of this cluster are no containers of this machine's engine");
        return Ok(());
    }
    scenario("drained", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let leader = managed.leader()?;
        let follower = (0..3).find(|at| *at != leader).context("a follower")?;
        let stays = (0..3).find(|at| *at != leader && *at != follower).context("another one")?;
        let load = managed.load(&[stays], 12);
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        let both = [leader, follower];
        let uids = both.map(|at| managed.pod(at).map(|pod| pod.metadata.uid));
        let [Ok(leaders), Ok(followers)] = uids else { anyhow::bail!("two pods: {uids:?}") };
        let cordons = [Cordon::of(&managed.pod(leader)?)?, Cordon::of(&managed.pod(follower)?)?];
        ensure!(cordons[0].node() != cordons[1].node(), "two members share a node");
        let drains = cordons.each_ref().map(|cordon| {
            let node = cordon.node().clone();
            thread::spawn(move || node.drain(DRAINED_WITHIN_SECONDS))
        });

        let before = [leaders, followers];
        let stands = |at: usize| is_there(managed, both[at], before[at].as_deref());
        let first = managed.space().wait("a member evicted", WRITES_AGAIN_WITHIN, || {
            Ok([0, 1].into_iter().find(|at| stands(*at).is_ok_and(|there| !there)))
        })?;
        let second = 1 - first;
        let watched = Instant::now();
        while watched.elapsed() < WATCHED_FOR {
            ensure!(stands(second)?, "{} was evicted, and {} is away", pod_name(both[second]), pod_name(both[first]));
            load.wait_acknowledged(20, WRITES_AGAIN_WITHIN)?;
        }
        let mut cordons = cordons.into_iter();
        let (one, other) = (cordons.next().context("a node")?, cordons.next().context("a node")?);
        let (first_node, second_node) = if first == 0 { (one, other) } else { (other, one) };
        first_node.lift()?;
        let back = managed.space().wait("the second member evicted", CHANGED_WITHIN, || {
            Ok((!stands(second)?).then(|| came_back(managed, both[first])))
        })?;
        let lag = back.with_context(|| format!("when {} was evicted", pod_name(both[second])))?;
        eprintln!("the second member was evicted when the first was ready and lacked {lag} entries");
        second_node.lift()?;
        for drain in drains {
            drain.join().map_err(|_| anyhow::anyhow!("a drain panicked"))??;
        }
        managed.wait_settled(CHANGED_WITHIN)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        eprintln!("two nodes drained: {} writes, longest stall {:?}", report.acknowledged, report.longest_stall);
        ensure!(report.longest_stall <= STALL_MAX, "{:?}", report.longest_stall);
        Ok(())
    })
}

/// The same pod, and nobody has asked it to go.
fn is_there(managed: &Managed, at: usize, uid: Option<&str>) -> Result<bool> {
    let pods = managed.space().pods()?;
    let pod = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(&pod_name(at)));
    Ok(pod.is_some_and(|pod| pod.metadata.uid.as_deref() == uid && pod.metadata.deletion_timestamp.is_none()))
}

/// What a member lacks that is ready.
fn came_back(managed: &Managed, at: usize) -> Result<f64> {
    ensure!(is_ready(&managed.pod(at)?), "{} is not ready", pod_name(at));
    let lag_at = |leader: usize| series(&managed.metrics(leader).ok()?, "quorate_follower_lag_entries", &pod_name(at));
    let lag = (0..3).filter(|other| *other != at).find_map(lag_at);
    // It leads itself when nobody has a series of it.
    let lag = lag.unwrap_or(0.0);
    ensure!(lag <= LAG_ENTRIES_MAX, "{} lacks {lag} entries", pod_name(at));
    Ok(lag)
}
