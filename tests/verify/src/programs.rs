//! Static builds of this workspace's programs: glibc linked in, since an image has no library to load.

use crate::tree;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// What images hold: packages and their binaries.
pub const PROGRAMS: [(&str, &str); 2] = [("quorate", "quorate"), ("quorate-operator", "quorate-operator")];

/// A release build of a binary that needs nothing but a kernel.
#[derive(Debug)]
pub struct StaticBuild {
    /// What makes it; it prints errors only.
    pub command: Command,
    /// Where it is then: in the cache, so that a fresh checkout builds only what is its own.
    pub program: PathBuf,
}

impl StaticBuild {
    /// Of this binary.
    ///
    /// # Errors
    /// When there is no cache, or what another checkout has built there cannot be removed.
    pub fn of(package: &str, binary: &str) -> Result<Self> {
        let target = tree::cache()?.join("static");
        tree::take_over(&target)?;
        let mut command = tree::cargo();
        command
            .args(["rustc", "--quiet", "--locked", "--release", "--package", package, "--bin", binary, "--target-dir"])
            .arg(&target)
            .args(["--", "-C", "target-feature=+crt-static"])
            // What a test build was given is not for what users run.
            .env_remove("RUSTFLAGS")
            .current_dir(tree::root());
        Ok(Self { command, program: target.join("release").join(binary) })
    }
}
