//! Upgrades in trouble: one that is refused, one with a member that is down, one with a follower behind a slow link.

use super::{NEXT_VERSION, scenario};
use crate::{WRITES_AGAIN_WITHIN, series, stage};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tests::kube::fault::{Cordon, Cut, Node, pod};
use tests::kube::operator::{CHANGED_WITHIN, Managed, VERSION, pod_name};
use tests::workload::{Plan, Workload};

/// How long it is watched that nobody else is restarted: two steps of the operator would take less.
const WATCHED_FOR: Duration = Duration::from_secs(15);
/// A follower that lacks more than this is behind, in this scenario.
const LAG_ENTRIES_MAX: u64 = 100;
/// A link that carries heartbeats, and a part of the load.
const SLOW_KILOBYTES_PER_SECOND: u32 = 8;
/// More than fits through it.
const HEAVY: Plan = Plan { clients: 8, seed: 7, rest: Duration::from_millis(5), compacts: false };
/// Versions that are one minor number too far, and another major one.
const REFUSED: [&str; 2] = ["0.3.0", "1.0.0"];

/// What every step of these has besides: a short time of calm.
fn asked(version: &str) -> Value {
    json!({ "version": version, "catchUp": { "stableFor": "3s", "maxLagEntries": LAG_ENTRIES_MAX } })
}

#[test]
fn an_upgrade_that_is_too_far_is_refused_and_one_with_a_member_down_begins_there() -> Result<()> {
    scenario("rollout", 3, &asked(VERSION), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        too_far(managed)?;
        while_one_is_down(managed)
    })
}

#[test]
fn an_upgrade_waits_for_a_follower_behind_a_slow_link() -> Result<()> {
    if !Node::reachable(&stage()?.kube) {
        eprintln!("skipped: the nodes of this cluster are no containers of this machine's engine");
        return Ok(());
    }
    scenario("throttled", 3, &asked(VERSION), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        while_one_is_slow(managed)
    })
}

/// The rule of the definition, where a user meets it.
fn too_far(managed: &Managed) -> Result<()> {
    let before = managed.pods()?;
    for version in REFUSED {
        let refused = managed.write(&asked(version)).err().with_context(|| format!("{version} is taken"))?;
        let said = format!("{refused:#}");
        ensure!(said.contains("a version may go up by at most one minor number at a time"), "{said}");
    }
    ensure!(managed.pods()? == before && managed.object()?["spec"]["version"] == VERSION, "something was changed");
    Ok(())
}

/// A member whose node takes no pods is the first to get the new version; the others wait until it is back.
fn while_one_is_down(managed: &Managed) -> Result<()> {
    let leader = managed.leader()?;
    let down = (0..3).find(|at| *at != leader).context("a follower")?;
    let others: Vec<usize> = (0..3).filter(|at| *at != down).collect();
    let load = managed.load(&others, 6);
    load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    let space = managed.space();
    let cordon = Cordon::of(&managed.pod(down)?)?;
    pod::delete_now(space, &pod_name(down))?;
    space.wait("a member that cannot be placed", WRITES_AGAIN_WITHIN, || {
        let phase = managed.pod(down)?.status.and_then(|status| status.phase);
        Ok(phase.filter(|phase| phase == "Pending"))
    })?;
    let before = managed.pods()?;
    managed.write(&asked(NEXT_VERSION))?;
    space.wait("the member that is down made anew", CHANGED_WITHIN, || {
        Ok((version_at(managed, down)? == NEXT_VERSION).then_some(()))
    })?;
    let watched = Instant::now();
    while watched.elapsed() < WATCHED_FOR {
        untouched(managed, &others, &before)?;
        load.wait_acknowledged(5, WRITES_AGAIN_WITHIN)?;
    }
    cordon.lift()?;
    managed.wait_settled(CHANGED_WITHIN)?;
    for at in 0..3 {
        ensure!(version_at(managed, at)? == NEXT_VERSION, "{} was left as it was", pod_name(at));
    }
    let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
    eprintln!("upgraded with a member down: {} writes, longest stall {:?}", report.acknowledged, report.longest_stall);
    Ok(())
}

/// The first that is restarted gets a slow link: the operator goes no further, and says why, as the metric does.
fn while_one_is_slow(managed: &Managed) -> Result<()> {
    let (before, space) = (managed.pods()?, managed.space());
    managed.write(&asked(NEXT_VERSION))?;
    let slow = space.wait("the first follower restarted", CHANGED_WITHIN, || {
        let restarted = |at: &usize| version_at(managed, *at).is_ok_and(|version| version == NEXT_VERSION);
        Ok((0..3).find(restarted).filter(|at| has_address(managed, *at)))
    })?;
    let cut = Cut::slow(&managed.pod(slow)?, SLOW_KILOBYTES_PER_SECOND)?;
    let others: Vec<usize> = (0..3).filter(|at| *at != slow).collect();
    let load = Workload::start_at(managed.dials(&others), HEAVY);
    let agree = || agreed(managed, slow);
    let lag =
        space.wait_for("the status and the metric behind", CHANGED_WITHIN, agree, |lag| *lag > LAG_ENTRIES_MAX)?;
    eprintln!("a throttled follower lacks {lag} entries, and the status says so");
    let watched = Instant::now();
    while watched.elapsed() < WATCHED_FOR {
        untouched(managed, &others, &before)?;
        load.wait_acknowledged(5, WRITES_AGAIN_WITHIN)?;
    }
    ensure!(cut.lost_packets()? > 0, "the link was not slow");
    cut.heal()?;
    managed.wait_settled(CHANGED_WITHIN)?;
    for at in 0..3 {
        ensure!(version_at(managed, at)? == NEXT_VERSION, "{} was left as it was", pod_name(at));
    }
    let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
    eprintln!("upgraded past a slow link: {} writes, longest stall {:?}", report.acknowledged, report.longest_stall);
    Ok(())
}

/// Entries that a follower lacks by the leader's metric, once the status calls it behind as well and waits for it.
fn agreed(managed: &Managed, slow: usize) -> Result<u64> {
    let object = managed.object()?;
    let status = &object["status"];
    let members = status["members"].as_array().context("members")?;
    let member = members.iter().find(|member| member["name"] == pod_name(slow).as_str()).context("the member")?;
    let said = member["replication"].as_str().unwrap_or_default();
    ensure!(["Behind", "Away"].contains(&said), "{said:?}: {}", status["message"]);
    let operation = &status["operation"];
    ensure!(operation["type"] == "RestartMember" && operation["ordinal"] == slow, "{operation}");
    let page = managed.metrics(managed.leader()?)?;
    let lag = series(&page, "quorate_follower_lag_entries", &pod_name(slow)).context("a series of lag")?;
    Ok(lag as u64)
}

/// Where an image comes from says which version a pod is of.
fn version_at(managed: &Managed, at: usize) -> Result<String> {
    let pod = managed.pod(at)?;
    let image = pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image).context("an image")?;
    Ok(image.rsplit_once(':').context("a tag")?.1.to_owned())
}

fn has_address(managed: &Managed, at: usize) -> bool {
    managed.pod(at).is_ok_and(|pod| pod.status.is_some_and(|status| status.pod_ip.is_some()))
}

fn untouched(managed: &Managed, places: &[usize], before: &BTreeMap<String, String>) -> Result<()> {
    let now = managed.pods()?;
    for at in places {
        let name = pod_name(*at);
        ensure!(now.get(&name) == before.get(&name), "{name} was restarted, and another member is not back");
    }
    Ok(())
}
