//! Static builds of this workspace's programs: glibc linked in, since an image has no library to load.

use crate::tree;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Instant;

/// The release build of a binary of `package`, needing nothing but a kernel. Its target folder lies in the
/// cache, so that a fresh checkout builds only what is its own.
///
/// # Errors
/// When cargo fails.
pub fn static_program(package: &str, binary: &str) -> Result<PathBuf> {
    let (target, begun) = (tree::cache()?.join("static"), Instant::now());
    tree::take_over(&target)?;
    eprintln!("building {binary} statically (minutes when the cache is empty, seconds when nothing has changed)");
    let built = tree::cargo()
        .args(["rustc", "--quiet", "--locked", "--release", "--package", package, "--bin", binary, "--target-dir"])
        .arg(&target)
        .args(["--", "-C", "target-feature=+crt-static"])
        // What a test build was given is not for what users run.
        .env_remove("RUSTFLAGS")
        .current_dir(tree::root())
        .status()
        .context("run cargo rustc")?;
    ensure!(built.success(), "cargo rustc --package {package} failed");
    eprintln!("{binary} is built after {:.0} s", begun.elapsed().as_secs_f64());
    Ok(target.join("release").join(binary))
}
