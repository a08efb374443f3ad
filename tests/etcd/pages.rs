//! The pages for probes, scrapers and people.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, eventually, get};

#[test]
fn health_pages_tell_a_serving_member() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let client = &cluster.members[0].client;
    assert_eq!(get(client, "/health")?, r#"{"health":"true","reason":""}"#);
    assert_eq!(get(client, "/livez")?, "ok\n");
    assert_eq!(get(client, "/readyz")?, "ok\n");
    let verbose = get(client, "/readyz?verbose")?;
    for check in ["data_corruption", "serializable_read", "linearizable_read"] {
        ensure!(verbose.contains(&format!("[+]{check} ok")), "{verbose}");
        assert_eq!(get(client, &format!("/readyz/{check}"))?, "ok\n");
    }
    let version: serde_json::Value = serde_json::from_str(&get(client, "/version")?)?;
    assert_eq!(version, serde_json::json!({"etcdserver": "3.7.3", "etcdcluster": "3.7.0", "storage": "3.7.0"}));
    Ok(())
}

#[test]
fn health_pages_tell_a_member_without_a_leader() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    for member in &mut cluster.members[1..] {
        member.kill()?;
    }
    let client = cluster.members[0].client.clone();
    eventually("health page that says what is missing", Duration::from_secs(15), || {
        let said = get(&client, "/health").err()?.to_string();
        (said.contains("503") && said.contains("RAFT NO LEADER")).then_some(())
    })?;
    ensure!(get(&client, "/readyz").is_err(), "not ready without a leader");
    assert_eq!(get(&client, "/livez")?, "ok\n", "alive all the same: a restart would not help");
    Ok(())
}

#[test]
fn the_metrics_that_dashboards_of_etcd_rely_on_are_there() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    ensure!(cluster.etcdctl(&["put", "k", "v"])?.status.success(), "a put succeeds");
    let leader = cluster.leader()?;
    let page = get(&cluster.members[leader].metrics, "/metrics")?;
    let ours = ["quorate_follower_lag_entries", "quorate_follower_lag_bytes", "quorate_follower_lag_seconds"];
    let theirs = [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader 1",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_failed_total",
        "etcd_server_proposals_pending",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_applied_total",
        "etcd_disk_wal_fsync_duration_seconds_bucket",
        "etcd_disk_backend_commit_duration_seconds_bucket",
        "etcd_network_peer_round_trip_time_seconds_bucket",
        "etcd_network_peer_sent_failures_total",
        "etcd_network_peer_sent_bytes_total",
        "etcd_network_peer_received_bytes_total",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_quota_backend_bytes",
        "grpc_server_started_total{",
        "grpc_server_handled_total{",
        "process_resident_memory_bytes",
    ];
    for name in ours.iter().chain(&theirs) {
        ensure!(page.lines().any(|line| line.starts_with(name)), "no {name} in:\n{page}");
    }
    Ok(())
}

/// Read where they lie: a dashboard that asks for what nobody exports shows an empty panel and no error.
fn asked_for() -> Result<BTreeSet<String>> {
    let folder = tests::tree::root().join("deploy/monitoring");
    let mut text = std::fs::read_to_string(folder.join("alerts.yaml"))?;
    for file in std::fs::read_dir(folder.join("dashboards"))? {
        text += &std::fs::read_to_string(file?.path())?;
    }
    let names = tests::monitoring::metrics(&text).into_iter();
    // The operator's are its own; a follower that installs no snapshot has no progress to show.
    let others = ["quorate_operator_", "quorate_follower_snapshot_"];
    Ok(names.filter(|name| !others.iter().any(|other| name.starts_with(other))).collect())
}

#[test]
fn what_dashboards_and_alerts_ask_for_is_exported() -> Result<()> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
    let store = format!("--backup-store=dir:{}", cluster.folder().join("backups").display());
    for member in &mut cluster.members {
        member.with_flag(store.as_str());
        member.with_flag("--backup-interval=1s");
    }
    cluster.start_all()?;
    ensure!(cluster.etcdctl(&["put", "k", "v"])?.status.success(), "a put succeeds");
    let asked = asked_for()?;
    ensure!(asked.len() > 20, "{asked:?}");
    let mut missing = BTreeSet::new();
    eventually("every metric that is asked for", Duration::from_secs(60), || {
        let pages = cluster.members.iter().filter_map(|member| get(&member.metrics, "/metrics").ok());
        let pages: String = pages.collect();
        let has = |name: &String| pages.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
        missing = asked.iter().filter(|name| !has(name)).cloned().collect();
        missing.is_empty().then_some(())
    })
    .map_err(|error| error.context(format!("{missing:?}")))
}
