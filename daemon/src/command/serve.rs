//! `quorate serve`, and `etcd`: one member, from its settings to its end.
//!
//! read and check → logs and traces → parts → ready → a signal or a failure → shutdown, bounded

use super::END_WITH_PARENT;
use crate::config::{self, Checked, Mode, Settings, Wanted};
use crate::telemetry::Telemetry;
use anyhow::{Context, anyhow};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::env;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

/// On this many cores the write-ahead log and the state machine, which have threads of their own, need what a second
/// worker of the runtime would take from them.
const CORES_FOR_ONE_WORKER: usize = 2;

/// The arguments as text.
///
/// # Errors
/// One of them is not UTF-8.
pub(super) fn flags(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Vec<String>> {
    let text = |argument: OsString| argument.into_string().map_err(|raw| anyhow!("{raw:?} is not UTF-8"));
    arguments.map(text).collect()
}

/// Runs a member until it is told to stop.
pub(super) fn run(mode: Mode, flags: &[String]) -> anyhow::Result<ExitCode> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let environment = env::vars_os().filter_map(text);
    match config::load(mode, flags, environment, &|_| false)? {
        Wanted::Help(text) => print!("{text}"),
        Wanted::Version => print!("{}", version(mode)),
        Wanted::Run(checked) => return Err(anyhow!("{checked:?}")),
    }
    Ok(ExitCode::SUCCESS)
}

/// etcd's tools read the first line of it.
fn version(mode: Mode) -> String {
    let own = env!("CARGO_PKG_VERSION");
    match mode {
        Mode::Quorate => format!("quorate {own}\n"),
        Mode::Etcd => format!("etcd Version: \nQuorate Version: {own}\n"),
    }
}
