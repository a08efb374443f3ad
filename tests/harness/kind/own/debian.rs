//! Debian packages, taken apart into the cache and not installed: nothing of them is started or configured here.

use crate::kind::command::{command, run, succeeds};
use crate::kind::state::State;
use crate::tree;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A slow mirror, and a hundred megabytes.
const DOWNLOADED_WITHIN: Duration = Duration::from_secs(600);

/// The engine, the runtime it starts, and what makes a root file system.
const ENGINE: &[&str] = &["docker.io", "containerd", "runc", "tini", "debootstrap"];

/// The folder that the engine's packages were taken apart into.
///
/// # Errors
/// When they cannot be downloaded.
pub(crate) fn engine(state: &State) -> Result<PathBuf> {
    taken_apart(state, "engine", ENGINE)
}

/// The folder that Prometheus and promtool were taken apart into.
///
/// # Errors
/// When they cannot be downloaded.
pub(crate) fn prometheus(state: &State) -> Result<PathBuf> {
    taken_apart(state, "prometheus", &["prometheus"])
}

fn taken_apart(state: &State, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = tree::cache()?.join(format!("debian-{name}"));
    if folder.exists() {
        return Ok(folder);
    }
    let partial = tree::cache()?.join(format!("debian-{name}.partial-{}", std::process::id()));
    fs::create_dir_all(&partial)?;
    let log = state.log("debian");
    let download = || {
        let mut get = command(&["apt-get", "download"]);
        // The sandbox user of apt may not write here, and says so at length.
        get.args(["-o", "APT::Sandbox::User=root"]).args(packages).current_dir(&partial);
        run(&mut get, &log, DOWNLOADED_WITHIN)
    };
    if download().is_err() {
        run(&mut command(&["apt-get", "update"]), &log, DOWNLOADED_WITHIN)?;
        download()?;
    }
    for entry in fs::read_dir(&partial)? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(command(&["dpkg", "-x"]).arg(&package).arg(&partial), &log, DOWNLOADED_WITHIN)?;
            fs::remove_file(&package)?;
        }
    }
    fs::rename(&partial, &folder).context("keep the packages")?;
    Ok(folder)
}

/// The mirror that this machine's apt uses.
#[must_use]
pub(crate) fn mirror() -> String {
    let listed = crate::kind::command::output(&mut command(&["apt-get", "indextargets", "--format", "$(REPO_URI)"]));
    let first = listed.ok().and_then(|text| text.lines().next().map(str::to_owned));
    first.unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

/// Whether this machine has Debian's package tools.
#[must_use]
pub(crate) fn is_here() -> bool {
    succeeds(&mut command(&["dpkg", "--version"])) && succeeds(&mut command(&["apt-get", "--version"]))
}
