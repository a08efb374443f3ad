//! Members that go away without a word, and come back.

use crate::{CLIENTS, addresses};
use anyhow::Result;
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::{Cluster, Flavor, Member};
use tests::workload::Workload;

/// Writes go on this long after a leader was lost at the latest: a few election timeouts of one second, on a machine
/// that runs other tests too.
const WRITES_AGAIN_WITHIN: Duration = Duration::from_secs(15);

/// Twice the election timeout: long enough to be replaced, short enough for its clients to be still waiting.
const STOPPED_FOR: Duration = Duration::from_secs(2);

/// More writes than can have been under way when a leader stopped: another one took them.
const BY_ANOTHER: u64 = 4 * CLIENTS as u64;

fn three() -> Result<(Cluster, Workload)> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let load = Workload::start(&addresses(&cluster), CLIENTS, 1);
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
    Ok((cluster, load))
}

#[test]
fn three_members_form_a_cluster_and_serve_through_each() -> Result<()> {
    let (cluster, load) = three()?;
    load.wait_acknowledged(1_000, WRITES_AGAIN_WITHIN)?;
    let report = load.stop_and_judge(&addresses(&cluster))?;
    assert_eq!(report.unknown, 0, "a healthy cluster answers every request");
    Ok(())
}

#[test]
fn a_leader_killed_again_and_again_loses_nothing() -> Result<()> {
    let (mut cluster, load) = three()?;
    for _ in 0..5 {
        let leader = cluster.leader()?;
        cluster.members[leader].kill()?;
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        cluster.members[leader].spawn()?;
        cluster.members[leader].wait_ready()?;
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    }
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

#[test]
fn a_follower_killed_while_writes_go_on_catches_up() -> Result<()> {
    let (mut cluster, load) = three()?;
    let follower = (cluster.leader()? + 1) % 3;
    cluster.members[follower].kill()?;
    load.wait_acknowledged(2_000, Duration::from_secs(60))?;
    cluster.members[follower].spawn()?;
    cluster.members[follower].wait_ready()?;
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

#[test]
fn all_members_killed_at_once_come_back_with_everything() -> Result<()> {
    let (mut cluster, load) = three()?;
    for _ in 0..3 {
        cluster.members.iter_mut().try_for_each(Member::kill)?;
        cluster.members.iter_mut().try_for_each(Member::spawn)?;
        cluster.members.iter_mut().try_for_each(Member::wait_ready)?;
        load.wait_acknowledged(300, WRITES_AGAIN_WITHIN)?;
    }
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

#[test]
fn a_leader_paused_past_its_reign_answers_no_stale_read() -> Result<()> {
    let (cluster, load) = three()?;
    for _ in 0..4 {
        let leader = cluster.leader()?;
        cluster.members[leader].pause()?;
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        cluster.members[leader].resume()?;
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    }
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

/// Each time it misses its own replacement, and goes on as if no time had passed: with writes under way, reads that
/// wait to be confirmed, and followers that answer to another. The next one is stopped as soon as it leads.
#[test]
fn whoever_leads_is_stopped_for_two_seconds_again_and_again_and_writes_go_on() -> Result<()> {
    let (cluster, load) = three()?;
    for _ in 0..10 {
        let leader = cluster.leader()?;
        let stopped = Instant::now();
        cluster.members[leader].pause()?;
        let by_another = load.wait_acknowledged(BY_ANOTHER, WRITES_AGAIN_WITHIN);
        thread::sleep(STOPPED_FOR.saturating_sub(stopped.elapsed()));
        cluster.members[leader].resume()?;
        by_another?;
    }
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

#[test]
fn without_a_quorum_nothing_is_written_and_stale_reads_are_served() -> Result<()> {
    let (mut cluster, load) = three()?;
    let survivor = cluster.leader()?;
    let others = [(survivor + 1) % 3, (survivor + 2) % 3];
    others.iter().try_for_each(|n| cluster.members[*n].kill())?;
    let endpoint = cluster.members[survivor].client.clone();
    let stale = tests::cluster::etcdctl(&endpoint, &["get", "--consistency=s", "k1"])?;
    assert!(stale.status.success(), "{}", String::from_utf8_lossy(&stale.stderr));
    let write = tests::cluster::etcdctl(&endpoint, &["--command-timeout=3s", "put", "lonely", "x"])?;
    assert!(!write.status.success(), "a write without a quorum was acknowledged");
    for n in others {
        cluster.members[n].spawn()?;
        cluster.members[n].wait_ready()?;
    }
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
    // What etcdctl asked for is not in the clients' history, and may have been written after all.
    let history = load.stop()?;
    assert!(!history.is_empty());
    Ok(())
}
