//! Programs built from Go modules. A folder of ours with a `go.mod` and `go.sum` pins each; what is built is cached
//! outside the checkout, keyed by everything in that folder.

use crate::tree;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A module and what is built of it.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its folder below `tests/`.
    pub folder: &'static str,
    /// What the cache calls it.
    pub name: &'static str,
    /// Linker flags besides `-s -w`.
    pub flags: &'static str,
}

impl Module {
    /// The program `name` of this module's `package`, built now if the cache does not have it.
    ///
    /// # Errors
    /// When Go is missing or the build fails.
    pub fn program(&self, package: &str, name: &str) -> Result<PathBuf> {
        let binary = self.cached()?.join(name);
        if !binary.exists() {
            self.build(package, &binary)?;
        }
        Ok(binary)
    }

    /// The folder of the cache that holds this module's programs.
    ///
    /// # Errors
    /// When the module cannot be read or there is no cache.
    pub fn cached(&self) -> Result<PathBuf> {
        Ok(tree::cache()?.join(format!("{}-{}", self.name, self.fingerprint()?)))
    }

    /// Changes when anything in the module does.
    ///
    /// # Errors
    /// When the module cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        fingerprint(&self.source())
    }

    fn source(&self) -> PathBuf {
        tree::root().join("tests").join(self.folder)
    }

    /// Builds under another name and renames, so that a build cut short leaves nothing that looks whole.
    fn build(&self, package: &str, binary: &Path) -> Result<()> {
        eprintln!("building {package} (once; minutes on two cores)");
        let begun = Instant::now();
        fs::create_dir_all(binary.parent().context("a binary lies in a folder")?)?;
        let partial = binary.with_extension(format!("partial-{}", std::process::id()));
        let status = Command::new("go")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &format!("-s -w {}", self.flags), "-o"])
            .args([partial.as_os_str(), package.as_ref()])
            .env("CGO_ENABLED", "0")
            .current_dir(self.source())
            .status()
            .context("run go: what tests need and no package has is built from Go modules; install Go 1.26")?;
        ensure!(status.success(), "go build {package} failed");
        fs::rename(&partial, binary)?;
        eprintln!("built {package} ({:.0} s)", begun.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The folder of a module of the Go module cache that `module` requires, downloaded now if it is not there.
///
/// # Errors
/// When it cannot be downloaded.
pub fn source_of(module: &Module, path: &str) -> Result<PathBuf> {
    let answer = Command::new("go")
        .args(["mod", "download", "-json", path])
        .current_dir(module.source())
        .output()
        .context("run go")?;
    let complaint = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "go mod download {path} ended with {}: {complaint}", answer.status);
    let said: Value = serde_json::from_slice(&answer.stdout).context("read what go mod download says")?;
    let folder = said["Dir"].as_str().with_context(|| format!("go mod download names no folder of {path}: {said}"))?;
    Ok(PathBuf::from(folder))
}

/// Of a file, or of everything in a folder in the order of names.
///
/// # Errors
/// When something in it cannot be read.
pub fn fingerprint(path: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    hash(path, &mut hasher)?;
    Ok(format!("{:016x}", hasher.finish()))
}

fn hash(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let read = || format!("read {}", path.display());
    if path.is_file() {
        fs::read(path).with_context(read)?.hash(hasher);
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(read)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().try_for_each(|path| hash(path, hasher))
}
