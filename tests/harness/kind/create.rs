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

/// 35 s on two idle cores, with the image there. A kubelet that cannot start would cost kind four minutes and more.
const CREATED_WITHIN: Duration = Duration::from_secs(240);
/// Pulling the node image as well.
const PULLED_WITHIN: Duration = Duration::from_secs(900);
const LOGS_WITHIN: Duration = Duration::from_secs(60);

/// The name of the image that is made here.
pub(crate) fn node_image() -> String {
    own::node_image()
}

/// Creates it. Nodes that fail are retained, so that their logs can be read.
///
/// # Errors
/// When kind fails or takes too long.
pub(crate) fn cluster(state: &State, kind: &mut Command, image: Option<&str>) -> Result<()> {
    let configuration = tree::root().join("tests/kind/cluster.yaml");
    let mut export = again(kind);
    kind.args(["create", "cluster", "--name", NAME, "--retain", "--config"]).arg(configuration);
    if let Some(image) = image {
        kind.args(["--image", image]);
    }
    let within = if image.is_some() { CREATED_WITHIN } else { PULLED_WITHIN };
    run(kind, &state.log("kind-create"), within).inspect_err(|_| {
        export.args(["export", "logs", "--name", NAME]).arg(state.path("logs/nodes"));
        if let Err(error) = run(&mut export, &state.log("kind-export"), LOGS_WITHIN) {
            eprintln!("kind: the nodes' logs cannot be had: {error:#}");
        }
    })
}

fn again(other: &Command) -> Command {
    let mut command = Command::new(other.get_program());
    command.envs(other.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
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
