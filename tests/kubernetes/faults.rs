//! Each verb of the harness does what it says.

use crate::{WRITES_AGAIN_WITHIN, scenario_with_nodes, series};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::kube::Quorate;
use tests::kube::fault::{Cut, Direction, Node, SmallVolume, pod};
use tests::kube::quorate::{MEMBERS, READY_WITHIN, pod_name};

/// What SIGKILL leaves as an exit code.
const KILLED: i32 = 128 + 9;
/// Room for a member's first segments and its store, and little more.
const SMALL_MEBIBYTES: u32 = 400;
/// A drained pod goes within its grace period, once its budget allows.
const DRAIN_SECONDS: u32 = 60;

#[test]
fn verbs_for_pods_do_what_they_say() -> Result<()> {
    scenario_with_nodes("verbs-pods", pods)
}

fn pods(quorate: &Quorate) -> Result<()> {
    let (space, name) = (quorate.space(), pod_name(0));
    let uid = || Ok(quorate.pod(0)?.metadata.uid);
    let first = uid()?;
    pod::kill_container(space, &name)?;
    space.wait_for(
        "a restart after SIGKILL",
        READY_WITHIN,
        || Ok(pod::container(&quorate.pod(0)?).map(|status| (status.restart_count, status.last_state.clone()))),
        |seen| seen.as_ref().is_some_and(|(count, _)| *count == 1),
    )?;
    ensure!(pod::last_exit_code(&quorate.pod(0)?) == Some(KILLED) && uid()? == first, "it is the same pod");
    quorate.wait_ready()?;
    pod::delete_now(space, &name)?;
    space.wait_for("another pod", READY_WITHIN, uid, |uid| *uid != first)?;
    quorate.wait_ready()?;

    let node = Node::of(&quorate.pod(0)?)?;
    let second = uid()?;
    node.drain(DRAIN_SECONDS)?;
    let drained = space.wait_for("another pod after a drain", READY_WITHIN, uid, |uid| *uid != second);
    let waits = quorate.pod(0)?.status.and_then(|status| status.phase);
    node.uncordon()?;
    drained?;
    ensure!(waits.as_deref() == Some("Pending"), "its volume is on the drained node: {waits:?}");
    quorate.wait_ready()
}

#[test]
fn verbs_for_links_do_what_they_say() -> Result<()> {
    scenario_with_nodes("verbs-links", links)
}

fn links(quorate: &Quorate) -> Result<()> {
    let load = quorate.load(5);
    load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    let (space, leader) = (quorate.space(), quorate.wait_caught_up(50)?);
    let away = (leader + 1) % MEMBERS;
    for direction in [Direction::Out, Direction::In] {
        let cut = Cut::one_way(&quorate.pod(away)?, direction)?;
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        space.wait_for(
            &format!("packets lost {direction:?}"),
            WRITES_AGAIN_WITHIN,
            || cut.lost_packets(),
            |lost| *lost > 0,
        )?;
        space.wait(&format!("lag of a member cut {direction:?}"), WRITES_AGAIN_WITHIN, || {
            let page = quorate.metrics(quorate.leader()?)?;
            Ok(series(&page, "quorate_follower_lag_entries", &pod_name(away)).filter(|lag| *lag >= 50.0))
        })?;
        cut.heal()?;
        quorate.wait_caught_up(50)?;
    }
    let slow = Cut::slow(&quorate.pod(away)?, 4)?;
    space.wait_for("packets above the limit", READY_WITHIN, || slow.lost_packets(), |lost| *lost > 0)?;
    slow.heal()?;
    quorate.wait_ready()?;
    quorate.wait_caught_up(50)?;
    load.stop_and_judge_at(&quorate.dials())?;
    Ok(())
}

#[test]
fn a_full_volume_holds_nobody_up_and_its_member_recovers_when_there_is_room() -> Result<()> {
    scenario_with_nodes("volume-full", volume)
}

fn volume(quorate: &Quorate) -> Result<()> {
    let leader = quorate.wait_caught_up(0)?;
    let small = (leader + 1) % MEMBERS;
    let name = pod_name(small);
    let volume = SmallVolume::under(quorate.space(), &name, &format!("data-{name}"), SMALL_MEBIBYTES)?;
    let load = quorate.load(9);
    load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
    ensure!(volume.free_blocks()? > 0, "there is room at first");
    volume.fill()?;
    ensure!(volume.free_blocks()? == 0, "there is none left");
    load.wait_acknowledged(300, WRITES_AGAIN_WITHIN)?;
    volume.free()?;
    ensure!(volume.free_blocks()? > 0, "there is room again");
    let uid = quorate.pod(small)?.metadata.uid.context("a pod")?;
    quorate.wait_member_ready(small)?;
    ensure!(quorate.pod(small)?.metadata.uid.as_ref() == Some(&uid), "the pod is the same");
    quorate.wait_caught_up(50)?;
    load.wait_acknowledged(50, Duration::from_secs(30))?;
    load.stop_and_judge_at(&quorate.dials())?;
    Ok(())
}
