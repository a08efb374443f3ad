//! What later steps link or load is compiled ahead of them: from empty caches that takes twenty minutes, and the steps
//! before leave a core idle now and then.
//!
//! * It only fills caches, at the lowest priority, and nothing depends on it: whoever needs a program builds it, or waits
//!   for the build under way.
//! * It leaves out Go modules whose programs are cached already, as a folder `NAME-...` of the cache beside the checkout.
//! * It ends when it is dropped.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use verify::programs::{PROGRAMS, StaticBuild};
use verify::tree;

/// Where modules with programs of Kubernetes and of what it is made of lie; the largest comes first.
const MODULES: &[&str] = &[
    "kind/go/kubernetes",
    "kind/go/containerd",
    "peer/etcd",
    "kind/go/kind",
    "kind/go/coredns",
    "kind/go/node",
    "kind/go/versitygw",
    "kind/go/helm",
];

/// In each folder: the packages of the module itself, or those of the tools that it names.
const COMPILE: &str = "for folder; do cd \"$folder\" && \
    if grep -q '^tool' go.mod; then packages=tool; else packages=./...; fi; \
    nice -n 19 go list -export -deps -trimpath \"$packages\"; done";

/// Compiling, until it is dropped.
pub(crate) struct Ahead(Vec<Child>);

impl Ahead {
    /// Begins with Go packages, if there is anything to compile.
    pub(crate) fn go() -> Self {
        let folders: Vec<PathBuf> = MODULES
            .iter()
            .filter(|module| !is_cached(module))
            .map(|module| tree::root().join("tests").join(module))
            .collect();
        if folders.is_empty() {
            return Self(Vec::new());
        }
        let mut shell = tree::apart("sh");
        shell.args(["-c", COMPILE, "ahead"]).args(folders).env("CGO_ENABLED", "0");
        Self(begin(&mut shell).into_iter().collect())
    }

    /// Begins with the programs of images. Cargo lets one after the other have their folder.
    pub(crate) fn programs() -> Self {
        let builds = PROGRAMS.iter().filter_map(|(package, binary)| StaticBuild::of(package, binary).ok());
        Self(builds.filter_map(|build| begin(&mut patient(&build.command))).collect())
    }
}

/// The same at the lowest priority.
fn patient(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        nice.current_dir(folder);
    }
    nice
}

/// In a process group of its own, which is what ends with it.
fn begin(command: &mut Command) -> Option<Child> {
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for child in &mut self.0 {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
    }
}

/// Whether programs of a module are in the cache.
fn is_cached(module: &str) -> bool {
    let name = Path::new(module).file_name().map(|name| format!("{}-", name.to_string_lossy())).unwrap_or_default();
    let entries = tree::cache().map(fs::read_dir);
    entries
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with(&name))
}
