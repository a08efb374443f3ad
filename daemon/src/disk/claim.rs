//! The right to a directory: created private, refused when others can look in, and held by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the file whose lock is the claim.
pub const LOCK_FILE: &str = "lock";

/// Only the owner may list, enter and change.
const PRIVATE_DIRECTORY: u32 = 0o700;
/// Only the owner may read and write.
pub(super) const PRIVATE_FILE: u32 = 0o600;
/// What group and others must not have.
const OTHERS: u32 = 0o077;

/// A directory that belongs to this process until this is dropped.
#[derive(Debug)]
pub struct DirectoryClaim {
    path: PathBuf,
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Group or others can read, list or change it.
    #[error("{path} has mode {mode:04o}: group and others must have no access, use chmod 700", path = .path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process holds it.
    #[error("{path} is in use by another process", path = .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl DirectoryClaim {
    /// Creates the directory with mode 0700 if there is none, and claims it.
    ///
    /// # Errors
    /// [`ClaimError`] when it is open to others, in use, or the disk fails.
    pub fn take(path: &Path) -> Result<Self, ClaimError> {
        let at = |source| ClaimError::Io { path: path.to_owned(), source };
        create_private(path).map_err(at)?;
        let mode = fs::metadata(path).map_err(at)?.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(ClaimError::NotPrivate { path: path.to_owned(), mode });
        }
        let lock = open_lock(path).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => {
                // What a killed process has renamed here may be in memory only. Whoever claims it relies on the names.
                File::open(path).and_then(|directory| directory.sync_all()).map_err(at)?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(ClaimError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(at(source)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE_FILE).open(path.join(LOCK_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_directory_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let claim = DirectoryClaim::take(&parent.path().join("data")).unwrap();
        assert_eq!(fs::metadata(claim.path()).unwrap().mode() & 0o7777, 0o700);
    }

    /// etcd took one as it was (TOB-ETCD-003, CVE-2020-15113).
    #[test]
    fn a_directory_open_to_group_or_others_is_refused() {
        for mode in [0o750, 0o701, 0o704, 0o770, 0o777] {
            let directory = tempfile::tempdir().unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            let refused = DirectoryClaim::take(directory.path());
            assert!(matches!(refused, Err(ClaimError::NotPrivate { mode: found, .. }) if found == mode), "{mode:o}");
        }
    }

    #[test]
    fn a_directory_is_held_by_one_and_free_again_after_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let held = DirectoryClaim::take(&path).unwrap();
        assert!(matches!(DirectoryClaim::take(&path), Err(ClaimError::InUse { .. })));
        drop(held);
        DirectoryClaim::take(&path).unwrap();
    }
}
