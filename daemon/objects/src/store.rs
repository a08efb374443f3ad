//! The door: what every object store can do, and no more.

use crate::{Error, ObjectName, Prefix};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

/// The most objects one [`Page`] lists. It is S3's own bound.
pub const LIST_PAGE_OBJECTS_MAX: usize = 1_000;

/// Whole objects by name. Safe to call from any task, any number at a time; each call ends within a time that depends
/// only on the number of bytes asked for, whatever the other side does.
///
/// * An object is seen whole or not at all; a put that failed may still have taken place.
/// * Once a put returned, every later get, head and list sees it.
/// * A call that is dropped leaves either nothing or the whole object.
#[async_trait]
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Writes an object, over an older one of that name.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Denied`], [`Error::Unavailable`], [`Error::Protocol`].
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error>;

    /// Writes an object only if there is none of that name: of several writers exactly one succeeds.
    ///
    /// # Errors
    /// [`Error::Exists`] for the losers, and those of [`ObjectStore::put`].
    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error>;

    /// Reads a whole object of at most `bytes_max` bytes, so that a lying store cannot fill the memory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`] if it is larger, [`Error::Denied`], [`Error::Unavailable`].
    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error>;

    /// Reads exactly the bytes `range` of an object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::get`]; [`Error::Corrupt`] also if the object ends before the range does.
    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error>;

    /// What is known of an object without reading it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, [`Error::Denied`], [`Error::Unavailable`].
    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error>;

    /// Objects whose names start with `prefix`, in the order of their names, a page at a time. Objects put or deleted
    /// meanwhile may or may not be listed.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Unavailable`], [`Error::Protocol`].
    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error>;

    /// Removes an object. One that is not there is removed already.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Unavailable`].
    async fn delete(&self, name: &ObjectName) -> Result<(), Error>;
}

/// What is known of an object without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its length.
    pub bytes: u64,
    /// When it was last written, on the store's clock, to a second.
    pub modified: SystemTime,
}

/// One object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// The rest.
    pub attributes: Attributes,
}

/// Where the next page begins: the last name that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(crate) String);

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`LIST_PAGE_OBJECTS_MAX`] objects, in the order of their names. What lies under the prefix and has no
    /// [`ObjectName`] is not ours, and left out.
    pub objects: Vec<Listed>,
    /// Where to go on; none if this was the last page. A page without objects may still have a next.
    pub next: Option<Cursor>,
}
