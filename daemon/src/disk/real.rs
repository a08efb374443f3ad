//! The operating system's disk: positional reads and vectored writes, fdatasync, and a directory that is claimed.

use super::claim::{ClaimError, DirectoryClaim, LOCK_FILE, PRIVATE_FILE};
use super::{Disk, File};
use rustix::fs::Advice;
use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most parts the kernel takes in one call (IOV_MAX on Linux).
const PARTS_PER_WRITE_MAX: usize = 1024;

/// A directory of the file system.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    right: Right,
}

/// What this process may do in a directory.
#[derive(Debug)]
enum Right {
    /// It has claimed the directory, and holds it as long as this lives.
    Claimed { _claim: DirectoryClaim },
    /// It has claimed the directory elsewhere.
    Within,
    /// Someone else may be writing, and the directory is only looked at.
    Look,
}

struct RealFile(fs::File);

impl RealDisk {
    /// Claims a directory, creating it if need be.
    ///
    /// # Errors
    /// [`ClaimError`] when it is open to others, in use, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, ClaimError> {
        Ok(Self { path: path.to_owned(), right: Right::Claimed { _claim: DirectoryClaim::take(path)? } })
    }

    /// A directory that this process has claimed already, and holds for as long as it uses this.
    pub(crate) fn within(path: &Path) -> Self {
        Self { path: path.to_owned(), right: Right::Within }
    }

    /// Looks at a directory without claiming it: files open for reading, and everything else is refused.
    #[must_use]
    pub fn read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), right: Right::Look }
    }

    fn may_write(&self) -> io::Result<()> {
        match self.right {
            Right::Claimed { .. } | Right::Within => Ok(()),
            Right::Look => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
        }
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not text is none of ours.
            if let Ok(name) = entry?.file_name().into_string()
                && name != LOCK_FILE
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.may_write()?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(PRIVATE_FILE).open(self.path.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let write = self.may_write().is_ok();
        let file = OpenOptions::new().read(true).write(write).open(self.path.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_write()?;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_write()?;
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }
}

impl File for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.0.read_at(&mut into[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        // One part is the common case: small records are gathered before they come here.
        if let [one] = parts {
            return self.0.write_all_at(one, at);
        }
        let mut parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).copied().collect();
        let (mut left, mut at) = (&mut parts[..], at);
        while !left.is_empty() {
            let chunk = &left[..left.len().min(PARTS_PER_WRITE_MAX)];
            match rustix::io::pwritev(&self.0, chunk, at) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(count) => {
                    at += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_parts_land_in_order_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&directory.path().join("data")).unwrap();
        let file = disk.create("file").unwrap();
        let parts: Vec<Vec<u8>> =
            (0..2 * PARTS_PER_WRITE_MAX + 7).map(|n| vec![u8::try_from(n % 251).unwrap(); n % 13]).collect();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_at(5, &slices).unwrap();
        file.sync().unwrap();
        file.drop_cache().unwrap();
        let expected: Vec<u8> = [0; 5].into_iter().chain(parts.concat()).collect();
        let mut found = vec![0xff; expected.len() + 10];
        assert_eq!(file.read_at(0, &mut found).unwrap(), expected.len());
        assert_eq!(found[..expected.len()], expected[..]);
    }

    #[test]
    fn names_are_listed_without_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&directory.path().join("data")).unwrap();
        disk.create("b").unwrap();
        disk.create("a").unwrap();
        disk.rename("b", "c").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["a", "c"]);
        disk.remove("a").unwrap();
        assert_eq!(disk.list().unwrap(), ["c"]);
    }

    #[test]
    fn a_directory_that_is_only_looked_at_is_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let owner = RealDisk::open(&directory.path().join("data")).unwrap();
        owner.create("file").unwrap().write_at(0, &[IoSlice::new(b"seen")]).unwrap();
        let guest = RealDisk::read_only(&directory.path().join("data"));
        let mut seen = [0; 4];
        guest.open("file").unwrap().read_at(0, &mut seen).unwrap();
        assert_eq!(&seen, b"seen");
        assert!(guest.create("other").is_err());
        assert!(guest.remove("file").is_err());
        assert!(guest.rename("file", "other").is_err());
    }
}
