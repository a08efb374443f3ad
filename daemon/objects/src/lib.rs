//! Object storage behind one narrow door: whole objects in, whole objects or ranges out.
//!
//! ```text
//!   snapshots, backups ──▶ dyn ObjectStore ──▶ Retrying ──▶ Directory   the embedded default: atomic renames on one disk
//!                                                     └───▶ S3          aws-sdk-s3 over rustls and ring
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`Location`] | where the objects are, from `dir:/path` or `s3://bucket/prefix?...` |
//! | [`ObjectStore`] | the door: put, put if absent, get, head, list, delete |
//! | [`ObjectName`] | the only names there are: no `..`, nothing hidden, nothing that needs an escape |
//! | [`Error`] | what went wrong, as what the caller can do |
//! | [`Directory`], [`S3`] | the two stores |
//! | [`Retrying`], [`Paced`] | what goes around a store: patience with jitter, a limit of bytes per second |
//!
//! Start with [`open`]. The store is not trusted for integrity: who reads compares a digest that came another way.

mod directory;
mod error;
mod location;
mod name;
mod paced;
mod retrying;
mod s3;
mod store;

pub use directory::Directory;
pub use error::Error;
pub use location::{Addressing, Bucket, Checksums, Creation, Encryption, Location};
pub use name::{BadName, ObjectName, Prefix};
pub use paced::{Paced, Throttle};
pub use retrying::{Patience, Retrying};
pub use s3::{Limits, S3};
pub use store::{Attributes, Cursor, LIST_PAGE_OBJECTS_MAX, Listed, ObjectStore, Page};

use std::sync::Arc;

/// Opens the store at `location`, with the usual patience around it.
///
/// # Errors
/// [`Error::Config`] if the location cannot be used as it is written; for a directory also what the disk says.
/// An S3 endpoint is not contacted: whether it answers shows at the first request.
pub async fn open(location: &Location) -> Result<Arc<dyn ObjectStore>, Error> {
    Ok(match location {
        Location::Directory(path) => Arc::new(Directory::open(path).await?),
        Location::S3(bucket) => {
            Arc::new(Retrying::new(S3::open(bucket, Limits::default()).await?, Patience::default()))
        }
    })
}
