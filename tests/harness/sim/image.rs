//! A log as the disk holds it: the hard state, what precedes the first entry, and the entries, each with the rolling
//! hash of the whole log up to it, so that one comparison compares two logs.

use super::rng::mix;
use raft::{Entry, EntryKind, HardState, Index, LogId, Membership, Persist};
use std::collections::VecDeque;
use std::sync::Arc;

/// One entry with what the log amounts to up to and including it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The entry.
    pub entry: Entry,
    /// What it and everything before it hash to.
    pub hash: u64,
    /// The bytes of it and of everything before it.
    pub bytes: u64,
}

/// The last thing before a log's first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The last entry that is gone.
    pub last: LogId,
    /// What everything up to it hashes to.
    pub hash: u64,
    /// The bytes of everything up to it.
    pub bytes: u64,
}

/// A log.
#[derive(Clone, Debug, Default)]
pub struct LogImage {
    /// Term and vote.
    pub hard_state: HardState,
    /// What precedes the entries.
    pub base: Base,
    entries: VecDeque<Logged>,
    /// The configuration at the base, then each one in the entries. Empty for a member nobody has added yet.
    memberships: Vec<(Index, Arc<Membership>)>,
}

impl Base {
    /// What the log amounts to with this entry behind it.
    #[must_use]
    pub fn then(self, entry: &Entry) -> Self {
        Self { last: entry.id(), hash: chain(self.hash, entry), bytes: self.bytes + entry.bytes() }
    }
}

impl Logged {
    /// The log up to and including this entry, as what precedes the next one.
    #[must_use]
    pub fn as_base(&self) -> Base {
        Base { last: self.entry.id(), hash: self.hash, bytes: self.bytes }
    }
}

impl LogImage {
    /// The log of a new member: with the first configuration of a new cluster, or without one.
    #[must_use]
    pub fn format(first: Option<Arc<Membership>>) -> Self {
        Self { memberships: first.map(|membership| (Index::ZERO, membership)).into_iter().collect(), ..Self::default() }
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Base {
        self.entries.back().map_or(self.base, Logged::as_base)
    }

    /// The log up to `index`, if that is retained.
    #[must_use]
    pub fn at(&self, index: Index) -> Option<Base> {
        if index == self.base.last.index {
            return Some(self.base);
        }
        self.entry(index).map(Logged::as_base)
    }

    /// The entry at `index`.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Logged> {
        let offset = index.0.checked_sub(self.base.last.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// Whether this very entry is here, or was before it was cut.
    #[must_use]
    pub fn contains(&self, id: LogId) -> bool {
        id.index < self.base.last.index || self.at(id.index).is_some_and(|at| at.last == id)
    }

    /// The configurations from the one at the base on.
    #[must_use]
    pub fn memberships(&self) -> &[(Index, Arc<Membership>)] {
        &self.memberships
    }

    /// The configurations from the one at `index` on.
    #[must_use]
    pub fn memberships_from(&self, index: Index) -> &[(Index, Arc<Membership>)] {
        let at = self.memberships.iter().rposition(|(at, _)| *at <= index).unwrap_or(0);
        &self.memberships[at..]
    }

    /// The configuration in force up to `index`.
    #[must_use]
    pub fn membership_at(&self, index: Index) -> Option<&(Index, Arc<Membership>)> {
        self.memberships.iter().rev().find(|(at, _)| *at <= index)
    }

    /// Lets one write take effect.
    ///
    /// # Errors
    /// What is wrong with the write: a log has no gaps, and a configuration can be read.
    pub fn apply(&mut self, persist: &Persist) -> Result<(), String> {
        if let Some(hard_state) = persist.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(from) = persist.truncate_from {
            self.truncate(from)?;
        }
        persist.append.iter().try_for_each(|entry| self.push(entry))
    }

    fn truncate(&mut self, from: Index) -> Result<(), String> {
        let keep = from
            .0
            .checked_sub(self.base.last.index.0 + 1)
            .ok_or_else(|| format!("truncates from {from}, but everything up to {} is gone already", self.base.last))?;
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        while self.memberships.last().is_some_and(|(at, _)| *at >= from) {
            self.memberships.pop();
        }
        Ok(())
    }

    fn push(&mut self, entry: &Entry) -> Result<(), String> {
        let before = self.last();
        if entry.index() != before.last.index.next() {
            return Err(format!("appends {entry} after {}", before.last));
        }
        if entry.kind() == EntryKind::Membership {
            let membership = Membership::decode(entry.payload()).map_err(|error| error.to_string())?;
            self.memberships.push((entry.index(), Arc::new(membership)));
        }
        let after = before.then(entry);
        self.entries.push_back(Logged { entry: entry.clone(), hash: after.hash, bytes: after.bytes });
        Ok(())
    }

    /// Cuts everything up to `through`, if that is here, and hands it out.
    pub fn compact(&mut self, through: Index) -> Vec<Logged> {
        let Some(base) = self.at(through) else { return Vec::new() };
        let count = usize::try_from(through.0 - self.base.last.index.0).expect("a count of entries");
        let gone = self.entries.drain(..count).collect();
        self.base = base;
        self.memberships = self.memberships_from(through).to_vec();
        gone
    }

    /// Puts the log behind a snapshot: one that contains the snapshot's last entry stays as it is.
    pub fn install(&mut self, base: Base, membership: (Index, Arc<Membership>)) {
        if !self.contains(base.last) {
            self.entries.clear();
            self.memberships = vec![membership];
            self.base = base;
        }
    }
}

/// The rolling hash of a log that ends with `entry` after what hashes to `before`. The record's checksum stands for
/// its kind, its stamp and its payload.
fn chain(before: u64, entry: &Entry) -> u64 {
    let crc: [u8; 4] = entry.record()[4..8].try_into().expect("a record has a header");
    mix(before ^ mix(entry.term().0 << 32 ^ entry.index().0) ^ u64::from(u32::from_le_bytes(crc)).rotate_left(17))
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
