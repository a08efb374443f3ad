//! Members that are asked to end.

use crate::{CLIENTS, addresses};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::cluster::{Cluster, Flavor};
use tests::workload::Workload;

#[test]
fn a_leader_asked_to_end_hands_over_and_is_gone_within_a_second_and_a_half() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let load = Workload::start(addresses(&cluster), CLIENTS, 3);
    for _ in 0..3 {
        load.wait_acknowledged(200, Duration::from_secs(15))?;
        let leader = cluster.leader()?;
        let (took, status) = cluster.members[leader].terminate()?;
        ensure!(status.success(), "ended with {status}:\n{}", cluster.members[leader].log());
        ensure!(took < Duration::from_millis(1_500), "took {took:?}");
        load.wait_acknowledged(50, Duration::from_secs(15))?;
        cluster.members[leader].spawn()?;
        cluster.members[leader].wait_ready()?;
    }
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

#[test]
fn a_leader_whose_followers_hang_ends_in_time_too() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let leader = cluster.leader()?;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    others.iter().try_for_each(|n| cluster.members[*n].pause())?;
    let (took, status) = cluster.members[leader].terminate()?;
    ensure!(status.success(), "ended with {status}:\n{}", cluster.members[leader].log());
    ensure!(took < Duration::from_millis(1_500), "took {took:?}");
    others.iter().try_for_each(|n| cluster.members[*n].resume())
}
