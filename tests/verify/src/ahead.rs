//! Go packages are compiled ahead of the steps that link them: from an empty cache that takes ten minutes, and the steps
//! before leave a core idle now and then.
//!
//! * It only fills Go's own cache, at the lowest priority, and nothing depends on it: whoever needs a program builds it.
//! * It leaves out modules whose programs are cached already, as a folder `NAME-...` of the cache beside the checkout.
//! * It ends when it is dropped.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
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
pub(crate) struct Ahead(Option<Child>);

impl Ahead {
    /// Begins, if there is anything to compile.
    pub(crate) fn start() -> Self {
        let folders: Vec<PathBuf> = MODULES
            .iter()
            .filter(|module| !is_cached(module))
            .map(|module| tree::root().join("tests").join(module))
            .collect();
        if folders.is_empty() {
            return Self(None);
        }
        let mut shell = tree::apart("sh");
        shell.args(["-c", COMPILE, "ahead"]).args(folders).env("CGO_ENABLED", "0").process_group(0);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().ok())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let Some(child) = &mut self.0 else { return };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
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
