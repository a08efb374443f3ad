//! Where things are: the checkout, the caches outside it, the programs under test.

use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("the package lies two folders below the root").to_path_buf()
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

/// What Cargo sets for the package whose test or program it runs.
const OF_A_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Cargo, as from a shell.
#[must_use]
pub fn cargo() -> Command {
    apart(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program that may run cargo in its turn, as from a shell. Cargo names the package that it runs to a program or a
/// test; build scripts that ask for such a name, ring's first, would be run again for it, and what stands on them built
/// again, back and forth with every step.
#[must_use]
pub fn apart(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if OF_A_PACKAGE.iter().any(|of| name.to_string_lossy().starts_with(of)) {
            command.env_remove(name);
        }
    }
    command
}

/// The `quorate` binary: `QUORATE_BIN`, or the one of this tree, built now if need be. It is built as whoever asks was
/// built (benchmarks as users build it, tests with every assertion on), so that both share what they depend on.
///
/// # Errors
/// When the build fails.
pub fn quorate() -> Result<PathBuf> {
    if let Some(given) = env::var_os("QUORATE_BIN") {
        return Ok(PathBuf::from(given));
    }
    let program = env::current_exe().context("find this program")?;
    let folder = program.parent().context("a program lies in a folder")?;
    // Which packages are selected, and whether a test is among what is built, decides about the features of what they
    // depend on: with another selection than the asking program's, half of that would be built again.
    let (folder, selection) = match folder.parent().filter(|_| folder.ends_with("deps")) {
        Some(above) => (above, &["--workspace", "--features", "tests/kubernetes", "--test", "cluster"][..]),
        None => (folder, &["--package", "quorate", "--package", "tests"][..]),
    };
    let profile = match folder.file_name().and_then(OsStr::to_str).context("a profile has a folder of its name")? {
        "debug" => "dev",
        name => name,
    };
    let built = cargo()
        .args(["build", "--quiet", "--locked", "--profile", profile, "--bin", "quorate"])
        .args(selection)
        .current_dir(root())
        .status()
        .context("run cargo build")?;
    ensure!(built.success(), "cargo build --profile {profile} --package quorate failed");
    Ok(folder.join("quorate"))
}
