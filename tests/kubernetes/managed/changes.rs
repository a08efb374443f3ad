//! What users ask for while clients write: more members, fewer, another version, a version that is not there.

use super::{BAD_VERSION, NEXT_VERSION, scenario};
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tests::kube::operator::{CHANGED_WITHIN, Managed, VERSION, pod_name};

/// The longest time without an acknowledged write in an upgrade: leadership is handed over before its member stops.
const STALL_MAX: Duration = Duration::from_secs(3);

/// How long a bad version is watched: a second member would go in less.
const WATCHED_FOR: Duration = Duration::from_secs(20);

#[test]
fn a_cluster_grows_to_five_and_shrinks_to_one_under_load_whatever_becomes_of_the_operator() -> Result<()> {
    scenario("scales", 5, &json!({ "replicas": 1 }), |managed, operator| {
        managed.wait_settled(CHANGED_WITHIN)?;
        // The lowest place is never given up.
        let load = managed.load(&[0], 2);
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
        for (replicas, kill) in [(3, true), (5, false), (3, true), (1, false)] {
            let begun = Instant::now();
            managed.write(&json!({ "replicas": replicas }))?;
            if kill {
                managed.space().wait("a change under way", WRITES_AGAIN_WITHIN, || {
                    Ok((!managed.object()?["status"]["operation"].is_null()).then_some(()))
                })?;
                operator.kill()?;
            }
            managed.wait_settled(CHANGED_WITHIN).with_context(|| format!("{replicas} members"))?;
            eprintln!("{replicas} members after {:?}", begun.elapsed());
            let members = managed.members(0)?;
            ensure!(members.members.len() == replicas, "{members:?}");
            ensure!(managed.pods()?.len() == replicas, "{:?}", managed.pods()?);
        }
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0]))?;
        eprintln!("{} writes acknowledged, none lost, longest stall {:?}", report.acknowledged, report.longest_stall);
        Ok(())
    })
}

#[test]
fn an_upgrade_under_load_takes_the_leader_last_and_is_hardly_felt() -> Result<()> {
    scenario("upgrade", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0, 1, 2], 4);
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        let (before, leader, begun) = (managed.pods()?, managed.leader()?, Instant::now());
        managed.write(&json!({ "version": NEXT_VERSION }))?;
        let leader_was_last = managed.space().wait("every pod replaced", CHANGED_WITHIN, || {
            let replaced = replaced(managed, &before)?;
            Ok(match (replaced.contains(&leader), replaced.len()) {
                (true, 3) => Some(true),
                (true, _) => Some(false),
                (false, _) => None,
            })
        })?;
        ensure!(leader_was_last, "the pod of {leader}, which led, went before the others'");
        managed.wait_settled(CHANGED_WITHIN)?;
        eprintln!("upgraded after {:?}", begun.elapsed());
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        eprintln!("{} writes acknowledged, none lost, longest stall {:?}", report.acknowledged, report.longest_stall);
        ensure!(report.longest_stall <= STALL_MAX, "{:?}", report.longest_stall);
        Ok(())
    })
}

#[test]
fn a_version_that_is_not_there_stops_at_one_follower_and_taking_it_back_heals() -> Result<()> {
    scenario("bad-version", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0, 1, 2], 5);
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        let (before, leader) = (managed.pods()?, managed.leader()?);
        managed.write(&json!({ "version": BAD_VERSION }))?;
        let one = managed.space().wait("one pod replaced", CHANGED_WITHIN, || replaced(managed, &before).map(Some))?;
        ensure!(one.len() <= 1 && !one.contains(&leader), "{one:?} of which {leader} led");
        let watched = Instant::now();
        while watched.elapsed() < WATCHED_FOR {
            let gone = replaced(managed, &before)?;
            ensure!(gone.len() <= 1 && !gone.contains(&leader), "{gone:?} of which {leader} led");
            load.wait_acknowledged(5, WRITES_AGAIN_WITHIN)?;
        }
        ensure!(replaced(managed, &before)?.len() == 1, "one follower was tried");

        managed.write(&json!({ "version": VERSION }))?;
        managed.wait_settled(CHANGED_WITHIN)?;
        let after = replaced(managed, &before)?;
        ensure!(after.len() == 1, "others were restarted for nothing: {after:?}");
        load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        Ok(())
    })
}

/// The places whose pod is another one, or none.
fn replaced(managed: &Managed, before: &BTreeMap<String, String>) -> Result<Vec<usize>> {
    let pods = managed.pods()?;
    Ok((0..3).filter(|at| pods.get(&pod_name(*at)) != before.get(&pod_name(*at))).collect())
}
