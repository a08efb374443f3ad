//! A value made from files, made anew when one of them changes.
//!
//! The stamps are taken before the files are read, so a change during the reading is seen the next time. A stamp names
//! the file behind links (inode), its size and its times: a mounted Secret is swapped by moving a link.

use super::{Shown, TlsProblem};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{info, warn};

type Build<T> = Box<dyn Fn() -> Result<T, TlsProblem> + Send + Sync>;

/// What handshakes speak, and the certificates in it.
pub(super) struct Made<C> {
    pub(super) config: Arc<C>,
    /// None where none is shown.
    pub(super) shown: Option<Shown>,
}

pub(super) struct Reloading<T> {
    files: Vec<PathBuf>,
    build: Build<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    stamps: Vec<Option<Stamp>>,
    current: Arc<T>,
}

#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl<T> Reloading<T> {
    /// # Errors
    /// What `build` says; later failures are only logged.
    pub(super) fn new(
        files: Vec<PathBuf>,
        build: impl Fn() -> Result<T, TlsProblem> + Send + Sync + 'static,
    ) -> Result<Self, TlsProblem> {
        let stamps = stamps(&files);
        let current = Arc::new(build()?);
        Ok(Self { files, build: Box::new(build), state: Mutex::new(State { stamps, current }) })
    }

    /// The value for what the files hold now, or the last good one.
    pub(super) fn current(&self) -> Arc<T> {
        let stamps = stamps(&self.files);
        // The state is whole between any two lines below, so a panic elsewhere does not spoil it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamps != stamps {
            state.stamps = stamps;
            match (self.build)() {
                Ok(value) => {
                    info!(files = ?self.files, "reloaded TLS files");
                    state.current = Arc::new(value);
                }
                Err(error) => warn!(%error, "could not reload TLS files, going on with the last good ones"),
            }
        }
        Arc::clone(&state.current)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| fs::metadata(file).ok().map(|meta| stamp(&meta))).collect()
}

fn stamp(meta: &fs::Metadata) -> Stamp {
    Stamp {
        inode: meta.ino(),
        bytes: meta.size(),
        modified_ns: (meta.mtime(), meta.mtime_nsec()),
        changed_ns: (meta.ctime(), meta.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(path: PathBuf) -> Reloading<String> {
        let at = path.clone();
        Reloading::new(vec![path], move || match fs::read_to_string(&at).unwrap() {
            text if text.contains("bad") => Err(TlsProblem::Unusable(text)),
            text => Ok(text),
        })
        .unwrap()
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert");
        fs::write(&path, "one").unwrap();
        let value = reading(path.clone());
        let first = value.current();
        assert!(Arc::ptr_eq(&first, &value.current()));
        fs::write(&path, "two").unwrap();
        assert_eq!(*value.current(), "two");
        assert_eq!(*first, "one", "whoever holds the old one keeps it");
    }

    #[test]
    fn a_bad_change_leaves_the_last_good_value_until_the_next_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert");
        fs::write(&path, "good").unwrap();
        let value = reading(path.clone());
        fs::write(&path, "bad!").unwrap();
        assert_eq!(*value.current(), "good");
        fs::write(&path, "better").unwrap();
        assert_eq!(*value.current(), "better");
    }

    #[test]
    fn a_swapped_link_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert");
        fs::write(dir.path().join("a"), "1").unwrap();
        fs::write(dir.path().join("b"), "2").unwrap();
        std::os::unix::fs::symlink("a", &path).unwrap();
        let value = reading(path.clone());
        std::os::unix::fs::symlink("b", dir.path().join("new")).unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(*value.current(), "2");
    }
}
