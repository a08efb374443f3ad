//! Cold reads: entries that are no longer in memory, read back from their segments while the writer writes on.
//!
//! What is read is checked as if it had come from a stranger: the batch's place, its checksum, each record's. A reader
//! holds the segments it reads, so compaction cannot hand their files on before it is done.

use super::batch::BatchHeader;
use super::error::{Problem, ReadError};
use super::index::{Extent, LogIndex};
use bytes::Bytes;
use raft::{Entry, Index};
use std::sync::Arc;

/// Reads entries back. Clones share the log; each call blocks on the disk.
#[derive(Clone)]
pub struct WalReader {
    index: Arc<LogIndex>,
}

impl WalReader {
    pub(super) fn new(index: Arc<LogIndex>) -> Self {
        Self { index }
    }

    /// The entries from one to another, in order, until the next one would pass `bytes_max`; one at least. Fewer than
    /// asked for when the log ends before.
    ///
    /// # Errors
    /// [`ReadError`] when the first one is not there, or the disk does not give back what was written.
    pub fn read(&self, from: Index, through: Index, bytes_max: u64) -> Result<Vec<Entry>, ReadError> {
        let extents = self.index.find(from, through, bytes_max);
        if extents.is_empty() {
            return Err(self.absent(from));
        }
        let mut taken = Taken { next: from, through, bytes_left: bytes_max, entries: Vec::new() };
        for extent in &extents {
            if !taken.take_from(extent)? {
                break;
            }
        }
        Ok(taken.entries)
    }

    /// The bytes of all entries there are, with what surrounds them on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// The first of the newest entries that take about so many bytes together, and no more; the one after the last
    /// when there is none. Does not touch the disk.
    #[must_use]
    pub fn tail(&self, bytes_max: u64) -> Index {
        self.index.tail(bytes_max)
    }

    /// Holds what a read of this entry would hold.
    #[cfg(test)]
    pub(super) fn pin(&self, index: Index) -> Vec<Extent> {
        self.index.find(index, index, 0)
    }

    fn absent(&self, from: Index) -> ReadError {
        if from <= self.index.start() { ReadError::Compacted(from) } else { ReadError::Absent(from) }
    }
}

/// What a read has collected.
struct Taken {
    next: Index,
    through: Index,
    bytes_left: u64,
    entries: Vec<Entry>,
}

impl Taken {
    /// Takes what is wanted from an extent. Says whether more is wanted after it.
    fn take_from(&mut self, extent: &Extent) -> Result<bool, ReadError> {
        let unreadable = |offset, why: &dyn std::fmt::Display| ReadError::Unreadable {
            segment: extent.segment.sequence,
            offset,
            why: why.to_string(),
        };
        let mut bytes = read_extent(extent).map_err(|error| unreadable(extent.offset, &error))?;
        let mut offset = extent.offset;
        while self.next <= extent.through && self.next <= self.through {
            let header = BatchHeader::decode(&bytes, extent.segment.salt, offset);
            let header = header.ok_or_else(|| unreadable(offset, &Problem::NoBatch))?;
            let entries = header.entries(&bytes).map_err(|problem| unreadable(offset, &problem))?;
            for entry in entries {
                // Beyond the end of a clipped extent stand entries that have been overwritten since.
                let wanted = entry.index() == self.next && entry.index() <= extent.through;
                if wanted && !self.take(entry) {
                    return Ok(false);
                }
            }
            let length = usize::try_from(header.end() - offset).unwrap_or(usize::MAX).min(bytes.len());
            bytes = bytes.slice(length..);
            offset = header.end();
        }
        Ok(self.next <= self.through)
    }

    /// Takes one entry, unless it is too much. Says whether another may be taken.
    fn take(&mut self, entry: Entry) -> bool {
        if !self.entries.is_empty() && entry.bytes() > self.bytes_left || self.next > self.through {
            return false;
        }
        self.bytes_left = self.bytes_left.saturating_sub(entry.bytes());
        self.next = self.next.next();
        self.entries.push(entry);
        true
    }
}

fn read_extent(extent: &Extent) -> std::io::Result<Bytes> {
    let mut buffer = vec![0; usize::try_from(extent.bytes).expect("extents are limited far below 4 GiB")];
    let read = extent.segment.file.read_at(extent.offset, &mut buffer)?;
    buffer.truncate(read);
    Ok(buffer.into())
}
