//! The one row that says where the store stands. It is written by every commit, with the data it speaks of.
//!
//! ```text
//!   format u8 │ applied │ revision │ compacted signed │ swept │ state hash │ in use
//!             │ alarms: count, then kind and member │ members: count, then id, name and URLs
//!             │ staging: as its module says (not in format 1)
//! ```
//!
//! All integers are varints; texts carry their length.

use crate::command::PublishedMember;
use crate::error::Fault;
use crate::row::mix;
use crate::staging::{self, Staged};
use crate::types::{Alarm, AlarmKind, Revision};
use crate::varint;
use bytes::BufMut;
use std::collections::{BTreeMap, BTreeSet};

/// The key of the row.
pub(crate) const HEAD_KEY: &[u8] = b"head";

/// The layout above. Another one needs another number and a way to read this one.
const FORMAT: u8 = 2;

/// The layout before snapshots were staged.
const FORMAT_WITHOUT_STAGING: u8 = 1;

/// Where the store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The log index up to which commands are in the data.
    pub(crate) applied: u64,
    /// The newest revision.
    pub(crate) revision: i64,
    /// The oldest readable revision.
    pub(crate) compacted: i64,
    /// Rows that only revisions below this one could see are gone from the disk. Differs between members.
    pub(crate) swept: i64,
    /// A rolling hash of everything applied.
    pub(crate) state_hash: u64,
    /// Bytes of all rows. Differs between members.
    pub(crate) in_use: u64,
    pub(crate) alarms: BTreeSet<Alarm>,
    pub(crate) members: BTreeMap<u64, PublishedMember>,
    pub(crate) staged: Staged,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            applied: 0,
            revision: Revision::EMPTY.0,
            compacted: Revision::NEVER.0,
            swept: 0,
            state_hash: 0,
            in_use: 0,
            alarms: BTreeSet::new(),
            members: BTreeMap::new(),
            staged: Staged::default(),
        }
    }
}

impl Head {
    /// Makes the state hash depend on `part`, and on its place in the order of parts.
    pub(crate) fn fold(&mut self, part: u64) {
        self.state_hash = mix(self.state_hash ^ part);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        varint::put(self.applied, &mut out);
        varint::put(self.revision.cast_unsigned(), &mut out);
        varint::put_signed(self.compacted, &mut out);
        varint::put(self.swept.cast_unsigned(), &mut out);
        varint::put(self.state_hash, &mut out);
        varint::put(self.in_use, &mut out);
        varint::put(self.alarms.len() as u64, &mut out);
        for alarm in &self.alarms {
            varint::put(alarm_number(alarm.kind), &mut out);
            varint::put(alarm.member, &mut out);
        }
        varint::put(self.members.len() as u64, &mut out);
        for member in self.members.values() {
            put_member(member, &mut out);
        }
        staging::put_all(&self.staged, &mut out);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        match bytes.split_first() {
            Some((&format @ (FORMAT | FORMAT_WITHOUT_STAGING), mut rest)) => {
                Self::take(format, &mut rest).filter(|_| rest.is_empty()).ok_or(Fault::Damaged("the head row"))
            }
            _ => Err(Fault::Damaged("the head row is of another format")),
        }
    }

    fn take(format: u8, bytes: &mut &[u8]) -> Option<Self> {
        let mut head = Self {
            applied: varint::take(bytes)?,
            revision: varint::take(bytes)?.cast_signed(),
            compacted: varint::take_signed(bytes)?,
            swept: varint::take(bytes)?.cast_signed(),
            state_hash: varint::take(bytes)?,
            in_use: varint::take(bytes)?,
            alarms: BTreeSet::new(),
            members: BTreeMap::new(),
            staged: Staged::default(),
        };
        for _ in 0..varint::take(bytes)? {
            let kind = alarm_kind(varint::take(bytes)?)?;
            head.alarms.insert(Alarm { kind, member: varint::take(bytes)? });
        }
        for _ in 0..varint::take(bytes)? {
            let member = take_member(bytes)?;
            head.members.insert(member.id, member);
        }
        if format != FORMAT_WITHOUT_STAGING {
            head.staged = staging::take_all(bytes)?;
        }
        Some(head)
    }
}

/// The bytes of what a member published, for the head row and for the state hash.
pub(crate) fn put_member(member: &PublishedMember, out: &mut Vec<u8>) {
    varint::put(member.id, out);
    put_text(&member.name, out);
    varint::put(member.client_urls.len() as u64, out);
    member.client_urls.iter().for_each(|url| put_text(url, out));
}

fn take_member(bytes: &mut &[u8]) -> Option<PublishedMember> {
    let id = varint::take(bytes)?;
    let name = take_text(bytes)?;
    let urls = varint::take(bytes)?;
    let client_urls = (0..urls).map(|_| take_text(bytes)).collect::<Option<_>>()?;
    Some(PublishedMember { id, name, client_urls })
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    varint::put(text.len() as u64, out);
    out.put_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

pub(crate) fn alarm_number(kind: AlarmKind) -> u64 {
    match kind {
        AlarmKind::NoSpace => 1,
        AlarmKind::Corrupt => 2,
    }
}

fn alarm_kind(number: u64) -> Option<AlarmKind> {
    match number {
        1 => Some(AlarmKind::NoSpace),
        2 => Some(AlarmKind::Corrupt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::StagedSnapshot;

    #[test]
    fn the_head_comes_back_as_it_was_written_and_cuts_are_noticed() {
        let member = PublishedMember { id: 9, name: "m9".into(), client_urls: vec!["http://a".into(), String::new()] };
        let staged = StagedSnapshot {
            id: [5; 32],
            index: 6,
            revision: Revision(299),
            bytes: 1 << 30,
            staged_ms: 1_700_000_000_000,
            retired_ms: Some(0),
        };
        let head = Head {
            applied: 7,
            revision: 300,
            compacted: -1,
            swept: 12,
            state_hash: u64::MAX,
            in_use: 1 << 40,
            alarms: [Alarm { kind: AlarmKind::Corrupt, member: 3 }].into(),
            members: [(9, member)].into(),
            staged: Staged { stager: 9, wanted: 4, snapshots: [([5; 32], staged)].into() },
        };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes).expect("sound"), head);
        assert!((0..bytes.len()).all(|cut| Head::decode(&bytes[..cut]).is_err()));
    }

    #[test]
    fn a_head_of_before_staging_is_read() {
        let mut bytes = Head { applied: 7, ..Head::default() }.encode();
        bytes[0] = FORMAT_WITHOUT_STAGING;
        let nothing_staged = bytes.split_off(bytes.len() - 3);
        assert_eq!(nothing_staged, [0, 0, 0]);
        assert_eq!(Head::decode(&bytes).expect("sound"), Head { applied: 7, ..Head::default() });
    }
}
