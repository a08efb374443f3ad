//! A file of the simulated disk: what reads see, what the medium holds, and what lies between.

use super::{EIO, InodeId, SECTOR_BYTES, SimDisk};
use crate::disk::File;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

/// One sector's bytes.
pub(super) type Sector = [u8; SECTOR_BYTES];

/// An open file.
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) inode: InodeId,
    pub(super) name: String,
}

/// A file, with or without a name. Contents are shared with the disks that crashes have left, until one of them changes.
#[derive(Clone, Default)]
pub(super) struct Inode {
    seen: Arc<Vec<u8>>,
    medium: Arc<Vec<u8>>,
    /// What was written since the last sync, oldest first.
    unsynced: Vec<Written>,
    /// Sectors whose sync failed: memory has them, the medium does not, and no sync will carry them over.
    clean_lies: BTreeSet<usize>,
    /// The shortest it has been since the last sync: what was beyond is gone.
    cut_to: Option<usize>,
}

/// Sectors as one write has left them.
#[derive(Clone)]
struct Written {
    first: usize,
    sectors: Vec<Sector>,
}

impl Written {
    fn range(&self) -> Range<usize> {
        self.first..self.first + self.sectors.len()
    }
}

impl Inode {
    /// A file that was found like this after a crash.
    pub(super) fn settled(bytes: Arc<Vec<u8>>) -> Self {
        Self { seen: Arc::clone(&bytes), medium: bytes, ..Self::default() }
    }

    /// What reads see.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// What is on the medium.
    pub(super) fn medium(&self) -> &Arc<Vec<u8>> {
        &self.medium
    }

    /// The versions of each sector that a crash chooses from, oldest first.
    pub(super) fn dirty(&self) -> BTreeMap<usize, Vec<&Sector>> {
        let mut dirty: BTreeMap<usize, Vec<&Sector>> = BTreeMap::new();
        for written in &self.unsynced {
            for (sector, version) in written.range().zip(&written.sectors) {
                dirty.entry(sector).or_default().push(version);
            }
        }
        dirty
    }

    /// Flips bits of a byte everywhere. Says whether there is one.
    pub(super) fn flip(&mut self, at: usize, mask: u8) -> bool {
        for bytes in [&mut self.seen, &mut self.medium] {
            if let Some(byte) = Arc::make_mut(bytes).get_mut(at) {
                *byte ^= mask;
            }
        }
        at < self.seen.len()
    }

    /// Takes so many bytes of the parts.
    fn write(&mut self, at: usize, parts: &[IoSlice<'_>], count: usize) {
        let end = at + count;
        let seen = Arc::make_mut(&mut self.seen);
        if end > seen.len() {
            seen.resize(end, 0);
        }
        let mut left = &mut seen[at..end];
        for part in parts {
            let (into, rest) = left.split_at_mut(part.len().min(left.len()));
            into.copy_from_slice(&part[..into.len()]);
            left = rest;
        }
        let (first, last) = (at / SECTOR_BYTES, end.div_ceil(SECTOR_BYTES));
        self.clean_lies.retain(|sector| !(first..last).contains(sector));
        let sectors = (first..last).map(|sector| sector_of(&self.seen, sector)).collect();
        self.unsynced.push(Written { first, sectors });
    }

    fn resize(&mut self, bytes: usize) {
        if bytes < self.seen.len() {
            self.cut_to = Some(self.cut_to.unwrap_or(bytes).min(bytes));
        }
        Arc::make_mut(&mut self.seen).resize(bytes, 0);
        let sectors = bytes.div_ceil(SECTOR_BYTES);
        for written in &mut self.unsynced {
            written.sectors.truncate(sectors.saturating_sub(written.first));
        }
        self.clean_lies.retain(|&sector| sector < sectors);
    }

    fn sync(&mut self) {
        let cut_to = self.cut_to.take();
        if self.unsynced.is_empty() && cut_to.is_none() && self.medium.len() == self.seen.len() {
            return;
        }
        let medium = Arc::make_mut(&mut self.medium);
        medium.truncate(cut_to.unwrap_or(usize::MAX));
        medium.resize(self.seen.len(), 0);
        for sector in self.unsynced.drain(..).flat_map(|written| written.range()) {
            put_sector(medium, sector, &sector_of(&self.seen, sector));
        }
    }

    fn fail_sync(&mut self) {
        self.clean_lies.extend(self.unsynced.drain(..).flat_map(|written| written.range()));
    }

    fn drop_cache(&mut self) {
        for sector in std::mem::take(&mut self.clean_lies) {
            let bytes = sector_of(&self.medium, sector);
            put_sector(Arc::make_mut(&mut self.seen).as_mut_slice(), sector, &bytes);
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
        let count: usize = parts.iter().map(|part| part.len()).sum();
        let mut world = self.disk.world();
        let before = world.inodes[self.inode].seen.len() as u64;
        let full = world.room_for((at + count as u64).saturating_sub(before)).err();
        world.effect()?;
        world.counts.writes += 1;
        // A write that meets the end of the disk leaves some of its bytes behind.
        let fitting = if full.is_some() { place(before.saturating_sub(at)).min(count) } else { count };
        if fitting > 0 {
            world.inodes[self.inode].write(place(at), parts, fitting);
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
