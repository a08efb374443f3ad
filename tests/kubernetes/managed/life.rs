//! A cluster's beginning, its pauses, and its end.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};
use tests::kube::operator::{CHANGED_WITHIN, CLUSTER, claim_name};

/// Pods of a deleted cluster end by themselves within their grace period.
const GONE_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_cluster_forms_and_says_so() -> Result<()> {
    scenario("forms", 3, &json!({}), |managed, _| {
        let begun = Instant::now();
        let object = managed.wait_settled(CHANGED_WITHIN)?;
        eprintln!("settled {:?} after it was available", begun.elapsed());
        let load = managed.load(&[0, 1, 2], 1);
        load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        ensure!(report.acknowledged >= 200);

        let members = managed.members(0)?;
        ensure!(members.members.iter().filter(|member| member.voter).count() == 3, "{members:?}");
        ensure!(object["status"]["quorum"]["required"] == 2, "{}", object["status"]["quorum"]);
        let leader = managed.leader()?;
        let page = managed.metrics(leader)?;
        ensure!(page.matches("quorate_follower_lag_entries{").count() == 2, "the leader tells of two followers");
        let table = managed.space().kubectl(&["get", "raftclusters"])?;
        ensure!(table.contains(CLUSTER) && table.contains("Running"), "{table}");
        Ok(())
    })
}

#[test]
fn a_paused_cluster_is_left_alone_and_a_deleted_one_keeps_its_volumes() -> Result<()> {
    scenario("life", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let before = managed.pods()?;
        managed.write(&json!({ "paused": true, "config": { "quota": "3Gi" } }))?;
        managed.space().wait_for(
            "the cluster paused",
            WRITES_AGAIN_WITHIN,
            || managed.condition("Progressing").map(|(_, reason)| reason),
            |reason| reason == "Paused",
        )?;
        ensure!(managed.pods()? == before, "a paused cluster was touched");

        managed.space().kubectl(&["delete", "raftcluster", CLUSTER, "--timeout=60s"])?;
        managed.space().wait_for("no pod", GONE_WITHIN, || managed.pods(), |pods| pods.is_empty())?;
        for at in 0..3 {
            managed.space().kubectl(&["get", "pvc", &claim_name(at)])?;
        }
        Ok(())
    })
}
