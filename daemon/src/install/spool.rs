//! What has been fetched of a snapshot, in files named by their digests.
//!
//! ```text
//!   install/manifest      crc32c u32 little-endian │ manifest        install/ab12…   a chunk
//!   install/*.part        being written; of no use after a crash
//! ```
//!
//! * Chunks are written one after the other: a fetch that was given up may still be writing what the next one writes.
//! * A chunk is not synced: whatever a power failure makes of it, its digest tells when it is read.
//! * Chunks of an earlier snapshot stay for the next one as far as they are in it, and go otherwise.

use crate::disk::{Disk, File};
use crate::snapshot::{Chunk, Digest, DigestError, Manifest};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

const MANIFEST: &str = "manifest";
const PART: &str = ".part";

/// See the module. Calls block on the disk.
pub(super) struct Spool {
    disk: Arc<dyn Disk>,
    have: Mutex<BTreeMap<Digest, u64>>,
    writing: Mutex<()>,
}

impl Spool {
    /// What an earlier run has left.
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut have = BTreeMap::new();
        for name in disk.list()? {
            match name.parse() {
                Ok(digest) => {
                    have.insert(digest, disk.open(&name)?.size()?);
                }
                Err(DigestError) if name.ends_with(PART) => disk.remove(&name)?,
                Err(DigestError) => {}
            }
        }
        Ok(Self { disk, have: Mutex::new(have), writing: Mutex::default() })
    }

    /// The snapshot that was being fetched; none if there is none, or it cannot be read.
    pub(super) fn manifest(&self) -> Option<Manifest> {
        let bytes = read_all(&*self.disk.open(MANIFEST).ok()?).ok()?;
        let (crc, manifest) = bytes.split_first_chunk()?;
        let sound = u32::from_le_bytes(*crc) == crc32c::crc32c(manifest);
        Manifest::decode(manifest).ok().filter(|_| sound).map(|(_, manifest)| manifest)
    }

    /// This snapshot is fetched from now on: what is not in it goes.
    pub(super) fn begin(&self, manifest: &Manifest) -> io::Result<()> {
        let bytes = manifest.encode();
        self.write(MANIFEST, &[&crc32c::crc32c(&bytes).to_le_bytes(), &bytes], true)?;
        self.disk.sync_dir()?;
        let wanted: BTreeSet<Digest> = manifest.chunks.iter().map(|chunk| chunk.digest).collect();
        let others: Vec<Digest> = self.have().keys().filter(|digest| !wanted.contains(digest)).copied().collect();
        others.into_iter().try_for_each(|digest| self.remove(digest))
    }

    /// Whether the chunk is here, as far as its length tells.
    pub(super) fn has(&self, chunk: &Chunk) -> bool {
        self.have().get(&chunk.digest) == Some(&u64::from(chunk.stored_bytes))
    }

    /// Keeps a chunk. False if it is not what its digest says.
    pub(super) fn keep(&self, chunk: &Chunk, bytes: &[u8]) -> io::Result<bool> {
        if chunk.check(bytes).is_err() {
            return Ok(false);
        }
        self.write(&chunk.digest.to_string(), &[bytes], false)?;
        self.have().insert(chunk.digest, u64::from(chunk.stored_bytes));
        Ok(true)
    }

    /// A chunk that was kept; none, and it is gone, if the disk has not kept it well.
    pub(super) fn read(&self, chunk: &Chunk) -> io::Result<Option<Bytes>> {
        if !self.has(chunk) {
            return Ok(None);
        }
        let bytes = read_all(&*self.disk.open(&chunk.digest.to_string())?)?;
        if chunk.check(&bytes).is_ok() {
            return Ok(Some(bytes));
        }
        self.remove(chunk.digest).map(|()| None)
    }

    /// Nothing of it is needed any more.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self.disk.remove(MANIFEST) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let all: Vec<Digest> = self.have().keys().copied().collect();
        all.into_iter().try_for_each(|digest| self.remove(digest))
    }

    fn write(&self, name: &str, parts: &[&[u8]], sync: bool) -> io::Result<()> {
        let _alone = self.writing.lock().expect("nothing panics while it writes");
        let part = format!("{name}{PART}");
        let file = match self.disk.create(&part) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&part)?;
                self.disk.create(&part)?
            }
            file => file?,
        };
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_at(0, &slices)?;
        if sync {
            file.sync()?;
        }
        self.disk.rename(&part, name)
    }

    fn remove(&self, digest: Digest) -> io::Result<()> {
        self.have().remove(&digest);
        self.disk.remove(&digest.to_string())
    }

    fn have(&self) -> MutexGuard<'_, BTreeMap<Digest, u64>> {
        self.have.lock().expect("nothing panics while it holds the spool")
    }
}

/// A whole file.
pub(super) fn read_all(file: &dyn File) -> io::Result<Bytes> {
    let length = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Fate, SimDisk};

    fn blocks(names: &[&'static str]) -> Vec<Bytes> {
        names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect()
    }

    fn of(index: u64, blocks: &[Bytes]) -> Manifest {
        super::super::switch::tests::manifest(index, blocks.iter().map(|stored| chunk(stored)).collect())
    }

    fn chunk(stored: &[u8]) -> Chunk {
        let stored_bytes = u32::try_from(stored.len()).unwrap();
        Chunk { digest: Digest::of(stored), stored_bytes, raw_bytes: stored_bytes }
    }

    fn open(disk: &SimDisk) -> Spool {
        Spool::open(Arc::new(disk.clone())).unwrap()
    }

    fn filled(disk: &SimDisk) -> (Spool, Manifest) {
        let (spool, all) = (open(disk), blocks(&["one", "two", "three"]));
        let manifest = of(9, &all);
        spool.begin(&manifest).unwrap();
        for (block, bytes) in manifest.chunks.iter().zip(&all) {
            assert!(!spool.has(block) && spool.keep(block, bytes).unwrap() && spool.has(block));
        }
        (spool, manifest)
    }

    #[test]
    fn what_was_fetched_is_there_after_a_restart() {
        let disk = SimDisk::new();
        let (_, manifest) = filled(&disk);
        let again = open(&disk.crash(Fate::Kept));
        assert_eq!(again.manifest().as_ref(), Some(&manifest));
        let read: Vec<_> = manifest.chunks.iter().map(|block| again.read(block).unwrap().unwrap()).collect();
        assert_eq!(read, blocks(&["one", "two", "three"]));
    }

    #[test]
    fn a_block_that_is_not_what_its_digest_says_is_neither_kept_nor_used() {
        let disk = SimDisk::new();
        let (spool, manifest) = filled(&disk);
        let block = &manifest.chunks[1];
        assert!(!spool.keep(block, b"tow").unwrap() && !spool.keep(block, b"twoo").unwrap());
        assert!(disk.flip(&block.digest.to_string(), 1, 0x40));
        assert_eq!(spool.read(block).unwrap(), None);
        assert!(!spool.has(block), "it is to be fetched again");
        assert!(spool.keep(block, b"two").unwrap() && spool.read(block).unwrap().is_some());
    }

    #[test]
    fn whatever_a_crash_leaves_nothing_false_is_read() {
        for seed in 0..200 {
            let disk = SimDisk::new();
            let (_, manifest) = filled(&disk);
            let again = open(&disk.crash(Fate::Chance(seed)));
            assert_eq!(again.manifest().as_ref(), Some(&manifest), "it was synced");
            for (block, bytes) in manifest.chunks.iter().zip(blocks(&["one", "two", "three"])) {
                assert!(again.read(block).unwrap().is_none_or(|read| read == bytes), "seed {seed}");
            }
        }
    }

    #[test]
    fn the_next_snapshot_keeps_what_it_shares_and_the_end_keeps_nothing() {
        let disk = SimDisk::new();
        let (spool, first) = filled(&disk);
        let second = of(12, &blocks(&["zero", "two", "three"]));
        spool.begin(&second).unwrap();
        assert_eq!(second.chunks.iter().map(|block| spool.has(block)).collect::<Vec<_>>(), [false, true, true]);
        assert!(!spool.has(&first.chunks[0]));
        assert_eq!(spool.manifest(), Some(second));
        spool.clear().unwrap();
        assert_eq!((spool.manifest(), disk.list().unwrap()), (None, vec![]));
        spool.clear().unwrap();
    }
}
