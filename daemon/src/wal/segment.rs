//! A segment file: its name, its header, and the batch at a place in it.

use super::batch::{BATCH_HEADER_BYTES, Batch, BatchHeader, SECTOR_BYTES};
use super::error::Problem;
use crate::disk::File;
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// How much is read ahead of a scan.
const WINDOW_BYTES: usize = 1 << 20;

const SUFFIX: &str = ".wal";

/// A segment of the log. Its file keeps its content as long as anyone holds this.
pub(super) struct Segment {
    pub(super) sequence: u64,
    pub(super) salt: u64,
    pub(super) file: Arc<dyn File>,
}

impl Segment {
    pub(super) fn name(&self) -> String {
        segment_name(self.sequence)
    }
}

/// The file name of a segment.
pub(super) fn segment_name(sequence: u64) -> String {
    format!("{sequence:016}{SUFFIX}")
}

/// The segment a file name stands for.
pub(super) fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Reads a segment from front to back through a window.
pub(super) struct Scan {
    segment: Arc<Segment>,
    size: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Scan {
    pub(super) fn new(segment: Arc<Segment>) -> io::Result<Self> {
        Ok(Self { size: segment.file.size()?, segment, window: Vec::new(), window_at: 0 })
    }

    /// The file's length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The batch at `offset`, if a sound one of this segment begins there. It may continue any chain.
    pub(super) fn batch(&mut self, offset: u64) -> io::Result<Result<Batch, Problem>> {
        if offset + BATCH_HEADER_BYTES as u64 > self.size {
            return Ok(Err(Problem::Ends));
        }
        let salt = self.segment.salt;
        let Some(header) = BatchHeader::decode(self.bytes(offset, BATCH_HEADER_BYTES)?, salt, offset) else {
            return Ok(Err(Problem::NoBatch));
        };
        if offset + header.length() > self.size {
            return Ok(Err(Problem::Lengths));
        }
        let length = usize::try_from(header.length()).expect("not above the size of the file, which was read");
        // A copy of the batch alone: entries are views of it, and the window may go.
        let bytes = Bytes::copy_from_slice(self.bytes(offset, length)?);
        Ok(header.read(&bytes))
    }

    /// Where the first sound batch after `offset` begins, if there is one.
    pub(super) fn next_sound(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let mut at = offset + SECTOR_BYTES;
        while at + BATCH_HEADER_BYTES as u64 <= self.size {
            if self.batch(at)?.is_ok() {
                return Ok(Some(at));
            }
            at += SECTOR_BYTES;
        }
        Ok(None)
    }

    /// Bytes that are known to be within the file.
    fn bytes(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let within = at.checked_sub(self.window_at).map(|skip| usize::try_from(skip).unwrap_or(usize::MAX));
        let skip = match within {
            Some(skip) if skip.saturating_add(count) <= self.window.len() => skip,
            _ => {
                self.fill(at, count)?;
                0
            }
        };
        Ok(&self.window[skip..skip + count])
    }

    fn fill(&mut self, at: u64, count: usize) -> io::Result<()> {
        let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
        self.window.resize(count.max(WINDOW_BYTES.min(left)), 0);
        self.window_at = at;
        let read = self.segment.file.read_at(at, &mut self.window)?;
        if read < count {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.window.truncate(read);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_its_segment_and_others_for_none() {
        for sequence in [1, 42, 9_999_999_999_999_999] {
            assert_eq!(segment_of(&segment_name(sequence)), Some(sequence));
        }
        for name in
            ["1.wal", "000000000000000x.wal", "0000000000000001.tmp", "spare-0000000000000001", "+000000000000001.wal"]
        {
            assert_eq!(segment_of(name), None, "{name}");
        }
    }
}
