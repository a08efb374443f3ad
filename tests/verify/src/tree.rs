//! Where things are: the checkout, the caches outside it, the programs under test.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::env;
use std::ffi::OsStr;
use std::fs;
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

/// Makes a target folder that several checkouts share this checkout's: what it holds of our own packages from another
/// one is forgotten. Cargo tells fresh from stale by the times of files whose paths it knows from the root on, so it
/// would take what another checkout has built for ours, if that was later than our files.
///
/// # Errors
/// When cargo does not tell the packages, or something cannot be removed.
pub fn take_over(target: &Path) -> Result<()> {
    let (mark, here) = (target.join("checkout"), root().display().to_string());
    if fs::read_to_string(&mark).is_ok_and(|whose| whose == here) {
        return Ok(());
    }
    let ours = packages()?;
    let folders = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for fingerprint in folders(target).flat_map(|profile| folders(&profile.join(".fingerprint")).collect::<Vec<_>>()) {
        let name = fingerprint.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.rsplit_once('-').is_some_and(|(package, _)| ours.iter().any(|name| name == package)) {
            fs::remove_dir_all(&fingerprint).with_context(|| fingerprint.display().to_string())?;
        }
    }
    fs::create_dir_all(target)?;
    fs::write(&mark, here).with_context(|| mark.display().to_string())
}

/// The names of this tree's own packages.
fn packages() -> Result<Vec<String>> {
    let said = metadata()?;
    let names = said["packages"].as_array().into_iter().flatten().filter_map(|package| package["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// What cargo says of this tree's own packages.
///
/// # Errors
/// When cargo fails.
pub fn metadata() -> Result<Value> {
    let asked = ["metadata", "--no-deps", "--format-version", "1"];
    let output = cargo().args(asked).current_dir(root()).output().context("run cargo")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("read cargo metadata")
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

#[cfg(test)]
mod tests {
    use super::{root, take_over};
    use std::{env, fs};

    #[test]
    fn what_another_checkout_has_built_of_our_packages_is_forgotten_once() {
        let target = env::temp_dir().join(format!("quorate-take-over-{}", std::process::id()));
        let fingerprint = |name: &str| target.join("sim/.fingerprint").join(name);
        let names = ["verify-0123456789abcdef", "serde-0123456789abcdef", "verify-more-0123456789abcdef"];
        let make = || names.iter().for_each(|name| fs::create_dir_all(fingerprint(name)).expect("a test's own folder"));
        let there = || names.map(|name| fingerprint(name).exists());

        make();
        fs::write(target.join("checkout"), "/elsewhere").expect("a test's own folder");
        take_over(&target).expect("cargo is there");
        assert_eq!(there(), [false, true, true]);
        assert_eq!(fs::read_to_string(target.join("checkout")).expect("a mark"), root().display().to_string());
        make();
        take_over(&target).expect("cargo is there");
        assert_eq!(there(), [true; 3], "it is ours already");
        fs::remove_dir_all(target).expect("a test's own folder");
    }
}
