//! The door to the disk: one flat directory of files, seen through the few calls whose order decides what a crash
//! leaves behind.
//!
//! * Nothing is durable before a sync: bytes and length of a file by [`File::sync`], names by [`Disk::sync_dir`].
//! * After a sync has failed nothing is known about what was written since the last good one. Nobody retries.
//! * [`real::RealDisk`] is the operating system's; [`sim::SimDisk`] is a disk in memory that can crash, lie and fill up.
//! * [`patient::PatientDisk`] is one of them whose writes wait for room.

pub mod claim;
pub mod patient;
pub mod real;
pub mod sim;

pub use claim::{ClaimError, DirectoryClaim};
pub use patient::{Patience, PatientDisk};
pub use real::RealDisk;
pub use sim::{Fate, SimDisk};

use std::io::{self, IoSlice};
use std::sync::Arc;

/// Whether something failed for lack of room only: on the disk, or of what its owner may take of it.
#[must_use]
pub fn is_full<T>(result: &io::Result<T>) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    result.as_ref().is_err_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}

/// A flat directory.
pub trait Disk: Send + Sync {
    /// The names in it, ascending.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file that must not exist yet.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::AlreadyExists`] when the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::NotFound`] when there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, in one step; a file that had that name is gone.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Open files stay readable.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every name given, changed and removed so far durable.
    ///
    /// # Errors
    /// What the disk says; the names are in doubt then.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Calls may come from several threads.
pub trait File: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn size(&self) -> io::Result<u64>;

    /// Sets its length; bytes that appear are zero.
    ///
    /// # Errors
    /// What the disk says.
    fn set_size(&self, bytes: u64) -> io::Result<()>;

    /// Reads from `at` until `into` is full or the file ends, and says how many bytes that was.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all the parts, one after the other, from `at` on.
    ///
    /// # Errors
    /// What the disk says; any part of it may have been written then.
    fn write_at(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Makes everything written so far durable, with the length that is needed to read it back.
    ///
    /// # Errors
    /// What the disk says; the bytes are in doubt then and stay so.
    fn sync(&self) -> io::Result<()>;

    /// Forgets what memory holds of the file, so that the next read comes from the disk itself: after a failed sync
    /// memory shows bytes that never reached it. Meaningful right after [`File::sync`].
    ///
    /// # Errors
    /// What the disk says.
    fn drop_cache(&self) -> io::Result<()>;
}
