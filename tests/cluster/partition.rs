//! Links that are cut, both ways and one way, between hosts of their own.

use crate::{CLIENTS, addresses};
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::{Cluster, Member, Net, eventually, get};
use tests::workload::Workload;

/// A cut-off leader is replaced within a few election timeouts of one second.
const WRITES_AGAIN_WITHIN: Duration = Duration::from_secs(15);

/// Where nobody may stand for election, nobody shall because this machine was busy for a second either.
const PATIENT: &[&str] = &["--heartbeat-interval=200", "--election-timeout=3000"];

/// Twice the longest that a patient follower waits before it stands for election.
const CUT_FOR: Duration = Duration::from_secs(12);

/// Runs a scenario on three hosts, if this process may make hosts.
fn on_three_hosts(scenario: impl FnOnce(&Net, &Cluster, &Workload) -> Result<()> + Send) -> Result<()> {
    on_three_hosts_with(&[], scenario)
}

/// The same with more flags for every member.
fn on_three_hosts_with(
    extra: &[&str],
    scenario: impl FnOnce(&Net, &Cluster, &Workload) -> Result<()> + Send,
) -> Result<()> {
    if !Net::possible() {
        eprintln!("skipped: making network namespaces takes root, ip and nft");
        return Ok(());
    }
    let net = Net::make(3)?;
    // A thread of its own: the one that enters another host stays there.
    thread::scope(|scope| scope.spawn(|| run(&net, extra, scenario)).join().expect("a scenario returns its failures"))
}

fn run(net: &Net, extra: &[&str], scenario: impl FnOnce(&Net, &Cluster, &Workload) -> Result<()>) -> Result<()> {
    net.enter()?;
    let mut cluster = Cluster::planned_on(net, 3, extra)?;
    cluster.start_all()?;
    let load = Workload::start(&addresses(&cluster), CLIENTS, 11);
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
    scenario(net, &cluster, &load)?;
    ensure!(net.dropped()? > 0, "no packet was dropped: the cut was not felt");
    net.heal()?;
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

fn host(position: usize) -> Result<u16> {
    Ok(u16::try_from(position)? + 1)
}

#[test]
fn a_leader_cut_off_from_its_peers_is_replaced() -> Result<()> {
    on_three_hosts(|net, cluster, load| {
        net.isolate(host(cluster.leader()?)?)?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN).map(drop)
    })
}

/// Handshakes that nobody answers, and sessions whose other end has long given up.
#[test]
fn a_leader_cut_off_from_its_peers_is_replaced_where_members_speak_tls_too() -> Result<()> {
    on_three_hosts_with(&["--peer-auto-tls"], |net, cluster, load| {
        let leader = cluster.leader()?;
        net.isolate(host(leader)?)?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN)?;
        net.heal()?;
        load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
        // From the other side too: the new leader's calls to a follower that cannot answer.
        net.isolate(host((cluster.leader()? + 1) % 3)?)?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN).map(drop)
    })
}

#[test]
fn a_follower_cut_off_holds_nobody_up() -> Result<()> {
    on_three_hosts(|net, cluster, load| {
        net.isolate(host((cluster.leader()? + 1) % 3)?)?;
        load.wait_acknowledged(500, WRITES_AGAIN_WITHIN).map(drop)
    })
}

#[test]
fn a_leader_that_hears_nothing_steps_down() -> Result<()> {
    on_three_hosts(|net, cluster, load| {
        let leader = host(cluster.leader()?)?;
        (1..=3).filter(|other| *other != leader).try_for_each(|other| net.cut(other, leader))?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN).map(drop)
    })
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() -> Result<()> {
    on_three_hosts(|net, cluster, load| {
        let leader = host(cluster.leader()?)?;
        (1..=3).filter(|other| *other != leader).try_for_each(|other| net.cut(leader, other))?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN).map(drop)
    })
}

/// What a member shows under this name.
fn shown(member: &Member, name: &str) -> Result<f64> {
    let page = get(&member.metrics, "/metrics")?;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {name} in:\n{page}"))?.parse()?)
}

/// Cuts a patient cluster's follower off one way for longer than it waits: whoever leads goes on leading, then and once the follower
/// is back with whatever it has come to believe.
fn nobody_is_unseated(
    net: &Net,
    cluster: &Cluster,
    load: &Workload,
    cut: impl Fn(u16, u16) -> Result<()>,
) -> Result<()> {
    let leader = cluster.leader()?;
    let term = shown(&cluster.members[leader], "quorate_term")?;
    let follower = host((leader + 1) % 3)?;
    (1..=3).filter(|other| *other != follower).try_for_each(|other| cut(other, follower))?;
    let until = Instant::now() + CUT_FOR;
    while Instant::now() < until {
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    }
    net.heal()?;
    let behind = shown(&cluster.members[leader], "quorate_commit_index")?;
    let back = &cluster.members[usize::from(follower) - 1];
    eventually("follower that takes part again", WRITES_AGAIN_WITHIN, || {
        (shown(back, "quorate_commit_index").ok()? >= behind).then_some(())
    })?;
    load.wait_acknowledged(300, WRITES_AGAIN_WITHIN)?;
    ensure!(cluster.leader()? == leader, "another leads");
    let now = shown(&cluster.members[leader], "quorate_term")?;
    ensure!(now == term, "it leads in term {now} after {term}: somebody stood against it");
    Ok(())
}

#[test]
fn a_follower_that_hears_nothing_unseats_nobody() -> Result<()> {
    on_three_hosts_with(PATIENT, |net, cluster, load| {
        nobody_is_unseated(net, cluster, load, |other, follower| net.cut(other, follower))
    })
}

#[test]
fn a_follower_that_nobody_hears_unseats_nobody() -> Result<()> {
    on_three_hosts_with(PATIENT, |net, cluster, load| {
        nobody_is_unseated(net, cluster, load, |other, follower| net.cut(follower, other))
    })
}

#[test]
fn two_members_that_do_not_hear_each_other_are_served_through_the_third() -> Result<()> {
    on_three_hosts(|net, cluster, load| {
        let leader = host(cluster.leader()?)?;
        let other = leader % 3 + 1;
        net.cut(leader, other)?;
        net.cut(other, leader)?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN).map(drop)
    })
}
