//! One child process.

use super::plan::PlannedMember;
use crate::command::{END_WITH_PARENT, print};
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a member that ended by itself, or was killed to see what happens, stays away.
const REVIVE_AFTER: Duration = Duration::from_secs(5);

/// A member, running or between two lives.
pub(super) struct Member {
    plan: PlannedMember,
    state: State,
}

enum State {
    Running(Child),
    Ended { at: Instant },
}

impl Member {
    /// # Errors
    /// The program or its log cannot be opened.
    pub(super) fn start(plan: &PlannedMember) -> anyhow::Result<Self> {
        Ok(Self { plan: plan.clone(), state: State::Running(spawn(plan)?) })
    }

    /// Starts a member again some time after it ended. Returns what there is to tell.
    ///
    /// # Errors
    /// The program cannot be started again.
    pub(super) fn revive(&mut self) -> anyhow::Result<Option<String>> {
        let name = &self.plan.name;
        match &mut self.state {
            State::Running(child) => {
                let Some(status) = child.try_wait()? else { return Ok(None) };
                self.state = State::Ended { at: Instant::now() };
                Ok(Some(format!("{name} ended ({status}), starts again in {} s", REVIVE_AFTER.as_secs())))
            }
            State::Ended { at } if at.elapsed() >= REVIVE_AFTER => {
                self.state = State::Running(spawn(&self.plan)?);
                Ok(Some(format!("{name} starts again")))
            }
            State::Ended { .. } => Ok(None),
        }
    }

    /// Asks it to end, and kills it when it takes too long.
    pub(super) async fn stop(&mut self, limit: Duration) {
        let State::Running(child) = &mut self.state else { return };
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended just now: then there is nobody to ask.
            let _gone = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(limit, child.wait()).await.is_err() {
            print(&format!("{} did not stop within {} s, killing it\n", self.plan.name, limit.as_secs()));
            let _gone = child.kill().await;
        }
    }
}

fn spawn(plan: &PlannedMember) -> anyhow::Result<Child> {
    let log = plan.dir.join("log");
    let log = OpenOptions::new().create(true).append(true).open(&log).with_context(|| log.display().to_string())?;
    let program = std::env::current_exe().context("cannot find this program")?;
    // What is meant for a member of our own would be a conflict with the flags here.
    let settings = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ETCD_"));
    let mut command = Command::new(program);
    for (name, _) in settings {
        command.env_remove(name);
    }
    command
        .args(&plan.arguments)
        .env(END_WITH_PARENT, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .process_group(0); // ctrl-c is for us: we ask the members, in order
    command.spawn().with_context(|| format!("cannot start {}", plan.name))
}
