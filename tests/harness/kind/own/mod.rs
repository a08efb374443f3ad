//! Nodes on a machine without Docker, from packages alone. Root, Debian's package tools and Go are what it takes.
//!
//! ```text
//!   host      sysctls and folders as they were before
//!   cgroups   all that we started, by group
//!   net       a network namespace, and the link to it
//!   debian    packages, taken apart into the cache
//!   engine    dockerd
//!   node      the node image
//! ```
//!
//! * Before anything is made, what is needed to undo it is written down.
//! * [`clear`] may run at any time, over whatever is left, and leaves nothing.

mod cgroups;
mod debian;
mod engine;
mod host;
mod net;
mod node;

pub(crate) use debian::prometheus;
pub(crate) use engine::{docker, docker_host, in_group};
pub(crate) use net::{HOST, route};
pub(crate) use node::name as node_image;

use super::command::{command, output, succeeds};
use super::programs;
use super::state::State;
use super::steps::step;
use crate::packages;
use anyhow::{Context, Result, ensure};
use engine::Parts;
use host::Before;
use std::fs;
use std::path::PathBuf;

/// Programs of this machine that are used, and the packages that have them.
const NEEDED: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("iptables", "iptables"),
    ("tar", "tar"),
    ("mount", "mount"),
];

/// Why nodes cannot be made on this machine, if so.
#[must_use]
pub(crate) fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("no Docker, and starting an engine needs root".to_owned());
    }
    if !debian::is_here() {
        return Some("no Docker, and making a node image needs Debian's apt-get and dpkg".to_owned());
    }
    if !succeeds(&mut command(&["go", "version"])) {
        return Some("no Docker, and making a node image needs Go".to_owned());
    }
    // The capability for mounts and namespaces; a container's root often lacks it.
    (!succeeds(&mut command(&["unshare", "--mount", "--net", "true"])))
        .then(|| "no Docker, and this root may not make namespaces".to_owned())
}

/// Starts the engine with the node image in it.
///
/// # Errors
/// When a part cannot be had or does not start.
pub(crate) fn start(state: &State) -> Result<Engine> {
    packages::need(NEEDED)?;
    let parts = Parts {
        packages: step("Debian packages of the engine", || debian::engine(state))?,
        runtime: programs::runtime()?,
    };
    let image = node::image(state, &parts)?;
    let before = Before::look()?;
    fs::write(state.path("before.json"), serde_json::to_vec(&before)?)?;
    before.prepare()?;
    step("network namespace and engine", || {
        net::make()?;
        engine::start(state, &parts)
    })?;
    let engine = Engine { state: state.clone(), parts };
    step("node image into the engine", || node::import(&engine, &image))?;
    Ok(engine)
}

/// Ends and removes whatever there is of an engine and its nodes, and puts the machine's settings back.
///
/// # Errors
/// When something cannot be ended or removed.
pub(crate) fn clear(state: &State) -> Result<()> {
    cgroups::clear()?;
    net::remove()?;
    if let Ok(text) = fs::read(state.path("before.json")) {
        // Cut short while it was written: nothing had been changed yet.
        if let Ok(before) = serde_json::from_slice::<Before>(&text) {
            before.restore()?;
        }
        fs::remove_file(state.path("before.json"))?;
    }
    for path in left(state) {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Whether a run left something, or what it was to clear: it may have been killed while it did.
#[must_use]
pub(crate) fn is_there(state: &State) -> bool {
    cgroups::are_there() || net::is_there() || state.path("before.json").exists() || !left(state).is_empty()
}

/// Files and folders of an engine that are still there. An engine that finds them has the nodes of the one before, and
/// a number in a file names a process of a namespace that is gone, in the next one perhaps the engine itself.
fn left(state: &State) -> Vec<PathBuf> {
    let paths = ["dockerd.pid", "docker.sock", "exec", "data", "node-image"].map(|name| state.path(name));
    paths.into_iter().filter(|path| path.symlink_metadata().is_ok()).collect()
}

/// An engine that runs.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    state: State,
    parts: Parts,
}

impl Engine {
    /// The docker client.
    #[must_use]
    pub(crate) fn docker(&self) -> std::process::Command {
        docker(&self.state, &self.parts)
    }

    /// Where its programs are.
    #[must_use]
    pub(crate) fn client(&self) -> PathBuf {
        self.parts.packages.join("usr/bin/docker")
    }

    /// A node's address.
    ///
    /// # Errors
    /// When there is no such node.
    pub(crate) fn address(&self, node: &str) -> Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = output(self.docker().args(["inspect", "--format", format, node]))?;
        ensure!(!address.is_empty(), "{node} has no address");
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_clearing_left_is_there_for_the_next_one() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let state = State::at(folder.path().to_owned())?;
        assert!(left(&state).is_empty());
        fs::create_dir(state.path("data"))?;
        fs::write(state.path("dockerd.pid"), "1")?;
        assert_eq!(left(&state), ["dockerd.pid", "data"].map(|name| state.path(name)));
        assert!(is_there(&state));
        Ok(())
    }
}
