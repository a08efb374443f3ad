//! The promise of the product: the leader tells how far each follower is behind, also while it is away.

use crate::{CLIENTS, addresses};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, etcdctl, eventually, get};
use tests::workload::Workload;

fn series(page: &str, metric: &str, member: &str) -> Option<f64> {
    let label = format!("name=\"{member}\"");
    let line = page.lines().find(|line| line.starts_with(&format!("{metric}{{")) && line.contains(&label))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Entries, bytes and seconds, from one page that must agree with itself.
fn lag(cluster: &Cluster, leader: usize, follower: usize) -> Result<[f64; 3]> {
    let page = get(&cluster.members[leader].metrics, "/metrics")?;
    let name = &cluster.members[follower].name;
    let read = |metric: &str| series(&page, metric, name).with_context(|| format!("{metric} of {name} in:\n{page}"));
    let last = page.lines().find_map(|line| line.strip_prefix("quorate_last_index ")?.parse::<f64>().ok());
    let entries = read("quorate_follower_lag_entries")?;
    ensure!(entries == last.context("quorate_last_index")? - read("quorate_follower_match_index")?, "{page}");
    Ok([entries, read("quorate_follower_lag_bytes")?, read("quorate_follower_lag_seconds")?])
}

#[test]
fn the_lag_of_a_follower_that_is_away_grows_and_falls_to_zero_when_it_is_back() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let leader = cluster.leader()?;
    let away = (leader + 1) % 3;
    let load = Workload::start(&[cluster.members[leader].client.clone()], CLIENTS, 1);
    load.wait_acknowledged(50, Duration::from_secs(15))?;
    cluster.members[away].kill()?;
    load.wait_acknowledged(1_000, Duration::from_secs(60))?;
    let [entries, bytes, seconds] = lag(&cluster, leader, away)?;
    assert!(entries >= 1_000.0, "{entries} entries after 1,000 acknowledged writes");
    assert!(bytes >= entries * 40.0, "{bytes} bytes for {entries} entries: a record takes 40 at least");
    assert!(seconds > 0.0, "the oldest of them has an age");
    cluster.members[away].spawn()?;
    cluster.members[away].wait_ready()?;
    load.stop_and_judge(&addresses(&cluster))?;
    eventually("lag of zero", Duration::from_secs(10), || {
        let now = lag(&cluster, leader, away).ok()?;
        (now == [0.0; 3]).then_some(())
    })
}

/// Whoever leads next has not heard a word from the one that was killed, but was told by it where it stood.
#[test]
fn a_killed_leader_is_as_far_behind_as_it_had_said() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let killed = cluster.leader()?;
    let load = Workload::start(&[cluster.members[killed].client.clone()], CLIENTS, 1);
    load.wait_acknowledged(1_000, Duration::from_secs(60))?;
    load.stop_and_judge(&addresses(&cluster))?;
    // The heartbeats that confirm a read say where the leader stands, and reach whoever asks for it before the answer does.
    for member in addresses(&cluster) {
        let read = etcdctl(&member, &["get", "anything"])?;
        ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    }
    cluster.members[killed].kill()?;
    let name = cluster.members[killed].name.clone();
    let [entries, approximate] = eventually("a leader that tells of the killed one", Duration::from_secs(20), || {
        let others = cluster.members.iter().filter(|member| member.name != name);
        let mut pages = others.filter_map(|member| get(&member.metrics, "/metrics").ok());
        pages.find_map(|page| {
            let read = |metric: &str| series(&page, metric, &name);
            Some([read("quorate_follower_lag_entries")?, read("quorate_follower_lag_approximate")?])
        })
    })?;
    // The first entry of the new leader, and what the cluster may have noted for itself since.
    assert!((1.0..=10.0).contains(&entries), "{entries} entries behind, of more than 1,000");
    assert!(approximate > 0.0, "nobody has heard it");
    Ok(())
}

#[test]
fn a_removed_member_leaves_no_series_behind() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let leader = cluster.leader()?;
    let gone = (leader + 1) % 3;
    lag(&cluster, leader, gone)?;
    let members = crate::membership::members(&cluster)?;
    let id = members.get(&cluster.members[gone].name).context("it is a member")?;
    let removed = cluster.etcdctl(&["member", "remove", &format!("{id:x}")])?;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    let leader = cluster.leader()?;
    eventually("metrics page without the removed member", Duration::from_secs(5), || {
        lag(&cluster, leader, gone).is_err().then_some(())
    })
}
