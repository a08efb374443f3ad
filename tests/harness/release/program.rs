//! Static builds, made when they are needed.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Instant;
use verify::programs::StaticBuild;

/// The static release build of a binary of `package`.
///
/// # Errors
/// When cargo fails.
pub fn static_program(package: &str, binary: &str) -> Result<PathBuf> {
    let (StaticBuild { mut command, program }, begun) = (StaticBuild::of(package, binary)?, Instant::now());
    eprintln!("building {binary} statically (minutes when the cache is empty, seconds when nothing has changed)");
    ensure!(command.status().context("run cargo rustc")?.success(), "cargo rustc --package {package} failed");
    eprintln!("{binary} is built after {:.0} s", begun.elapsed().as_secs_f64());
    Ok(program)
}
