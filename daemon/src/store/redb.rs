//! The three tables in one redb file. Every commit is durable when it returns and atomic through a crash; the file
//! is usable at once after one, as commits carry the allocator's state with them.
//!
//! What has rotted is never served. redb does not look at the checksums of its pages when it reads them, so all of them
//! are checked when the file is opened, and every row carries one of its own:
//!
//! ```text
//!   row   value │ crc32c u32 of key and value, little-endian
//! ```

use super::STATE_FILE;
use super::file::DiskFile;
use crate::disk::{Disk, File};
use ::redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, StorageError, Table as WriteTable,
    TableDefinition, TableError,
};
use mvcc::{Backend, Change, Direction, Fault, REVISION_KEY_BYTES, Span, Table, View, Visit};
use raft::planted::{Bug, is_planted};
use std::cell::Cell;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

type RevisionKey = &'static [u8; REVISION_KEY_BYTES];

const HEAD: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("head");
const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("keys");
const REVISIONS: TableDefinition<'_, RevisionKey, &[u8]> = TableDefinition::new("revisions");

const CHECKSUM_BYTES: usize = 4;

/// The name of a state file that is still being created.
const UNFINISHED_FILE: &str = "state.redb.unfinished";

/// What the file is when its checksums, or the places that it names, are not what was written.
const ROTTEN: Fault = Fault::Damaged("state.redb has rotted");

thread_local! {
    static OPENING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread opens a state file that was there before. redb believes what it reads until it has checked it:
/// a panic now comes from what has rotted.
pub(crate) fn is_opening() -> bool {
    OPENING.get()
}

/// While a state file is opened.
struct Opening;

impl Opening {
    fn begin() -> Self {
        OPENING.set(true);
        Self
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.set(false);
    }
}

/// How the file is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory for pages, in bytes. What is not in it is read from the operating system's cache, or the disk.
    pub cache_bytes: usize,
}

impl Default for Options {
    /// The metadata of a few hundred thousand keys, and the values in use.
    fn default() -> Self {
        Self { cache_bytes: 32 << 20 }
    }
}

/// The tables on a disk.
pub struct RedbBackend {
    database: Database,
    file: Arc<dyn File>,
}

impl RedbBackend {
    /// Opens the state file of a member's directory, creating it if there is none. A new one gets its name when it
    /// is complete: redb does not recognise a file whose creation was cut short.
    ///
    /// # Errors
    /// [`Fault`] if the disk fails or the file is not a sound database.
    pub fn open(disk: &dyn Disk, options: Options) -> Result<Self, Fault> {
        match disk.open(STATE_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::begin(disk, options),
            file => {
                let _opening = Opening::begin();
                Self::open_file(file.map_err(Fault::storage)?, options)
            }
        }
    }

    fn begin(disk: &dyn Disk, options: Options) -> Result<Self, Fault> {
        match disk.remove(UNFINISHED_FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Fault::storage(error)),
            _ => {}
        }
        let backend = Self::create(disk, UNFINISHED_FILE, options)?;
        disk.rename(UNFINISHED_FILE, STATE_FILE).and_then(|()| disk.sync_dir()).map_err(Fault::storage)?;
        Ok(backend)
    }

    /// An empty store under another name, which must be free. To be given up if this process ends before the file has
    /// got its name.
    ///
    /// # Errors
    /// [`Fault`] if the disk fails.
    pub fn create(disk: &dyn Disk, name: &str, options: Options) -> Result<Self, Fault> {
        let backend = Self::open_file(disk.create(name).map_err(Fault::storage)?, options)?;
        backend.commit(&mut |_| Ok(()))?; // makes the tables exist
        Ok(backend)
    }

    fn open_file(file: Arc<dyn File>, options: Options) -> Result<Self, Fault> {
        let mut builder = Builder::new();
        builder.set_cache_size(options.cache_bytes);
        let mut database = builder
            .create_with_backend(
                DiskFile::new(Arc::clone(&file)).map_err(|error| opening(StorageError::Io(error).into()))?,
            )
            .map_err(opening)?;
        match database.check_integrity().map_err(opening)? {
            true => Ok(Self { database, file }),
            false => Err(ROTTEN),
        }
    }
}

/// A file that cannot be opened: damage, the disk, or another version.
fn opening(error: DatabaseError) -> Fault {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) => ROTTEN,
        DatabaseError::Storage(StorageError::Io(error)) if is_rotten(&error) => ROTTEN,
        error => Fault::storage(error),
    }
}

/// A table that cannot be read. A state file has its name since it has its tables.
fn reading(error: TableError) -> Fault {
    match error {
        TableError::TableDoesNotExist(_) | TableError::Storage(StorageError::Corrupted(_)) => ROTTEN,
        error => Fault::storage(error),
    }
}

/// Whether the file is not sound, or ends before what it names.
fn is_rotten(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

impl Backend for RedbBackend {
    fn view(&self) -> Result<Arc<dyn View>, Fault> {
        let read = self.database.begin_read().map_err(Fault::storage)?;
        Ok(Arc::new(RedbView {
            head: read.open_table(HEAD).map_err(reading)?,
            keys: read.open_table(KEYS).map_err(reading)?,
            revisions: read.open_table(REVISIONS).map_err(reading)?,
        }))
    }

    fn commit(&self, write: &mut dyn FnMut(&mut dyn Change) -> Result<(), Fault>) -> Result<(), Fault> {
        if is_planted(Bug::AppliedApart) {
            self.commit_tables(&mut |change| write(&mut Only { change, head: false }))?;
            return self.commit_tables(&mut |change| write(&mut Only { change, head: true }));
        }
        self.commit_tables(write)
    }

    fn allocated(&self) -> u64 {
        self.file.size().unwrap_or(0) // only told to people
    }
}

impl RedbBackend {
    fn commit_tables(&self, write: &mut dyn FnMut(&mut dyn Change) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut transaction = self.database.begin_write().map_err(Fault::storage)?;
        transaction.set_quick_repair(true);
        {
            let mut tables = Tables {
                head: transaction.open_table(HEAD).map_err(Fault::storage)?,
                keys: transaction.open_table(KEYS).map_err(Fault::storage)?,
                revisions: transaction.open_table(REVISIONS).map_err(Fault::storage)?,
                row: Vec::new(),
            };
            write(&mut tables)?;
        }
        transaction.commit().map_err(Fault::storage)
    }
}

/// Lets through what goes to the head, or everything else: for [`Bug::AppliedApart`].
struct Only<'a> {
    change: &'a mut dyn Change,
    head: bool,
}

impl Change for Only<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        if (table == Table::Head) == self.head { self.change.put(table, key, value) } else { Ok(()) }
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Fault> {
        if (table == Table::Head) == self.head { self.change.remove(table, key) } else { Ok(()) }
    }
}

struct RedbView {
    head: ReadOnlyTable<&'static [u8], &'static [u8]>,
    keys: ReadOnlyTable<&'static [u8], &'static [u8]>,
    revisions: ReadOnlyTable<RevisionKey, &'static [u8]>,
}

impl View for RedbView {
    fn get(&self, table: Table, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<bool, Fault> {
        let row = match table {
            Table::Head => self.head.get(key),
            Table::Keys => self.keys.get(key),
            Table::Revisions => self.revisions.get(revision_key(key)?),
        };
        let row = row.map_err(Fault::storage)?;
        if let Some(row) = &row {
            found(unsealed(key, row.value())?);
        }
        Ok(row.is_some())
    }

    fn scan(&self, table: Table, span: Span<'_>, direction: Direction, visit: Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        match table {
            Table::Head => scan_bytes(&self.head, span, direction, visit),
            Table::Keys => scan_bytes(&self.keys, span, direction, visit),
            Table::Revisions => scan_revisions(&self.revisions, span, direction, visit),
        }
    }
}

fn scan_bytes(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    span: Span<'_>,
    direction: Direction,
    visit: Visit<'_>,
) -> Result<(), Fault> {
    let end = span.end.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rows = table.range::<&[u8]>((Bound::Included(span.start), end)).map_err(Fault::storage)?;
    while let Some(row) = match direction {
        Direction::Forward => rows.next(),
        Direction::Backward => rows.next_back(),
    } {
        let (key, value) = row.map_err(Fault::storage)?;
        if visit(key.value(), unsealed(key.value(), value.value())?)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn scan_revisions(
    table: &ReadOnlyTable<RevisionKey, &'static [u8]>,
    span: Span<'_>,
    direction: Direction,
    visit: Visit<'_>,
) -> Result<(), Fault> {
    let end = span.end.map(revision_key).transpose()?.map_or(Bound::Unbounded, Bound::Excluded);
    let start = Bound::Included(revision_key(span.start)?);
    let mut rows = table.range::<&[u8; REVISION_KEY_BYTES]>((start, end)).map_err(Fault::storage)?;
    while let Some(row) = match direction {
        Direction::Forward => rows.next(),
        Direction::Backward => rows.next_back(),
    } {
        let (key, value) = row.map_err(Fault::storage)?;
        if visit(key.value(), unsealed(key.value(), value.value())?)?.is_break() {
            break;
        }
    }
    Ok(())
}

struct Tables<'t> {
    head: WriteTable<'t, &'static [u8], &'static [u8]>,
    keys: WriteTable<'t, &'static [u8], &'static [u8]>,
    revisions: WriteTable<'t, RevisionKey, &'static [u8]>,
    /// Keeps what it has allocated.
    row: Vec<u8>,
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_le_bytes()
}

/// The value of a row that is as it was written.
fn unsealed<'r>(key: &[u8], row: &'r [u8]) -> Result<&'r [u8], Fault> {
    match row.split_last_chunk() {
        Some((value, found)) if *found == checksum(key, value) => Ok(value),
        _ => Err(Fault::Damaged("a row has another checksum")),
    }
}

impl Change for Tables<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.row.clear();
        self.row.extend_from_slice(value);
        self.row.extend_from_slice(&checksum(key, value));
        let row = &self.row[..];
        match table {
            Table::Head => self.head.insert(key, row).map(drop),
            Table::Keys => self.keys.insert(key, row).map(drop),
            Table::Revisions => self.revisions.insert(revision_key(key)?, row).map(drop),
        }
        .map_err(Fault::storage)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Fault> {
        match table {
            Table::Head => self.head.remove(key).map(drop),
            Table::Keys => self.keys.remove(key).map(drop),
            Table::Revisions => self.revisions.remove(revision_key(key)?).map(drop),
        }
        .map_err(Fault::storage)
    }
}

fn revision_key(key: &[u8]) -> Result<&[u8; REVISION_KEY_BYTES], Fault> {
    key.try_into().map_err(|_| Fault::Damaged("a revision key is not 12 bytes"))
}

#[cfg(test)]
#[path = "redb_tests.rs"]
mod tests;
