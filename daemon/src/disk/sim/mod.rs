//! A disk in memory that keeps, through a crash, what a real one may keep, and fails when told to.
//!
//! * A file has two contents: what reads see, and what is on the medium. A write reaches the first; a sync carries
//!   it to the second.
//! * A crash decides for each 512-byte sector written since the last sync on its own: lost, any of the versions
//!   written, a torn mix, zeros or garbage. The length of the file is decided apart from its sectors, and each
//!   creation, renaming and removal apart from the others ([`Fate`] says by what rule).
//! * A sync that fails leaves its sectors "clean": reads still see the new bytes, the medium never gets them, and
//!   the next sync succeeds without them, as Linux does (Rebello et al., ATC 2020).
//! * Beyond a budget of bytes, whatever would grow a file says that the disk is full.
//! * [`SimDisk::lose_power_after`] ends the world after so many effects, so that a test can visit every one.

mod crash;
mod file;

pub use crash::Fate;

use super::{Disk, File};
use file::{Inode, SimFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a disk writes in one piece, or breaks in one piece.
pub const SECTOR_BYTES: usize = 512;

/// The errno of a device that fails.
const EIO: i32 = 5;

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

/// Names an inode for as long as the disk lives.
type InodeId = usize;

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    /// What a listing shows.
    names: BTreeMap<String, InodeId>,
    /// What a crash cannot take back.
    durable_names: BTreeMap<String, InodeId>,
    /// What has happened to names since the last directory sync.
    pending_names: Vec<NameChange>,
    faults: Faults,
    counts: Counts,
}

#[derive(Clone)]
enum NameChange {
    Link(String, InodeId),
    Unlink(String),
    Rename { from: String, to: String, inode: InodeId },
}

impl NameChange {
    /// What it makes of a listing.
    fn apply(self, names: &mut BTreeMap<String, InodeId>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name, inode);
            }
            Self::Unlink(name) => {
                names.remove(&name);
            }
            Self::Rename { from, to, inode } => {
                names.remove(&from);
                names.insert(to, inode);
            }
        }
    }
}

#[derive(Default)]
struct Faults {
    lose_power_after: Option<u64>,
    fail_sync: Option<u64>,
    budget_bytes: Option<u64>,
    unreadable: Option<String>,
}

/// What has happened to a disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything that changes something: writes, syncs, new lengths, new names.
    pub effects: u64,
    /// Calls to write.
    pub writes: u64,
    /// Syncs of files and of the directory.
    pub syncs: u64,
}

impl SimDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.world().counts
    }

    /// After this many effects from the beginning, every further one fails and changes nothing.
    pub fn lose_power_after(&self, effects: u64) {
        self.world().faults.lose_power_after = Some(effects);
    }

    /// The sync with this number, counted from the beginning from 1, fails and its sectors turn clean.
    pub fn fail_sync(&self, number: u64) {
        self.world().faults.fail_sync = Some(number);
    }

    /// Nothing fails any more; what has been lost stays lost.
    pub fn heal(&self) {
        self.world().faults = Faults::default();
    }

    /// The bytes all files together may take from now on; none for no limit.
    pub fn set_budget(&self, bytes: Option<u64>) {
        self.world().faults.budget_bytes = bytes;
    }

    /// The bytes all files together may take; none for no limit.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.world().faults.budget_bytes
    }

    /// The bytes all files take.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.world().used_bytes()
    }

    /// Reads of this file fail from now on; none heals it.
    pub fn set_unreadable(&self, name: Option<&str>) {
        self.world().faults.unreadable = name.map(str::to_owned);
    }

    /// Flips bits of one byte on the medium and in memory. Says whether there is such a byte.
    pub fn flip(&self, name: &str, at: u64, mask: u8) -> bool {
        let mut world = self.world();
        let Some(&inode) = world.names.get(name) else { return false };
        world.inodes[inode].flip(usize::try_from(at).expect("simulated files are small"), mask)
    }

    /// What reads of a file see.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.world();
        world.names.get(name).map(|&inode| world.inodes[inode].seen().to_vec())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nothing panics while it holds the simulated disk")
    }
}

impl World {
    /// Counts an effect, unless the power is gone.
    fn effect(&mut self) -> io::Result<()> {
        if self.faults.lose_power_after.is_some_and(|limit| self.counts.effects >= limit) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.counts.effects += 1;
        Ok(())
    }

    /// Counts a sync. Says whether this is the one that fails.
    fn sync_fails(&mut self) -> io::Result<bool> {
        self.effect()?;
        self.counts.syncs += 1;
        Ok(self.faults.fail_sync == Some(self.counts.syncs))
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|&inode| self.inodes[inode].seen().len() as u64).sum()
    }

    /// Whether a file may grow by so many bytes.
    fn room_for(&self, growth: u64) -> io::Result<()> {
        match self.faults.budget_bytes {
            Some(budget) if growth > 0 && self.used_bytes() + growth > budget => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            _ => Ok(()),
        }
    }

    fn named(&self, name: &str) -> io::Result<InodeId> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.world().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut world = self.world();
        if world.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        world.effect()?;
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.names.insert(name.to_owned(), inode);
        world.pending_names.push(NameChange::Link(name.to_owned(), inode));
        Ok(Arc::new(SimFile { disk: self.clone(), inode, name: name.to_owned() }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.world().named(name)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, name: name.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        let inode = world.named(from)?;
        world.effect()?;
        world.names.remove(from);
        world.names.insert(to.to_owned(), inode);
        world.pending_names.push(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.named(name)?;
        world.effect()?;
        world.names.remove(name);
        world.pending_names.push(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.world();
        if world.sync_fails()? {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let World { pending_names, durable_names, .. } = &mut *world;
        pending_names.drain(..).for_each(|change| change.apply(durable_names));
        Ok(())
    }
}

#[cfg(test)]
#[path = "sim_tests.rs"]
mod tests;
