//! Object storage behind one narrow door: whole objects in, whole objects or ranges out, nothing half-written is ever seen.
//!
//! ```text
//!   snapshots, backups ──▶ dyn ObjectStore ──▶ Retrying ──▶ Directory   the embedded default: atomic renames on one disk
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`Location`] | where the objects are, from `dir:/path` or `s3://bucket/prefix?...` |
//! | [`ObjectStore`] | the door: put, put if absent, get, head, list, delete |
//! | [`ObjectName`] | the only names there are: no `..`, nothing hidden, nothing that needs an escape |
//! | [`Error`] | what went wrong, as what the caller can do |
//! | [`Directory`] | objects as files |
//! | [`Retrying`], [`Paced`] | what goes around a store: patience with jitter, a limit of bytes per second |
//!
//! The store is not trusted for integrity: who reads compares a digest that came another way.

mod directory;
mod error;
mod location;
mod name;
mod paced;
mod retrying;
mod store;

pub use directory::Directory;
pub use error::Error;
pub use location::{Addressing, Bucket, Checksums, Creation, Encryption, Location};
pub use name::{BadName, ObjectName, Prefix};
pub use paced::{Paced, Throttle};
pub use retrying::{Patience, Retrying};
pub use store::{Attributes, Cursor, LIST_PAGE_OBJECTS_MAX, Listed, ObjectStore, Page};
