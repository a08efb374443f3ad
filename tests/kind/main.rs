//! The cluster that tests run on: it comes after a run that was killed, works as scenarios count on it, and goes without
//! a trace on the machine. One test, as there is one cluster per machine.

mod machine;
mod works;

use anyhow::{Context, Result, bail, ensure};
use machine::Machine;
use std::env;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tests::kind::state::{Phase, State};
use tests::kind::{self, Session};

/// From the start of a run until it is in the middle of making nodes.
const IN_THE_MIDDLE_WITHIN: Duration = Duration::from_secs(1800);

#[test]
fn a_cluster_comes_after_a_killed_run_works_and_leaves_the_machine_as_it_was() -> Result<()> {
    if let Some(why) = kind::impossible() {
        println!("skipped: {why}");
        return Ok(());
    }
    if env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) {
        println!("skipped: KUBECONFIG names a cluster, and nothing else is to be touched");
        return Ok(());
    }
    let state = State::open()?;
    ensure!(state.record().is_none(), "a cluster is up, or was left by a killed run: take it down with `kind down`");
    let before = Machine::look()?;
    killed_in_the_middle(&state)?;
    let session = Session::begin()?;
    let worked = works::all(&session.cluster);
    session.end()?;
    worked?;
    before.compare(&Machine::look()?)
}

/// Starts a cluster and kills the run when the engine has begun with the nodes.
fn killed_in_the_middle(state: &State) -> Result<()> {
    let log = state.log("kind-create");
    // An earlier cluster's says nothing of this one.
    if log.exists() {
        fs::remove_file(&log)?;
    }
    let mut run = Command::new(env!("CARGO_BIN_EXE_kind")).arg("up").spawn().context("start kind up")?;
    let begun = Instant::now();
    while !log.exists() {
        if let Some(status) = run.try_wait()? {
            bail!("kind up ended with {status} before it made a node");
        }
        ensure!(begun.elapsed() < IN_THE_MIDDLE_WITHIN, "kind up makes no node");
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(Duration::from_secs(8));
    run.kill()?;
    run.wait()?;
    let record = state.record().context("a killed run leaves its record")?;
    ensure!(record.phase == Phase::Starting, "kind up was done before it was killed");
    Ok(())
}
