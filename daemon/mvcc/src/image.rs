//! The whole store as a row of blocks: what a snapshot is made of.
//!
//! ```text
//!   block   crc32c u32 little-endian │ items
//!   row     table u8 (1 head, 3 revisions) │ key length │ key │ value length │ value
//!   end     255 │ how many rows there were                              (lengths and counts are varints)
//! ```
//!
//! The rows of revisions come first, in the order of their keys; the last block holds the head row and the end. The
//! table of keys follows from the revisions and is not in it: it would change everywhere when a few keys do.
//!
//! * Where a block ends depends on the rows at its edges alone. What did not change between two images is the same
//!   blocks in both, so they need not be sent or stored twice. See [`cut`].
//! * The image is of one commit: the head row says which index it stands at, and the rows are those of that index.
//! * The same image gives the same blocks, also on another member and after it was restored there, but for the links
//!   of keys that were deleted and created again.

mod check;
mod cut;
mod restore;

pub use check::{ImageCheck, ImageSummary};
pub use cut::BLOCK_BYTES_MAX;
pub use restore::{Rebirth, Restore};

use crate::backend::{Direction, Span, Table, View};
use crate::error::Fault;
use crate::head::{HEAD_KEY, Head};
use crate::row::RowId;
use crate::types::Revision;
use crate::varint;
use bytes::{BufMut, Bytes};
use std::ops::ControlFlow;
use std::sync::Arc;

const CHECKSUM_BYTES: usize = 4;

const END: u8 = 255;
const HEAD: u8 = 1;
const REVISIONS: u8 = 3;

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
    at: Place,
    rows: u64,
}

/// What comes next.
#[derive(Clone)]
enum Place {
    /// Revisions, at or after this one.
    Revisions(RowId),
    Head,
    Nothing,
}

/// Why an image cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not what was taken: fetch it again.
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

    /// The hash of everything applied up to [`Image::applied`]; the same on every member.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.head.state_hash
    }

    /// About how long its stream is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its blocks from the first on. Any number of readers may go through them.
    #[must_use]
    pub fn blocks(&self) -> ImageBlocks {
        ImageBlocks { view: Arc::clone(&self.view), at: Place::Revisions(RowId::NONE), rows: 0 }
    }
}

impl ImageBlocks {
    /// The next block; `None` after the last.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    pub fn next_block(&mut self) -> Result<Option<Bytes>, Fault> {
        let mut block = vec![0; CHECKSUM_BYTES];
        if let Place::Revisions(from) = self.at {
            self.at = self.fill(from, &mut block)?;
        }
        // Revisions that end with a block, or none at all, leave nothing in it.
        if block.len() > CHECKSUM_BYTES {
            return Ok(Some(sealed(block)));
        }
        match std::mem::replace(&mut self.at, Place::Nothing) {
            Place::Head => self.close(block).map(Some),
            Place::Revisions(_) | Place::Nothing => Ok(None),
        }
    }

    /// Adds rows up to the next edge, and says what follows.
    fn fill(&mut self, from: RowId, block: &mut Vec<u8>) -> Result<Place, Fault> {
        let (mut next, mut closed) = (Place::Head, false);
        let start = from.key();
        self.view.scan(
            Table::Revisions,
            Span { start: &start, end: None },
            Direction::Forward,
            &mut |key, value| {
                let id = RowId::from_key(key)?;
                if closed {
                    next = Place::Revisions(id);
                    return Ok(ControlFlow::Break(()));
                }
                let before = block.len();
                put_row(REVISIONS, key, value, block);
                self.rows += 1;
                closed = cut::ends_block(id, block.len() - before, block.len());
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(next)
    }

    fn close(&mut self, mut block: Vec<u8>) -> Result<Bytes, Fault> {
        let found = self.view.get(Table::Head, HEAD_KEY, &mut |head| put_row(HEAD, HEAD_KEY, head, &mut block))?;
        self.rows += u64::from(found);
        block.push(END);
        varint::put(self.rows, &mut block);
        Ok(sealed(block))
    }
}

fn put_row(table: u8, key: &[u8], value: &[u8], block: &mut Vec<u8>) {
    block.push(table);
    for part in [key, value] {
        varint::put(part.len() as u64, block);
        block.put_slice(part);
    }
}

fn sealed(mut block: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&block[CHECKSUM_BYTES..]);
    block[..CHECKSUM_BYTES].copy_from_slice(&crc.to_le_bytes());
    block.into()
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
