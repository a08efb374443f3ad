//! A member that `quorate dev` started ends with it, even when that process is killed: the kernel sends SIGTERM to the
//! child whose parent is gone.

use crate::command::END_WITH_PARENT;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::env;
use std::process;
use tracing::warn;

/// Ties this process to its parent, if the parent asked for it. On the main thread, before any other is started.
pub(super) fn tie() {
    let Some(parent) = env::var(END_WITH_PARENT).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw) else {
        return;
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        warn!(%error, "could not tie this process to its parent");
    }
    // It may have gone before the kernel was told: then nobody would send the signal.
    if getppid() != Some(parent) {
        process::exit(1);
    }
}
