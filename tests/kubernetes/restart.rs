//! `kubectl rollout restart`, under load: one member after the other, leadership handed over before its member stops.

use crate::{WRITES_AGAIN_WITHIN, scenario};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tests::kube::Quorate;
use tests::kube::quorate::MEMBERS;

/// The longest time without an acknowledged write: a hand-over takes a round trip, an election would take a second
/// and more.
const STALL_MAX: Duration = Duration::from_secs(3);

#[test]
fn a_rolling_restart_under_load_is_hardly_felt() -> Result<()> {
    scenario("restart", restart)
}

fn restart(quorate: &Quorate) -> Result<()> {
    let load = quorate.load(3);
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    let leader = quorate.wait_caught_up(50)?;
    let term = quorate.status(leader)?.term;
    let pods = || (0..MEMBERS).map(|ordinal| Ok(quorate.pod(ordinal)?.metadata.uid)).collect::<Result<Vec<_>>>();
    let (before, begun) = (pods()?, Instant::now());
    quorate.space().kubectl(&["rollout", "restart", "statefulset/quorate"])?;
    quorate.space().kubectl(&["rollout", "status", "statefulset/quorate", "--timeout=240s"])?;
    eprintln!("restarted after {:?}", begun.elapsed());
    ensure!(before.iter().zip(pods()?).all(|(before, after)| *before != after), "a pod was left as it was");
    quorate.wait_ready()?;
    let leader = quorate.wait_caught_up(50)?;
    let terms = quorate.status(leader)?.term - term;
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    let (report, _) = load.stop_and_judge_at(&quorate.dials())?;
    eprintln!("{terms} changes of leader, longest stall {:?}", report.longest_stall);
    ensure!(terms <= MEMBERS as u64, "{terms} terms for {MEMBERS} restarts");
    ensure!(report.longest_stall <= STALL_MAX, "{:?}", report.longest_stall);
    Ok(())
}
