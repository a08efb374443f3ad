//! Which snapshots are in object storage: replicated, so that every member knows the newest one and nobody decides
//! from a listing what may be deleted.
//!
//! ```text
//!   Staged ──▶ kept ──Retired(when)──▶ retired: no new snapshot builds on its chunks ──Forgotten──▶ gone
//! ```
//!
//! One member at a time does the work: the leader, or whom it delegates to. Who asks for a snapshot at once asks for
//! one that holds the entry with the question, so that clocks have no say in whether it was answered.
//!
//! In the head row: `stager │ wanted │ count`, then records: `id 32 bytes │ index │ revision signed │ bytes │ staged ms │ retired ms, plus one; 0 for kept`,
//! all but the id varints.

use crate::types::Revision;
use crate::varint;
use bytes::BufMut;
use std::collections::BTreeMap;

/// The most snapshots that are remembered. Retention keeps far fewer; what is beyond is refused, so that the head row,
/// which every commit writes, stays small.
pub const STAGED_SNAPSHOTS_MAX: usize = 256;

/// The digest of a snapshot's manifest.
pub type SnapshotDigest = [u8; 32];

/// A snapshot that is whole in object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedSnapshot {
    /// The digest of its manifest, which names it.
    pub id: SnapshotDigest,
    /// The last log index in it.
    pub index: u64,
    /// The newest revision in it.
    pub revision: Revision,
    /// What its chunks take, in bytes, whether shared or not.
    pub bytes: u64,
    /// When it was staged, in milliseconds since 1970 on the clock of the member that did it.
    pub staged_ms: u64,
    /// When it was given up, on the clock of the member that decided so; it is deleted some time later.
    pub retired_ms: Option<u64>,
}

/// What happened in object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staging {
    /// A snapshot is whole there.
    Staged(StagedSnapshot),
    /// A snapshot is no longer wanted. Its objects are still there.
    Retired {
        /// Which.
        id: SnapshotDigest,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// A retired snapshot's objects are gone.
    Forgotten {
        /// Which.
        id: SnapshotDigest,
    },
    /// This member shall stage from now on.
    Delegated {
        /// Which.
        member: u64,
    },
    /// Somebody wants a snapshot that holds the entry with this change.
    Wanted,
}

/// What is known of object storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The member that stages, 0 for none.
    pub(crate) stager: u64,
    /// The log index that a snapshot was wanted of last, 0 for none.
    pub(crate) wanted: u64,
    /// The snapshots, by id.
    pub(crate) snapshots: BTreeMap<SnapshotDigest, StagedSnapshot>,
}

/// Carries out the change in the entry at `index`; whether there was anything to change. The same on every member.
pub(crate) fn change(staged: &mut Staged, index: u64, change: &Staging) -> bool {
    let snapshots = &mut staged.snapshots;
    match change {
        Staging::Delegated { member } => std::mem::replace(&mut staged.stager, *member) != *member,
        Staging::Wanted => {
            staged.wanted = index;
            true
        }
        // Told again, or given up meanwhile: what is known stays.
        Staging::Staged(snapshot) if snapshots.contains_key(&snapshot.id) => false,
        Staging::Staged(_) if snapshots.len() >= STAGED_SNAPSHOTS_MAX => false,
        Staging::Staged(snapshot) => {
            snapshots.insert(snapshot.id, *snapshot);
            true
        }
        Staging::Retired { id, at_ms } => match snapshots.get_mut(id) {
            Some(snapshot) if snapshot.retired_ms.is_none() => {
                // One below the largest: the record keeps the number above for "kept".
                snapshot.retired_ms = Some((*at_ms).min(u64::MAX - 1));
                true
            }
            _ => false,
        },
        Staging::Forgotten { id } => match snapshots.get(id) {
            Some(snapshot) if snapshot.retired_ms.is_some() => snapshots.remove(id).is_some(),
            _ => false,
        },
    }
}

pub(crate) fn put(snapshot: &StagedSnapshot, out: &mut impl BufMut) {
    out.put_slice(&snapshot.id);
    varint::put(snapshot.index, out);
    varint::put_signed(snapshot.revision.0, out);
    varint::put(snapshot.bytes, out);
    varint::put(snapshot.staged_ms, out);
    varint::put(snapshot.retired_ms.map_or(0, |at| at.saturating_add(1)), out);
}

pub(crate) fn take(bytes: &mut &[u8]) -> Option<StagedSnapshot> {
    Some(StagedSnapshot {
        id: take_id(bytes)?,
        index: varint::take(bytes)?,
        revision: Revision(varint::take_signed(bytes)?),
        bytes: varint::take(bytes)?,
        staged_ms: varint::take(bytes)?,
        retired_ms: varint::take(bytes)?.checked_sub(1),
    })
}

fn take_id(bytes: &mut &[u8]) -> Option<SnapshotDigest> {
    let (id, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*id)
}

pub(crate) fn put_all(staged: &Staged, out: &mut impl BufMut) {
    varint::put(staged.stager, out);
    varint::put(staged.wanted, out);
    varint::put(staged.snapshots.len() as u64, out);
    staged.snapshots.values().for_each(|snapshot| put(snapshot, out));
}

pub(crate) fn take_all(bytes: &mut &[u8]) -> Option<Staged> {
    let mut staged = Staged { stager: varint::take(bytes)?, wanted: varint::take(bytes)?, snapshots: BTreeMap::new() };
    for _ in 0..varint::take(bytes)? {
        let snapshot = take(bytes)?;
        staged.snapshots.insert(snapshot.id, snapshot);
    }
    Some(staged)
}

/// The bytes of a change, in an entry and for the state hash: `change u8 │ record, or id and when`.
pub(crate) fn put_change(change: &Staging, out: &mut impl BufMut) {
    match change {
        Staging::Staged(snapshot) => {
            out.put_u8(STAGED);
            put(snapshot, out);
        }
        Staging::Retired { id, at_ms } => {
            out.put_u8(RETIRED);
            out.put_slice(id);
            varint::put(*at_ms, out);
        }
        Staging::Forgotten { id } => {
            out.put_u8(FORGOTTEN);
            out.put_slice(id);
        }
        Staging::Delegated { member } => {
            out.put_u8(DELEGATED);
            varint::put(*member, out);
        }
        Staging::Wanted => out.put_u8(WANTED),
    }
}

/// The change at the front of `bytes`; none if there is no whole one of a known kind.
pub(crate) fn take_change(bytes: &mut &[u8]) -> Option<Staging> {
    let (&kind, rest) = bytes.split_first()?;
    *bytes = rest;
    match kind {
        STAGED => take(bytes).map(Staging::Staged),
        RETIRED => Some(Staging::Retired { id: take_id(bytes)?, at_ms: varint::take(bytes)? }),
        FORGOTTEN => Some(Staging::Forgotten { id: take_id(bytes)? }),
        DELEGATED => Some(Staging::Delegated { member: varint::take(bytes)? }),
        WANTED => Some(Staging::Wanted),
        _ => None,
    }
}

const STAGED: u8 = 1;
const RETIRED: u8 = 2;
const FORGOTTEN: u8 = 3;
const DELEGATED: u8 = 4;
const WANTED: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(id: u8) -> StagedSnapshot {
        let revision = Revision(7);
        StagedSnapshot { id: [id; 32], index: 9, revision, bytes: 1 << 30, staged_ms: 1_000, retired_ms: None }
    }

    #[test]
    fn changes_come_back_as_they_were_written_and_cuts_are_noticed() {
        let retired = StagedSnapshot { retired_ms: Some(u64::MAX - 1), ..snapshot(2) };
        let changes = [
            Staging::Staged(snapshot(1)),
            Staging::Staged(retired),
            Staging::Retired { id: [3; 32], at_ms: 5 },
            Staging::Forgotten { id: [4; 32] },
            Staging::Delegated { member: u64::MAX },
            Staging::Wanted,
        ];
        for change in changes {
            let mut bytes = Vec::new();
            put_change(&change, &mut bytes);
            assert_eq!(take_change(&mut &bytes[..]), Some(change));
            assert!((0..bytes.len()).all(|cut| take_change(&mut &bytes[..cut]).is_none()));
        }
        assert_eq!(take_change(&mut &[9; 40][..]), None);
    }

    #[test]
    fn a_snapshot_is_staged_retired_and_forgotten_once_and_in_this_order() {
        let mut staged = Staged::default();
        let (stage, retire, forget) = (
            Staging::Staged(snapshot(1)),
            Staging::Retired { id: [1; 32], at_ms: 2_000 },
            Staging::Forgotten { id: [1; 32] },
        );
        let steps = [
            (retire, false),
            (stage, true),
            (stage, false),
            (forget, false),
            (retire, true),
            (retire, false),
            (stage, false),
            (forget, true),
            (forget, false),
        ];
        for (step, changes) in steps {
            assert_eq!(change(&mut staged, 1, &step), changes, "{step:?}");
        }
        assert_eq!(staged, Staged::default());
    }

    #[test]
    fn one_member_stages_and_what_is_wanted_is_an_entry() {
        let mut staged = Staged::default();
        assert!(change(&mut staged, 1, &Staging::Delegated { member: 7 }));
        assert!(!change(&mut staged, 2, &Staging::Delegated { member: 7 }));
        assert!(change(&mut staged, 3, &Staging::Wanted));
        assert_eq!((staged.stager, staged.wanted), (7, 3));
    }

    #[test]
    fn no_more_are_remembered_than_there_may_be() {
        let mut staged = Staged::default();
        for number in 0..=STAGED_SNAPSHOTS_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let there = change(&mut staged, 1, &Staging::Staged(StagedSnapshot { id, ..snapshot(0) }));
            assert_eq!(there, number < STAGED_SNAPSHOTS_MAX);
        }
    }
}
