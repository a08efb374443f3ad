//! dockerd, started by hand: in the cluster's network namespace and control group, in a mount namespace of its own, with
//! a runtime that asks no more of the kernel than this machine's root may. What it mounts is seen by nobody else and is
//! gone when it is.

use super::cgroups;
use super::net::{BRIDGE, NAMESPACE, NODES};
use crate::kind::command::{command, succeeds, tail};
use crate::kind::state::State;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// It takes one second on an idle machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// Joins the group, then becomes the program: whatever it starts is in the group too.
const IN_GROUP: &str = r#"echo $$ > "$0" && exec "$@""#;
/// The engine and its containerd leave sockets and locks in /run whatever one tells them; so they get one of their own.
const OWN_RUN: &str = r#"mount -t tmpfs none /run && exec "$@""#;

/// What the engine consists of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Debian's packages, taken apart.
    pub(crate) packages: PathBuf,
    /// The OCI runtime.
    pub(crate) runtime: PathBuf,
}

impl Parts {
    /// A path on which dockerd, docker, containerd, runc and debootstrap are found first.
    #[must_use]
    pub(crate) fn search_path(&self) -> String {
        let folders = ["usr/sbin", "usr/bin"].map(|folder| self.packages.join(folder).display().to_string());
        // iptables is in /usr/sbin, which not every user's path has.
        format!("{}:{}:/usr/sbin:/sbin", folders.join(":"), env::var("PATH").unwrap_or_default())
    }
}

/// The address of the engine's socket, for docker and kind.
#[must_use]
pub(crate) fn docker_host(state: &State) -> String {
    format!("unix://{}", state.path("docker.sock").display())
}

/// The docker client, talking to this engine.
#[must_use]
pub(crate) fn docker(state: &State, parts: &Parts) -> Command {
    let mut docker = Command::new(parts.packages.join("usr/bin/docker"));
    docker.env("DOCKER_HOST", docker_host(state)).env("PATH", parts.search_path());
    docker
}

/// Starts it and waits until it answers.
///
/// # Errors
/// When it does not; the error has its last words.
pub(crate) fn start(state: &State, parts: &Parts) -> Result<()> {
    let configuration = state.path("dockerd.json");
    fs::write(&configuration, configured(state, parts).to_string())?;
    let log = state.log("dockerd");
    let out = File::create(&log)?;
    let mut dockerd = command(&["setsid", "sh", "-c", IN_GROUP]);
    dockerd
        .arg(cgroups::engine()?)
        .args(["nsenter", &format!("--net=/run/netns/{NAMESPACE}"), "unshare", "--mount"])
        .args(["sh", "-c", OWN_RUN, "dockerd"])
        .arg(parts.packages.join("usr/sbin/dockerd"))
        .arg("--config-file")
        .arg(&configuration)
        .env("PATH", parts.search_path())
        .env_remove("DOCKER_HOST")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out);
    let mut child = dockerd.spawn().context("start dockerd")?;
    let begun = Instant::now();
    while !succeeds(docker(state, parts).args(["version", "--format", "{{.Server.Version}}"])) {
        if let Some(status) = child.try_wait()? {
            bail!("dockerd ended with {status}\n{}", tail(&log));
        }
        if begun.elapsed() > ANSWERS_WITHIN {
            bail!("dockerd does not answer after {} s\n{}", ANSWERS_WITHIN.as_secs(), tail(&log));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn configured(state: &State, parts: &Parts) -> serde_json::Value {
    json!({
        "data-root": data(state),
        "exec-root": state.path("exec"),
        "pidfile": state.path("dockerd.pid"),
        "hosts": [docker_host(state)],
        "storage-driver": "overlay2",
        "default-runtime": "quorate",
        "runtimes": {"quorate": {"path": parts.runtime}},
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": format!("/{}", cgroups::NODES),
        "userland-proxy-path": parts.packages.join("usr/sbin/docker-proxy"),
        "bip": BRIDGE,
        "default-address-pools": [{"base": NODES, "size": 24}],
        "log-driver": "json-file",
    })
}

/// Where images and containers lie.
#[must_use]
pub(crate) fn data(state: &State) -> PathBuf {
    state.path("data")
}

/// Starts `program` in the engine's group, so that it ends with the cluster at the latest.
///
/// # Errors
/// When there is no such group.
pub(crate) fn in_group(program: &Path) -> Result<Command> {
    let mut command = command(&["sh", "-c", IN_GROUP]);
    command.arg(cgroups::engine()?).arg(program);
    Ok(command)
}
