//! Members come and go while clients write.

use crate::{CLIENTS, addresses};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, etcdctl, eventually};
use tests::workload::Workload;

/// Every member's id by its name; one that has not started has the name "".
pub(crate) fn members(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    members_at(&cluster.endpoints())
}

/// The same, as one of these endpoints has it: a member that does not vote refuses to say.
pub(crate) fn members_at(endpoints: &str) -> Result<BTreeMap<String, u64>> {
    let named = |member: &Value| Some((member["name"].as_str().unwrap_or_default().to_owned(), member["ID"].as_u64()?));
    Ok(listed(endpoints)?.iter().filter_map(named).collect())
}

/// How many members vote.
pub(crate) fn voters(cluster: &Cluster) -> Result<usize> {
    voters_at(&cluster.endpoints())
}

/// The same, as one of these endpoints has it.
pub(crate) fn voters_at(endpoints: &str) -> Result<usize> {
    Ok(listed(endpoints)?.iter().filter(|member| member["isLearner"] != true).count())
}

fn listed(endpoints: &str) -> Result<Vec<Value>> {
    let listed: Value = serde_json::from_slice(&ctl_at(endpoints, &["member", "list", "-w", "json"])?)?;
    Ok(listed["members"].as_array().context("a list of members")?.clone())
}

fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<Vec<u8>> {
    ctl_at(&cluster.endpoints(), arguments)
}

/// Runs etcdctl against one of these endpoints.
pub(crate) fn ctl_at(endpoints: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = etcdctl(endpoints, arguments)?;
    ensure!(output.status.success(), "etcdctl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

#[test]
fn a_learner_joins_catches_up_is_promoted_and_replaces_a_removed_member() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let load = Workload::start(&addresses(&cluster), CLIENTS, 5);
    load.wait_acknowledged(500, Duration::from_secs(20))?;

    let joining = cluster.joining("m4", &[])?;
    let url = format!("--peer-urls=http://{}", cluster.members[joining].peer);
    ctl(&cluster, &["member", "add", "m4", "--learner", &url])?;
    cluster.members[joining].spawn()?;
    let id =
        eventually("member m4 in the list", Duration::from_secs(20), || members(&cluster).ok()?.get("m4").copied())?;
    let hex = format!("{id:x}");
    // An answer that was lost, with its leader or with etcdctl's patience, may have been a yes: the members know.
    eventually("promotion of m4", Duration::from_secs(20), || {
        let promoted = ctl(&cluster, &["member", "promote", &hex]).is_ok() || voters(&cluster).ok()? == 4;
        promoted.then_some(())
    })?;
    cluster.members[joining].wait_ready()?;

    let gone = cluster.leader()?;
    let id = *members(&cluster)?.get(&cluster.members[gone].name).context("the leader is a member")?;
    // Once: a leader that is removed answers before it ends.
    ctl(&cluster, &["member", "remove", &format!("{id:x}")])?;
    let status = cluster.members[gone].wait_end(Duration::from_secs(20))?;
    ensure!(!status.success(), "a removed member ends with a code of its own, not {status}");

    let rest: Vec<String> =
        cluster.members.iter().filter(|member| member.running()).map(|member| member.client.clone()).collect();
    load.wait_acknowledged(200, Duration::from_secs(30))?;
    load.stop_and_judge(&rest)?;
    ensure!(members(&cluster)?.len() == 3, "three members are left");
    Ok(())
}

/// As people grow a cluster: of one member, by `etcdctl member add` without more words. The first growth takes away the
/// only quorum there is, so it must not take place before there is another one.
#[test]
fn a_cluster_of_one_member_grows_to_three_and_can_be_written_to_all_along() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 1, &[])?;
    let first = cluster.members[0].client.clone();
    for (name, count) in [("m2", 2), ("m3", 3)] {
        let joining = cluster.joining(name, &[])?;
        let url = format!("--peer-urls=http://{}", cluster.members[joining].peer);
        ctl_at(&first, &["member", "add", name, &url])?;
        ctl_at(&first, &["put", name, "added"])?;
        cluster.members[joining].spawn()?;
        cluster.members[joining].wait_ready()?;
        eventually("a vote for it", Duration::from_secs(20), || (voters_at(&first).ok()? == count).then_some(()))?;
        ctl_at(&first, &["put", name, "votes"])?;
    }
    cluster.members[0].kill()?;
    let rest = cluster.endpoints();
    eventually("a write without the first member", Duration::from_secs(20), || ctl_at(&rest, &["put", "k", "v"]).ok())?;
    Ok(())
}

#[test]
fn a_removed_member_that_starts_again_is_told_and_disturbs_nobody() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let leader = cluster.leader()?;
    let gone = (leader + 1) % 3;
    let id = *members(&cluster)?.get(&cluster.members[gone].name).context("it is a member")?;
    cluster.members[gone].kill()?;
    ctl(&cluster, &["member", "remove", &format!("{id:x}")])?;
    cluster.members[gone].spawn()?;
    let status = cluster.members[gone].wait_end(Duration::from_secs(15))?;
    ensure!(!status.success(), "ended with {status}");
    ensure!(cluster.members[gone].log().contains("removed"), "the log says why:\n{}", cluster.members[gone].log());
    ensure!(cluster.leader()? == leader, "the leader is the same");
    Ok(())
}
