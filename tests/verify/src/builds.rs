//! Where a run builds: in the checkout as a developer does, or, where `CI` is set and each run has a checkout of its
//! own, in a folder of the cache that outlives it. Only this tree's own packages are built anew there.
//!
//! ```text
//!   ~/.cache/quorate/target-KEY     KEY: the lock file and the compiler, so that nothing of another set of them is kept
//! ```
//!
//! * The folder is never needed: cargo itself decides what of it still holds, and builds the rest. What another
//!   checkout has built of our own packages is not left to it.
//! * It stays bounded: sets that nobody asked for in a while go, and one that has grown too large is begun anew.

use anyhow::{Context, Result, ensure};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use verify::tree;

/// The folders' names begin with it.
const PREFIX: &str = "target-";
/// A set of dependencies that nobody asked for in this time is of an old tree.
const UNUSED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Dependencies and one build of this tree take 9 GiB; each checkout at another place adds its own packages.
const BYTES_MAX: u64 = 25 << 30;

/// The folder that cargo builds into, ready for use.
///
/// # Errors
/// When the cache cannot be reached.
pub(crate) fn target() -> Result<PathBuf> {
    if std::env::var_os("CARGO_TARGET_DIR").is_some() || std::env::var_os("CI").is_none() {
        return Ok(tree::target());
    }
    let (cache, name) = (tree::cache()?, format!("{PREFIX}{:016x}", key()?));
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    tidy(&cache, &name, SystemTime::now())?;
    let folder = cache.join(name);
    tree::take_over(&folder)?;
    fs::write(folder.join("used"), "")?;
    Ok(folder)
}

/// Of everything that decides whether a dependency's build can be used again.
fn key() -> Result<u64> {
    let lock = tree::root().join("Cargo.lock");
    let compiler = Command::new("rustc").arg("-vV").output().context("run rustc")?;
    ensure!(compiler.status.success(), "rustc -vV failed");
    let mut hasher = DefaultHasher::new();
    fs::read(&lock).with_context(|| lock.display().to_string())?.hash(&mut hasher);
    compiler.stdout.hash(&mut hasher);
    Ok(hasher.finish())
}

/// Removes what is of no use: other sets that were last used long ago, and the wanted one if it has grown too large.
fn tidy(cache: &Path, wanted: &str, now: SystemTime) -> Result<()> {
    for entry in fs::read_dir(cache).with_context(|| cache.display().to_string())? {
        let (folder, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        let useless = match name.as_ref() {
            name if !name.starts_with(PREFIX) => false,
            name if name == wanted => bytes(&folder)? > BYTES_MAX,
            _ => now.duration_since(last_used(&folder)).unwrap_or_default() > UNUSED_FOR,
        };
        if useless {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
    }
    Ok(())
}

/// One without a mark was never wholly made.
fn last_used(folder: &Path) -> SystemTime {
    fs::metadata(folder.join("used")).and_then(|mark| mark.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn bytes(folder: &Path) -> Result<u64> {
    fs::read_dir(folder)?.try_fold(0, |sum, entry| {
        let entry = entry?;
        let about = entry.metadata()?;
        Ok(sum + if about.is_dir() { bytes(&entry.path())? } else { about.len() })
    })
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, UNUSED_FOR, tidy};
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    fn set(cache: &Path, name: &str) {
        fs::create_dir_all(cache.join(name)).expect("a folder in a test's own");
        fs::write(cache.join(name).join("used"), "").expect("a file in a test's own folder");
    }

    #[test]
    fn only_sets_of_old_trees_go() {
        let cache = std::env::temp_dir().join(format!("quorate-builds-{}", std::process::id()));
        let (wanted, other) = (format!("{PREFIX}1"), format!("{PREFIX}2"));
        [wanted.as_str(), other.as_str(), "static"].iter().for_each(|name| set(&cache, name));
        let there = |name: &str| cache.join(name).exists();

        tidy(&cache, &wanted, SystemTime::now()).expect("the cache is there");
        assert!(there(&other), "another tree's is in use");
        let later = SystemTime::now() + UNUSED_FOR + Duration::from_secs(1);
        tidy(&cache, &wanted, later).expect("the cache is there");
        assert!(there(&wanted) && there("static") && !there(&other));
        fs::remove_dir_all(cache).expect("a test's own folder");
    }
}
