//! Two groups in every hierarchy hold all we start: the engine and its helpers in one, the nodes in the other. Ending
//! what is in them ends what we started, whatever became of the run that did, and nothing else.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";
/// The parent of the node containers' groups, as the engine is told.
pub(crate) const NODES: &str = "quorate-kind-nodes";
const ENGINE: &str = "quorate-kind-engine";
/// Killed processes are gone after a few milliseconds, or are stuck in the kernel.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Makes the engine's group and returns the file that takes the processes of it.
///
/// # Errors
/// When the hierarchy cannot be written: then there can be no containers here.
pub(crate) fn engine() -> Result<PathBuf> {
    let hierarchy = if is_v2() { PathBuf::from(ROOT) } else { Path::new(ROOT).join("pids") };
    let group = hierarchy.join(ENGINE);
    fs::create_dir_all(&group).with_context(|| format!("make {}: containers need control groups", group.display()))?;
    Ok(group.join("cgroup.procs"))
}

/// Kills what is in the groups and removes them.
///
/// # Errors
/// When something cannot be ended.
pub(crate) fn clear() -> Result<()> {
    let groups: Vec<PathBuf> = hierarchies().iter().flat_map(|base| [base.join(ENGINE), base.join(NODES)]).collect();
    let begun = Instant::now();
    loop {
        let left: Vec<Pid> = groups.iter().flat_map(|group| processes(group)).collect();
        if left.is_empty() {
            break;
        }
        ensure!(begun.elapsed() < GONE_WITHIN, "{} processes of the cluster cannot be killed: {left:?}", left.len());
        for pid in left {
            // It may have ended by itself since.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
    groups.iter().for_each(|group| remove(group));
    Ok(())
}

/// Whether there is anything of ours.
#[must_use]
pub(crate) fn are_there() -> bool {
    hierarchies().iter().any(|base| base.join(ENGINE).exists() || base.join(NODES).exists())
}

/// Whether the machine has the one hierarchy of version 2.
fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn hierarchies() -> Vec<PathBuf> {
    if is_v2() { vec![PathBuf::from(ROOT)] } else { folders(Path::new(ROOT)) }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn processes(group: &Path) -> Vec<Pid> {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let own = listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?));
    own.chain(folders(group).iter().flat_map(|below| processes(below))).collect()
}

/// The innermost first, as the kernel demands. One that is still busy stays: the next start finds it.
fn remove(group: &Path) {
    folders(group).iter().for_each(|below| remove(below));
    let _ = fs::remove_dir(group);
}
