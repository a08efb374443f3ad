//! A file of [`crate::disk`] as redb wants to see it, so that the database runs on the simulated disk too.
//!
//! redb rewrites its first page in place on every commit. A sector that a power failure leaves as garbage would take
//! the whole database with it, so the page is kept twice and written in turns:
//!
//! ```text
//!   0          4 KiB      8 KiB      12 KiB     16 KiB
//!   seal A    │ page A   │ seal B   │ page B   │ redb's second page and all after it
//!
//!   seal   sequence u64 │ crc32c u32 of sequence and page, little-endian
//! ```
//!
//! * Between two syncs only one of the copies is written: the other one is as the last sync left it.
//! * Reading takes the sound copy with the greater sequence. What a crash spoils is a write redb was not yet promised.
//! * The directory is claimed by whoever opened the disk; redb's own locks are left out.

use crate::disk::File;
use ::redb::StorageBackend;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

const PAGE_BYTES: usize = 4096;
const SEAL_BYTES: usize = 12;
/// Where a copy's page begins, and half of what it takes: seals have a page of their own, to keep pages aligned.
const COPY_PAGE_AT: u64 = PAGE_BYTES as u64;
const COPY_BYTES: u64 = 2 * COPY_PAGE_AT;
/// How much further back redb's pages are in the file than redb thinks.
const SHIFT_BYTES: u64 = 2 * COPY_BYTES - PAGE_BYTES as u64;

/// The file, with its first page in memory.
pub(super) struct DiskFile {
    file: Arc<dyn File>,
    first: Mutex<FirstPage>,
}

struct FirstPage {
    bytes: Box<[u8; PAGE_BYTES]>,
    sequence: u64,
    /// Which copy the next write goes to: 0 or 1.
    copy: u64,
    /// Whether it was written to since the last sync: then the next sync makes it the copy to keep.
    written: bool,
}

impl DiskFile {
    /// # Errors
    /// What the disk says; [`io::ErrorKind::InvalidData`] if neither copy of the first page is sound.
    pub(super) fn new(file: Arc<dyn File>) -> io::Result<Self> {
        let first = Mutex::new(FirstPage::read(&*file)?);
        Ok(Self { file, first })
    }

    fn first(&self) -> MutexGuard<'_, FirstPage> {
        self.first.lock().expect("no holder of this lock panics")
    }
}

impl FirstPage {
    fn read(file: &dyn File) -> io::Result<Self> {
        let empty = Self { bytes: Box::new([0; PAGE_BYTES]), sequence: 0, copy: 0, written: false };
        if file.size()? == 0 {
            return Ok(empty);
        }
        let copies = [Self::read_copy(file, 0)?, Self::read_copy(file, 1)?];
        let newest = copies.into_iter().flatten().max_by_key(|page| page.sequence);
        newest.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "neither copy of the first page is sound"))
    }

    /// A copy, ready to be followed by a write to the other one; `None` if it is not sound.
    fn read_copy(file: &dyn File, copy: u64) -> io::Result<Option<Self>> {
        let (mut seal, mut bytes) = ([0; SEAL_BYTES], Box::new([0; PAGE_BYTES]));
        let at = copy * COPY_BYTES;
        let whole = file.read_at(at, &mut seal)? == SEAL_BYTES
            && file.read_at(at + COPY_PAGE_AT, &mut bytes[..])? == PAGE_BYTES;
        let sequence = u64::from_le_bytes(*seal.first_chunk().expect("eight of twelve bytes"));
        let page = Self { bytes, sequence, copy: 1 - copy, written: false };
        Ok((whole && page.seal() == seal).then_some(page))
    }

    fn seal(&self) -> [u8; SEAL_BYTES] {
        let sequence = self.sequence.to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&sequence), &self.bytes[..]);
        let mut seal = [0; SEAL_BYTES];
        seal[..8].copy_from_slice(&sequence);
        seal[8..].copy_from_slice(&crc.to_le_bytes());
        seal
    }

    fn write(&mut self, file: &dyn File, at: usize, data: &[u8]) -> io::Result<()> {
        self.bytes[at..at + data.len()].copy_from_slice(data);
        self.sequence += 1;
        self.written = true;
        let mut seal = [0; PAGE_BYTES];
        seal[..SEAL_BYTES].copy_from_slice(&self.seal());
        file.write_at(self.copy * COPY_BYTES, &[IoSlice::new(&seal), IoSlice::new(&self.bytes[..])])
    }
}

/// How many of `length` bytes at `offset` are in the first page.
fn in_first_page(offset: u64, length: usize) -> usize {
    let left = (PAGE_BYTES as u64).saturating_sub(offset);
    usize::try_from(left).expect("a page at most").min(length)
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.size()?.saturating_sub(SHIFT_BYTES))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (first, rest) = out.split_at_mut(in_first_page(offset, out.len()));
        if !first.is_empty() {
            let at = usize::try_from(offset).expect("inside the first page");
            first.copy_from_slice(&self.first().bytes[at..at + first.len()]);
        }
        match self.file.read_at(offset + first.len() as u64 + SHIFT_BYTES, rest)? {
            read if read == rest.len() => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_size(len + SHIFT_BYTES)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut first = self.first();
        self.file.sync()?;
        if std::mem::take(&mut first.written) {
            first.copy = 1 - first.copy;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (first, rest) = data.split_at(in_first_page(offset, data.len()));
        if !first.is_empty() {
            let at = usize::try_from(offset).expect("inside the first page");
            self.first().write(&*self.file, at, first)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.file.write_at(offset + first.len() as u64 + SHIFT_BYTES, &[IoSlice::new(rest)])
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskFile")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::Fate;
    use crate::disk::{Disk, SimDisk};

    fn reopen(disk: &SimDisk) -> io::Result<DiskFile> {
        DiskFile::new(disk.open("f").expect("it was synced"))
    }

    fn read(file: &DiskFile, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        file.read(offset, &mut out).expect("inside");
        out
    }

    #[test]
    fn bytes_on_both_sides_of_the_first_page_come_back() {
        let disk = SimDisk::new();
        let file = DiskFile::new(disk.create("f").expect("new")).expect("empty");
        assert_eq!(file.len().expect("no faults"), 0);
        file.set_len(10_000).expect("room");
        file.write(4090, b"across the edge").expect("room");
        file.sync_data().expect("no faults");
        disk.sync_dir().expect("no faults");
        assert_eq!(read(&file, 4090, 15), b"across the edge");
        let again = reopen(&disk.crash(Fate::Lost)).expect("sound");
        assert_eq!((read(&again, 4090, 15), again.len().expect("no faults")), (b"across the edge".to_vec(), 10_000));
    }

    #[test]
    fn the_first_page_is_as_the_last_sync_left_it_or_newer_whatever_a_crash_spoils() {
        let disk = SimDisk::new();
        let file = DiskFile::new(disk.create("f").expect("new")).expect("empty");
        file.set_len(8192).expect("room");
        disk.sync_dir().expect("no faults");
        let mut kept_new = 0;
        for turn in 0..200u64 {
            file.write(0, &turn.to_le_bytes()).expect("room");
            for _ in 0..=turn % 3 {
                file.sync_data().expect("no faults");
            }
            file.write(0, &(turn + 1000).to_le_bytes()).expect("room");
            let after = reopen(&disk.crash(Fate::Chance(turn))).expect("one copy is sound");
            let found = u64::from_le_bytes(read(&after, 0, 8).try_into().expect("eight"));
            assert!(found == turn || found == turn + 1000, "turn {turn} found {found}");
            kept_new += u64::from(found == turn + 1000);
        }
        assert!(kept_new > 0 && kept_new < 200, "both outcomes were seen: {kept_new}");
    }

    #[test]
    fn a_file_with_both_copies_spoilt_is_refused() {
        let disk = SimDisk::new();
        let file = DiskFile::new(disk.create("f").expect("new")).expect("empty");
        for page in [1, 2] {
            file.write(0, &[page]).expect("room");
            file.sync_data().expect("no faults");
        }
        assert!(disk.flip("f", 4096, 1) && reopen(&disk).is_ok());
        assert!(disk.flip("f", 12_288, 1));
        assert_eq!(reopen(&disk).expect_err("spoilt").kind(), io::ErrorKind::InvalidData);
    }
}
