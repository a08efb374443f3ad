//! A file of the simulated disk: what reads see, what the medium holds, and what lies between.

use super::{EIO, InodeId, SECTOR_BYTES, SimDisk};
use crate::disk::File;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};

/// One sector's bytes.
pub(super) type Sector = [u8; SECTOR_BYTES];

/// An open file.
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) inode: InodeId,
    pub(super) name: String,
}

/// A file, with or without a name.
#[derive(Clone, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    medium: Vec<u8>,
    /// Every version written to a sector since the last sync, oldest first.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// Sectors whose sync failed: memory has them, the medium does not, and no sync will carry them over.
    clean_lies: BTreeSet<usize>,
    /// The shortest it has been since the last sync: what was beyond is gone.
    cut_to: Option<usize>,
}

impl Inode {
    /// A file that was found like this after a crash.
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), medium: bytes, ..Self::default() }
    }

    /// What reads see.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// What is on the medium.
    pub(super) fn medium(&self) -> &[u8] {
        &self.medium
    }

    /// The versions of each sector that a crash chooses from.
    pub(super) fn dirty(&self) -> &BTreeMap<usize, Vec<Sector>> {
        &self.dirty
    }

    /// Flips bits of a byte everywhere. Says whether there is one.
    pub(super) fn flip(&mut self, at: usize, mask: u8) -> bool {
        for bytes in [&mut self.seen, &mut self.medium] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
        at < self.seen.len()
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if end > self.seen.len() {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(bytes);
        for sector in at / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let version = sector_of(&self.seen, sector);
            self.clean_lies.remove(&sector);
            self.dirty.entry(sector).or_default().push(version);
        }
    }

    fn resize(&mut self, bytes: usize) {
        if bytes < self.seen.len() {
            self.cut_to = Some(self.cut_to.unwrap_or(bytes).min(bytes));
        }
        self.seen.resize(bytes, 0);
        self.dirty.retain(|&sector, _| sector * SECTOR_BYTES < bytes);
        self.clean_lies.retain(|&sector| sector * SECTOR_BYTES < bytes);
    }

    fn sync(&mut self) {
        self.medium.truncate(self.cut_to.take().unwrap_or(usize::MAX));
        self.medium.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            put_sector(&mut self.medium, sector, &sector_of(&self.seen, sector));
        }
    }

    fn fail_sync(&mut self) {
        self.clean_lies.extend(self.dirty.keys());
        self.dirty.clear();
    }

    fn drop_cache(&mut self) {
        for sector in std::mem::take(&mut self.clean_lies) {
            let bytes = sector_of(&self.medium, sector);
            put_sector(&mut self.seen, sector, &bytes);
        }
    }
}

/// The bytes of a sector; zero where the file does not reach.
pub(super) fn sector_of(bytes: &[u8], sector: usize) -> Sector {
    let mut found = [0; SECTOR_BYTES];
    let start = (sector * SECTOR_BYTES).min(bytes.len());
    let part = &bytes[start..bytes.len().min(start + SECTOR_BYTES)];
    found[..part.len()].copy_from_slice(part);
    found
}

/// Replaces a sector, as far as the file reaches.
pub(super) fn put_sector(bytes: &mut [u8], sector: usize, with: &Sector) {
    let start = (sector * SECTOR_BYTES).min(bytes.len());
    let end = bytes.len().min(start + SECTOR_BYTES);
    bytes[start..end].copy_from_slice(&with[..end - start]);
}

fn place(at: u64) -> usize {
    usize::try_from(at).expect("simulated files are small")
}

impl File for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.world().inodes[self.inode].seen.len() as u64)
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let before = world.inodes[self.inode].seen.len() as u64;
        world.room_for(bytes.saturating_sub(before))?;
        world.effect()?;
        world.inodes[self.inode].resize(place(bytes));
        Ok(())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let world = self.disk.world();
        if world.faults.unreadable.as_ref() == Some(&self.name) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let seen = &world.inodes[self.inode].seen;
        let start = place(at).min(seen.len());
        let count = into.len().min(seen.len() - start);
        into[..count].copy_from_slice(&seen[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes = parts.iter().map(|part| &**part).collect::<Vec<&[u8]>>().concat();
        let mut world = self.disk.world();
        let before = world.inodes[self.inode].seen.len() as u64;
        let full = world.room_for((at + bytes.len() as u64).saturating_sub(before)).err();
        world.effect()?;
        world.counts.writes += 1;
        // A write that meets the end of the disk leaves some of its bytes behind.
        let fitting = if full.is_some() { place(before.saturating_sub(at)).min(bytes.len()) } else { bytes.len() };
        if fitting > 0 {
            world.inodes[self.inode].write(place(at), &bytes[..fitting]);
        }
        full.map_or(Ok(()), Err)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        if world.sync_fails()? {
            world.inodes[self.inode].fail_sync();
            return Err(io::Error::from_raw_os_error(EIO));
        }
        world.inodes[self.inode].sync();
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.disk.world().inodes[self.inode].drop_cache();
        Ok(())
    }
}
