//! Where things are: the checkout, the caches outside it, the programs under test.

use anyhow::{Context, Result, ensure};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies one folder below the root").to_path_buf()
}

/// Cargo's target folder: where builds of this checkout go, and what tests leave for people to look at.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where builds that outlive a checkout are kept: `$XDG_CACHE_HOME/quorate`, or `~/.cache/quorate`.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    Ok(base.context("set HOME or XDG_CACHE_HOME: builds are cached there")?.join("quorate"))
}

/// The `quorate` binary as its users run it: `QUORATE_BIN`, or the release build of this tree, made now if need be.
///
/// # Errors
/// When the build fails.
pub fn quorate() -> Result<PathBuf> {
    if let Some(given) = env::var_os("QUORATE_BIN") {
        return Ok(PathBuf::from(given));
    }
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--package", "quorate"])
        .current_dir(root())
        .status()
        .context("run cargo build")?;
    ensure!(built.success(), "cargo build --release --package quorate failed");
    Ok(target().join("release/quorate"))
}
