//! The narrow door to whatever keeps the rows: three ordered tables, a consistent view, an atomic durable commit.
//!
//! What the tables hold is written in [`crate::row`]; a backend only sees bytes.

use crate::error::Fault;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// One row for the whole store: applied index, revision and what else must move together with the data.
    Head,
    /// User key to the metadata of its newest version. Updated in place.
    Keys,
    /// Revision (12 bytes, big-endian, see [`REVISION_KEY_BYTES`]) to one version of one key. Written in order.
    Revisions,
}

/// The length of every key of [`Table::Revisions`]: main revision u64, place within it u32.
pub const REVISION_KEY_BYTES: usize = 12;

/// Which way to scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Greatest key first.
    Backward,
}

/// Keys from `start` up to and without `end`.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The first.
    pub start: &'a [u8],
    /// The one after the last; `None` goes to the end of the table.
    pub end: Option<&'a [u8]>,
}

impl Span<'_> {
    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }
}

/// Told each row of a scan; it says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault>;

/// The tables as one commit left them, whatever is committed later.
pub trait View: Send + Sync {
    /// Hands the row to `found` if there is one, and says whether there was.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    fn get(&self, table: Table, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<bool, Fault>;

    /// Hands the rows of the span to `visit`, in order, until it breaks.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails, or what `visit` returns.
    fn scan(&self, table: Table, span: Span<'_>, direction: Direction, visit: Visit<'_>) -> Result<(), Fault>;
}

/// What one commit changes.
pub trait Change {
    /// Writes one row.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Fault>;

    /// Removes one row; none is fine.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Fault>;
}

/// Keeps the tables. One writer at a time; views may be read meanwhile.
pub trait Backend: Send + Sync {
    /// The tables as of the last commit.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    fn view(&self) -> Result<Arc<dyn View>, Fault>;

    /// Makes all that `write` does visible and durable together, or nothing of it.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails, or what `write` returns; the tables are then unchanged.
    fn commit(&self, write: &mut dyn FnMut(&mut dyn Change) -> Result<(), Fault>) -> Result<(), Fault>;

    /// Bytes the storage occupies.
    fn allocated(&self) -> u64;
}
