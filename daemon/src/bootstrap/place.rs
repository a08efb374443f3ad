//! The data directory as the keeper of the identity file.

use super::file::IdentityFile;
use super::{BootstrapError, IDENTITY_FILE};
use crate::disk::{Disk, RealDisk};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A data directory, which this process has claimed. A cheap clone.
#[derive(Clone)]
pub struct Place {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Place {
    /// This directory; `path` is what people call it.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self { disk, path: path.to_owned() }
    }

    /// A directory of the file system that this process holds already.
    #[must_use]
    pub(crate) fn claimed(path: &Path) -> Self {
        Self::new(Arc::new(RealDisk::within(path)), path)
    }

    pub(super) fn read(&self) -> Result<Option<IdentityFile>, BootstrapError> {
        IdentityFile::read(&*self.disk).map_err(|source| self.failed(source))
    }

    pub(super) fn write(&self, file: &IdentityFile) -> Result<(), BootstrapError> {
        file.write(&*self.disk).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> BootstrapError {
        let path = self.path.join(IDENTITY_FILE);
        match source.kind() {
            io::ErrorKind::InvalidData => BootstrapError::Damaged { path, why: source.to_string() },
            _ => BootstrapError::Io { path, source },
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.path.display())
    }
}
