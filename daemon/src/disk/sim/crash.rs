//! What a crash leaves behind.

use super::file::{Inode, Sector, put_sector, sector_of};
use super::{SECTOR_BYTES, SimDisk, World};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The rule by which a crash decides about everything that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it reached the medium: what the end of a process alone looks like.
    Kept,
    /// None of it did.
    Lost,
    /// Every sector, length and name for itself, by this seed.
    Chance(u64),
}

impl SimDisk {
    /// A new disk, as this one would be found after a crash now. This one goes on.
    #[must_use]
    pub fn crash(&self, fate: Fate) -> Self {
        let world = self.world();
        let mut dice = Dice::new(fate);
        let names = names_after(&world, &mut dice);
        let mut after = World::default();
        for (name, inode) in names {
            after.names.insert(name, after.inodes.len());
            after.inodes.push(Inode::settled(bytes_after(&world.inodes[inode], &mut dice)));
        }
        after.durable_names = after.names.clone();
        Self { world: Arc::new(Mutex::new(after)) }
    }
}

fn names_after(world: &World, dice: &mut Dice) -> BTreeMap<String, usize> {
    let mut names = world.durable_names.clone();
    for change in &world.pending_names {
        if dice.keeps() {
            change.clone().apply(&mut names);
        }
    }
    names
}

fn bytes_after(inode: &Inode, dice: &mut Dice) -> Arc<Vec<u8>> {
    let mut bytes = Arc::clone(inode.medium());
    if dice.keeps() && bytes.len() != inode.seen().len() {
        Arc::make_mut(&mut bytes).resize(inode.seen().len(), 0);
    }
    for (sector, versions) in inode.dirty() {
        let found = dice.sector(&sector_of(inode.medium(), sector), &versions);
        put_sector(Arc::make_mut(&mut bytes).as_mut_slice(), sector, &found);
    }
    bytes
}

/// Decides, one question at a time.
struct Dice {
    fate: Fate,
    state: u64,
}

impl Dice {
    fn new(fate: Fate) -> Self {
        Self { fate, state: if let Fate::Chance(seed) = fate { seed } else { 0 } }
    }

    /// The next number of SplitMix64, below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn keeps(&mut self) -> bool {
        match self.fate {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Chance(_) => self.below(2) == 0,
        }
    }

    fn sector(&mut self, old: &Sector, versions: &[&Sector]) -> Sector {
        let newest = versions.last().expect("a dirty sector has been written");
        match self.fate {
            Fate::Kept => **newest,
            Fate::Lost => *old,
            Fate::Chance(_) => match self.below(8) {
                0..3 => **newest,
                3..5 => *old,
                5 => *versions[self.below(versions.len())],
                6 => self.torn(old, newest),
                _ => self.spoilt(),
            },
        }
    }

    /// The new bytes up to some point, the old ones after it.
    fn torn(&mut self, old: &Sector, new: &Sector) -> Sector {
        let (mut mix, point) = (*old, self.below(SECTOR_BYTES));
        mix[..point].copy_from_slice(&new[..point]);
        mix
    }

    /// Neither the old nor the new.
    fn spoilt(&mut self) -> Sector {
        if self.below(2) == 0 {
            return [0; SECTOR_BYTES];
        }
        let mut garbage = [0; SECTOR_BYTES];
        garbage.fill_with(|| u8::try_from(self.below(256)).expect("below 256"));
        garbage
    }
}
