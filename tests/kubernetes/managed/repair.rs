//! Members that lose everything: another one takes the place, under another identity, and nobody else is touched.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};
use tests::kube::fault::{pod, volume};
use tests::kube::operator::{CHANGED_WITHIN, Managed, claim_name, pod_name};
use tests::workload::Workload;

/// From the loss of a volume to three voters again; the aim for a user.
const REPAIRED_WITHIN: Duration = Duration::from_secs(180);

#[test]
fn a_member_whose_volume_is_lost_is_replaced_first_a_follower_then_the_leader() -> Result<()> {
    scenario("repair", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let leader = managed.leader()?;
        let follower = (0..3).find(|at| *at != leader).context("a follower")?;
        let load = managed.load(&[0, 1, 2], 10);
        let lose = |at: usize| pod::delete_with_claim(managed.space(), &pod_name(at), &claim_name(at));
        replaced(managed, &load, follower, lose)?;
        replaced(managed, &load, managed.leader()?, lose)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        eprintln!("{} writes acknowledged, none lost, longest stall {:?}", report.acknowledged, report.longest_stall);
        Ok(())
    })
}

#[test]
fn a_member_whose_disk_has_rotted_ends_and_is_replaced() -> Result<()> {
    scenario("rotted", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0, 1, 2], 10);
        replaced(managed, &load, managed.leader()?, |at| {
            volume::rot(managed.space(), &pod_name(at), &claim_name(at))?;
            pod::kill_container(managed.space(), &pod_name(at))
        })?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        eprintln!("{} writes acknowledged, none lost, longest stall {:?}", report.acknowledged, report.longest_stall);
        Ok(())
    })
}

/// Something happens to the member at a place, and another one takes it.
fn replaced(managed: &Managed, load: &Workload, at: usize, happens: impl Fn(usize) -> Result<()>) -> Result<()> {
    let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
    let (ids, pods) = (managed.ids(others[0])?, managed.pods()?);
    load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    let begun = Instant::now();
    happens(at)?;
    managed.space().wait("another member in its place", REPAIRED_WITHIN, || {
        let now = managed.ids(others[0])?;
        ensure!(now.iter().any(|id| !ids.contains(id)), "no new member");
        Ok(Some(()))
    })?;
    managed.wait_settled(REPAIRED_WITHIN)?;
    eprintln!("place {at} repaired after {:?}", begun.elapsed());
    let now = managed.ids(others[0])?;
    ensure!(now.len() == 3 && now.iter().filter(|id| ids.contains(id)).count() == 2, "{ids:?} became {now:?}");
    let untouched = managed.pods()?;
    ensure!(others.iter().all(|other| untouched[&pod_name(*other)] == pods[&pod_name(*other)]), "others were touched");
    load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    Ok(())
}
