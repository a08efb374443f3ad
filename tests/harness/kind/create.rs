//! `kind create cluster`, bounded, and the logs of one that failed.

use super::command::{command, output, run};
use super::own;
use super::state::{NAME, State};
use crate::tree;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// 35 s on two idle cores with the image there, almost three minutes on two that twenty others use. A kubelet that cannot
/// start costs kind four minutes and more.
const CREATED_WITHIN: Duration = Duration::from_secs(420);
/// Pulling the node image as well.
const PULLED_WITHIN: Duration = Duration::from_secs(900);
const LOGS_WITHIN: Duration = Duration::from_secs(60);

/// The name of the image that is made here.
pub(crate) fn node_image() -> String {
    own::node_image()
}

/// Creates it. Nodes that fail are retained, so that their logs can be read. `kind` makes a command of kind.
///
/// # Errors
/// When kind fails or takes too long.
pub(crate) fn cluster(state: &State, kind: impl Fn() -> Result<Command>, image: Option<&str>) -> Result<()> {
    let mut create = kind()?;
    create.args(["create", "cluster", "--name", NAME, "--retain", "--config"]);
    create.arg(tree::root().join("tests/kind/cluster.yaml"));
    if let Some(image) = image {
        create.args(["--image", image]);
    }
    let within = if image.is_some() { CREATED_WITHIN } else { PULLED_WITHIN };
    run(&mut create, &state.log("kind-create"), within).inspect_err(|_| {
        if let Err(error) = kind().and_then(|kind| export_logs(state, kind)) {
            eprintln!("kind: the nodes' logs cannot be had: {error:#}");
        }
    })
}

fn export_logs(state: &State, mut kind: Command) -> Result<()> {
    kind.args(["export", "logs", "--name", NAME]).arg(state.path("logs/nodes"));
    run(&mut kind, &state.log("kind-export"), LOGS_WITHIN)
}

/// Lets the configuration point at an address that this machine reaches.
///
/// # Errors
/// When it cannot be changed.
pub(crate) fn point_at(kubeconfig: &Path, server: &str) -> Result<()> {
    let cluster = format!("kind-{NAME}");
    let mut set = Command::new(kubeconfig.with_file_name("bin").join("kubectl"));
    set.args(["config", "set-cluster", &cluster, "--server", server]).env("KUBECONFIG", kubeconfig);
    output(&mut set).map(drop)
}

/// Moves the logs to where the next start does not remove them: below the target folder.
pub(crate) fn keep_logs(state: &State) -> PathBuf {
    let kept = tree::target().join("kind-logs");
    let copy = || -> Result<()> {
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir_all(&kept)?;
        output(command(&["cp", "-r"]).arg(state.path("logs/.")).arg(&kept)).map(drop).context("copy the logs")
    };
    match copy() {
        Ok(()) => kept,
        Err(error) => {
            eprintln!("kind: {error:#}");
            state.path("logs")
        }
    }
}
