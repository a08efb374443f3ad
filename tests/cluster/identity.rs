//! A member is its disk: what starts under a known name with other data is refused, with a word on what to do.

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, Member, eventually};

/// A refusal takes one exchange with the peers.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_wiped_disk_under_an_old_name_is_refused() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    cluster.members[2].kill()?;
    fs::remove_dir_all(cluster.members[2].data())?;
    cluster.members[2].spawn()?;
    let status = cluster.members[2].wait_end(REFUSED_WITHIN)?;
    let log = cluster.members[2].log();
    assert!(!status.success() && status.code().is_some(), "ended with {status}:\n{log}");
    assert!(log.contains("disk"), "the log says why:\n{log}");
    assert!(log.contains("remove"), "the log says what to do:\n{log}");
    assert!(cluster.etcdctl(&["put", "still", "here"])?.status.success(), "the others go on");
    Ok(())
}

#[test]
fn a_data_directory_of_another_cluster_is_refused() -> Result<()> {
    let mut ours = Cluster::start(Flavor::Quorate, 1, &[])?;
    let mut other = Cluster::start(Flavor::Quorate, 3, &[])?;
    ours.members[0].kill()?;
    other.members[0].kill()?;
    fs::remove_dir_all(other.members[0].data())?;
    fs::rename(ours.members[0].data(), other.members[0].data())?;
    other.members[0].spawn()?;
    let status = other.members[0].wait_end(REFUSED_WITHIN)?;
    let log = other.members[0].log();
    assert!(!status.success(), "ended with {status}:\n{log}");
    assert!(log.contains("cluster"), "the log says why:\n{log}");
    Ok(())
}

#[test]
fn two_processes_never_share_a_data_directory() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 1, &[])?;
    let mut twin = Cluster::planned(Flavor::Quorate, 1, &[])?;
    let data = format!("--data-dir={}", cluster.members[0].data().display());
    let member = twin.members.first_mut().context("one member")?;
    member.with_flag(data);
    member.spawn()?;
    let status = member.wait_end(REFUSED_WITHIN)?;
    assert!(!status.success(), "ended with {status}:\n{}", member.log());
    assert!(cluster.members[0].ended()?.is_none(), "the first one goes on");
    Ok(())
}

#[test]
fn a_first_member_wiped_while_the_cluster_forms_takes_part_with_its_new_disk() -> Result<()> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
    let waits_for_m3_alone = |cluster: &Cluster, n: usize| {
        let log = cluster.members[n].log();
        let last = log.lines().rfind(|line| line.contains("waiting for the other first members"))?;
        (last.contains("m3") && !last.contains("\\\"m1") && !last.contains("\\\"m2")).then_some(())
    };
    cluster.members[0].spawn()?;
    cluster.members[1].spawn()?;
    eventually("first two that have heard each other", REFUSED_WITHIN, || waits_for_m3_alone(&cluster, 1))?;
    cluster.members[0].kill()?;
    fs::remove_dir_all(cluster.members[0].data())?;
    cluster.members[0].spawn()?;
    eventually("new disk that has heard the second", REFUSED_WITHIN, || waits_for_m3_alone(&cluster, 0))?;
    cluster.members[2].spawn()?;
    cluster.members.iter_mut().try_for_each(Member::wait_ready)?;
    assert_eq!(crate::membership::members(&cluster)?.len(), 3);
    assert!(cluster.etcdctl(&["put", "formed", "once"])?.status.success());
    Ok(())
}
