//! A cluster's beginning, its pauses, and its end.

use super::{MEMBER_GONE_WITHIN, rest, scenario};
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::kube::operator::{CHANGED_WITHIN, CLUSTER, Managed, claim_name};

/// More than the volumes begin with.
const LARGER: &str = "200Mi";
/// Volumes of a few nodes grow within this: what provides them looks every second.
const GROWN_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_cluster_forms_and_says_so() -> Result<()> {
    scenario("forms", 3, &json!({}), |managed, operator| {
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
        rest::measure(managed, operator)
    })
}

#[test]
fn volumes_grow_under_their_members_a_pause_is_kept_and_a_deleted_cluster_keeps_its_volumes() -> Result<()> {
    scenario("life", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let before = managed.pods()?;
        grows(managed)?;
        ensure!(managed.pods()? == before, "a member was restarted for its volume to grow");
        managed.write(&json!({ "paused": true, "config": { "quota": "3Gi" }, "storage": { "size": LARGER } }))?;
        managed.space().wait_for(
            "the cluster paused",
            WRITES_AGAIN_WITHIN,
            || managed.condition("Progressing").map(|(_, reason)| reason),
            |reason| reason == "Paused",
        )?;
        ensure!(managed.pods()? == before, "a paused cluster was touched");

        let took = managed.delete(MEMBER_GONE_WITHIN, false)?;
        eprintln!("deleted: no pod after {took:?}");
        for at in 0..3 {
            managed.space().kubectl(&["get", "pvc", &claim_name(at)])?;
        }
        Ok(())
    })
}

/// Every volume has the new size, and so has the set that the next members come from; all while clients write.
fn grows(managed: &Managed) -> Result<()> {
    let load = managed.load(&[0, 1, 2], 18);
    load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    let begun = Instant::now();
    managed.write(&json!({ "storage": { "size": LARGER } }))?;
    managed.space().wait("volumes as large as asked for", GROWN_WITHIN, || {
        let object = managed.object()?;
        let members = object["status"]["members"].as_array().cloned().unwrap_or_default();
        let sizes: Vec<&Value> = members.iter().map(|member| &member["volume"]["capacity"]).collect();
        ensure!(sizes.len() == 3 && sizes.iter().all(|size| **size == LARGER), "{sizes:?}");
        Ok(Some(()))
    })?;
    managed.wait_settled(CHANGED_WITHIN)?;
    eprintln!("volumes grown after {:?}", begun.elapsed());
    let set = managed.space().kubectl(&[
        "get",
        "statefulset",
        CLUSTER,
        "--output=jsonpath={.spec.volumeClaimTemplates[0].spec.resources.requests.storage}",
    ])?;
    ensure!(set == LARGER, "the set makes volumes of {set}");
    load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
    Ok(())
}
