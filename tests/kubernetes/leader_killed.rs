//! The leader's pod dies without a word, again and again: what was acknowledged stays, and writes go on soon.

use crate::{WRITES_AGAIN_WITHIN, scenario_with_nodes};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::history::stall_after;
use tests::kube::Quorate;
use tests::kube::fault::pod;
use tests::kube::quorate::pod_name;

const KILLS: usize = 20;

/// A write that comes within it after a kill belongs to that kill.
const WINDOW: Duration = Duration::from_secs(10);

/// The longest time without an acknowledged write after a kill that is taken, at the 95th percentile of 20.
const P95_MAX: Duration = Duration::from_secs(5);

#[test]
fn the_leader_s_pod_is_killed_twenty_times() -> Result<()> {
    scenario_with_nodes("leader-killed", kill_the_leader)
}

fn kill_the_leader(quorate: &Quorate) -> Result<()> {
    let load = quorate.load(20);
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    let mut kills = Vec::new();
    for round in 0..KILLS {
        let leader = quorate.wait_caught_up(50)?;
        let before = quorate.pod(leader)?.metadata.uid;
        kills.push(load.now());
        pod::kill(quorate.space(), &pod_name(leader))?;
        load.wait_acknowledged(20, WRITES_AGAIN_WITHIN)?;
        quorate.space().wait_for(
            &format!("another pod in the place of the one killed in round {round}"),
            WRITES_AGAIN_WITHIN,
            || Ok(quorate.pod(leader)?.metadata.uid),
            |uid| *uid != before,
        )?;
        quorate.wait_member_ready(leader)?;
    }
    let (report, history) = load.stop_and_judge_at(&quorate.dials())?;
    let stall = |kill: &Duration| stall_after(&history, *kill, WINDOW).context("a write after a kill");
    let mut stalls = kills.iter().map(stall).collect::<Result<Vec<Duration>>>()?;
    stalls.sort_unstable();
    let (median, p95) = (stalls[KILLS / 2 - 1], stalls[KILLS * 95 / 100 - 1]);
    eprintln!("leader's pod killed {KILLS} times: {} acknowledged writes, none lost", report.acknowledged);
    eprintln!("to the next acknowledged write: median {median:?}, p95 {p95:?}, all {stalls:?}");
    ensure!(p95 <= P95_MAX, "p95 {p95:?}");
    Ok(())
}
