//! etcd 3.7.3 and etcd's own load generator, built from their Go modules (`tests/peer/*/go.mod` and `go.sum` pin them)
//! into a cache keyed by those files.

use crate::tree;
use anyhow::{Context, Result, ensure};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The etcd server.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn etcd() -> Result<PathBuf> {
    built("etcd", "go.etcd.io/etcd/server/v3", "server")
}

/// The `etcdctl` of the same release.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn etcdctl() -> Result<PathBuf> {
    built("etcd", "go.etcd.io/etcd/etcdctl/v3", "etcdctl")
}

/// etcd's load generator, `benchmark`.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn benchmark() -> Result<PathBuf> {
    built("load", "go.etcd.io/etcd/v3/tools/benchmark", "benchmark")
}

fn built(module: &str, package: &str, program: &str) -> Result<PathBuf> {
    let source = tree::root().join("tests/peer").join(module);
    let folder = tree::cache()?.join(format!("{module}-{}", fingerprint(&source)?));
    let binary = folder.join(program);
    if !binary.exists() {
        build(&source, package, &binary)?;
    }
    Ok(binary)
}

/// Builds under another name and renames, so that a build cut short leaves nothing that looks whole.
fn build(source: &Path, package: &str, binary: &Path) -> Result<()> {
    eprintln!("building {package} (about a minute, once)");
    fs::create_dir_all(binary.parent().context("a binary lies in a folder")?)?;
    let partial = binary.with_extension(format!("partial-{}", std::process::id()));
    let status = Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o"])
        .args([partial.as_os_str(), package.as_ref()])
        .env("CGO_ENABLED", "0")
        .current_dir(source)
        .status()
        .context("run go: the peers we are measured against are built from Go modules")?;
    ensure!(status.success(), "go build {package} failed");
    fs::rename(&partial, binary)?;
    Ok(())
}

fn fingerprint(source: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in ["go.mod", "go.sum"] {
        fs::read(source.join(file)).with_context(|| format!("read {file} in {}", source.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
