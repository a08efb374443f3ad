//! The whole store as a stream of blocks, for a member that cannot catch up from the log.
//!
//! ```text
//!   block   crc32c u32 little-endian │ items
//!   row     table u8 (1 head, 2 keys, 3 revisions) │ key length │ key │ value length │ value
//!   end     255 │ how many rows there were                              (lengths and counts are varints)
//! ```
//!
//! * Rows come table by table, in the order of their keys; the end is the last item of the last block.
//! * The image is of one commit: the head row says which index it stands at, and the rows are those of that index.
//! * The same image gives the same blocks, so a transfer can go on where it stopped.

use crate::backend::{Backend, Direction, Span, Table, View};
use crate::error::Fault;
use crate::head::{HEAD_KEY, Head};
use crate::types::Revision;
use crate::varint;
use bytes::{BufMut, Bytes};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A block is closed when it has so many bytes; one large row may take it beyond.
const BLOCK_BYTES: usize = 1 << 20;

/// What is restored is committed in pieces of this size: larger ones make fewer syncs, and take memory.
const COMMIT_BYTES: usize = 16 << 20;

const END: u8 = 255;
const TABLES: [(u8, Table); 3] = [(1, Table::Head), (2, Table::Keys), (3, Table::Revisions)];

/// The store as one flush left it. It stays as it is while the store goes on; the space it holds is free again once
/// it is dropped.
pub struct Image {
    view: Arc<dyn View>,
    head: Head,
    bytes: u64,
}

/// Reads an image, from its beginning or, as a clone, from where the original stood.
#[derive(Clone)]
pub struct ImageBlocks {
    view: Arc<dyn View>,
    at: Option<Place>,
    rows: u64,
}

/// The next row: in which of [`TABLES`], and at or after which key.
#[derive(Clone)]
struct Place {
    table: usize,
    key: Vec<u8>,
}

/// Writes an image into an empty backend. It can be opened as a store only once [`Restore::finish`] has succeeded;
/// until then it must not be taken for one.
pub struct Restore<'a> {
    backend: &'a dyn Backend,
    blocks: Vec<Bytes>,
    bytes: usize,
    rows: u64,
    ended: bool,
}

/// Why an image cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not what was sent: fetch it again.
    #[error("image is damaged: {0}")]
    Damaged(&'static str),
    /// This member's storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Image {
    pub(crate) fn new(view: Arc<dyn View>) -> Result<Self, Fault> {
        let mut head = None;
        view.get(Table::Head, HEAD_KEY, &mut |bytes| head = Some(Head::decode(bytes)))?;
        let head = head.transpose()?.unwrap_or_default();
        Ok(Self { view, bytes: head.in_use, head })
    }

    /// The log index it stands at.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.head.applied
    }

    /// The newest revision in it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.head.revision)
    }

    /// About how long its stream is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its blocks from the first on. Any number of readers may go through them.
    #[must_use]
    pub fn blocks(&self) -> ImageBlocks {
        ImageBlocks { view: Arc::clone(&self.view), at: Some(Place { table: 0, key: Vec::new() }), rows: 0 }
    }
}

impl ImageBlocks {
    /// The next block; `None` after the last.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    pub fn next_block(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(mut place) = self.at.take() else { return Ok(None) };
        let mut block = vec![0; 4];
        while block.len() < BLOCK_BYTES {
            let Some(&(number, table)) = TABLES.get(place.table) else {
                block.push(END);
                varint::put(self.rows, &mut block);
                return Ok(Some(sealed(block)));
            };
            let start = start_of(table, &place.key);
            match fill(&*self.view, (number, table), &start, &mut block, &mut self.rows)? {
                Some(key) => place.key = key,
                None => place = Place { table: place.table + 1, key: Vec::new() },
            }
        }
        self.at = Some(place);
        Ok(Some(sealed(block)))
    }
}

/// The keys of revisions have a fixed length, also the first.
fn start_of(table: Table, key: &[u8]) -> Vec<u8> {
    match table {
        Table::Revisions if key.is_empty() => vec![0; crate::backend::REVISION_KEY_BYTES],
        _ => key.to_vec(),
    }
}

/// Adds rows until the block is full, and says which key comes next.
fn fill(
    view: &dyn View,
    (number, table): (u8, Table),
    start: &[u8],
    block: &mut Vec<u8>,
    rows: &mut u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut next = None;
    view.scan(table, Span { start, end: None }, Direction::Forward, &mut |key, value| {
        if block.len() >= BLOCK_BYTES {
            next = Some(key.to_vec());
            return Ok(ControlFlow::Break(()));
        }
        block.push(number);
        for part in [key, value] {
            varint::put(part.len() as u64, block);
            block.put_slice(part);
        }
        *rows += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next)
}

fn sealed(mut block: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&block[4..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    block.into()
}

impl<'a> Restore<'a> {
    /// Begins with an empty backend.
    #[must_use]
    pub fn new(backend: &'a dyn Backend) -> Self {
        Self { backend, blocks: Vec::new(), bytes: 0, rows: 0, ended: false }
    }

    /// Takes the next block.
    ///
    /// # Errors
    /// [`ImageError`] if it is not sound or the storage fails.
    pub fn block(&mut self, block: Bytes) -> Result<(), ImageError> {
        let (crc, items) = block.split_first_chunk().ok_or(ImageError::Damaged("a block is cut short"))?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(items) {
            return Err(ImageError::Damaged("a block has another checksum"));
        }
        if self.ended {
            return Err(ImageError::Damaged("a block follows the end"));
        }
        let (rows, end) = survey(items)?;
        self.rows += rows;
        self.ended = match end {
            Some(count) if count == self.rows => true,
            Some(_) => return Err(ImageError::Damaged("blocks are missing")),
            None => false,
        };
        self.bytes += block.len();
        self.blocks.push(block);
        if self.bytes >= COMMIT_BYTES { self.commit() } else { Ok(()) }
    }

    /// Commits the rest.
    ///
    /// # Errors
    /// [`ImageError`] if the end is missing or the storage fails.
    pub fn finish(mut self) -> Result<(), ImageError> {
        if !self.ended {
            return Err(ImageError::Damaged("it ends too early"));
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        let blocks = std::mem::take(&mut self.blocks);
        self.bytes = 0;
        self.backend.commit(&mut |change| {
            for block in &blocks {
                let mut items = &block[4..];
                while let Some(Item::Row(table, key, value)) = take_item(&mut items) {
                    change.put(table, key, value)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

enum Item<'a> {
    Row(Table, &'a [u8], &'a [u8]),
    End(u64),
}

/// Counts the rows of a block and reads its end, if it is the last.
fn survey(mut items: &[u8]) -> Result<(u64, Option<u64>), ImageError> {
    let mut rows = 0;
    while !items.is_empty() {
        match take_item(&mut items).ok_or(ImageError::Damaged("a block has no such item"))? {
            Item::Row(..) => rows += 1,
            Item::End(count) if items.is_empty() => return Ok((rows, Some(count))),
            Item::End(_) => return Err(ImageError::Damaged("rows follow the end")),
        }
    }
    Ok((rows, None))
}

fn take_item<'a>(items: &mut &'a [u8]) -> Option<Item<'a>> {
    let (&number, rest) = items.split_first()?;
    *items = rest;
    if number == END {
        return varint::take(items).map(Item::End);
    }
    let (_, table) = TABLES.iter().find(|(known, _)| *known == number)?;
    let key = take_part(items)?;
    Some(Item::Row(*table, key, take_part(items)?))
}

fn take_part<'a>(items: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::take(items)?).ok()?;
    let (part, rest) = items.split_at_checked(length)?;
    *items = rest;
    Some(part)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
