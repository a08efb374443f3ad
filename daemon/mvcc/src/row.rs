//! What the tables hold.
//!
//! ```text
//!   Keys       user key            → flags u8 │ main │ sub │ row bytes │ depth │ version data
//!   Revisions  main u64 │ sub u32  → flags u8 │ version data │ key length │ key │ value
//!                                    (the table's keys are big-endian; all other integers are varints)
//!
//!   version data   create │ version │ lease (if flagged, signed) │ prev main, sub, bytes (if flagged)
//!                  │ near main, sub (if flagged) │ far main, sub (if flagged)
//! ```
//!
//! A row of `Revisions` is one version of one key, or its tombstone. Each names the row before it of the same key
//! (`prev`), and two that are further back: `near`, the last one whose depth was a multiple of 64, and `far`, of
//! 4,096. The newest version of a key, tombstones included, is in `Keys`; older ones are found by walking back.
//!
//! * A pointer may name a row that compaction has removed: only one at or below the compacted revision.
//! * Everything but `prev`, `near`, `far` and the depth is the same on every member.

use crate::backend::REVISION_KEY_BYTES;
use crate::error::Fault;
use crate::types::{KeyValue, Revision};
use crate::varint;
use bytes::{BufMut, Bytes};

/// Versions between two `near` rows; their square is the distance of `far` rows.
const NEAR_VERSIONS: u64 = 64;
const FAR_VERSIONS: u64 = NEAR_VERSIONS * NEAR_VERSIONS;

/// Where a version stands: its revision and its place among the changes of that revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId {
    pub(crate) main: i64,
    pub(crate) sub: u32,
}

impl RowId {
    /// Names no row: revisions of rows are 2 and above.
    pub(crate) const NONE: Self = Self { main: 0, sub: 0 };

    /// The first row of a revision.
    pub(crate) fn first_of(main: i64) -> Self {
        Self { main, sub: 0 }
    }

    pub(crate) fn key(self) -> [u8; REVISION_KEY_BYTES] {
        let mut key = [0; REVISION_KEY_BYTES];
        key[..8].copy_from_slice(&self.main.cast_unsigned().to_be_bytes());
        key[8..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }

    pub(crate) fn from_key(key: &[u8]) -> Result<Self, Fault> {
        let key: &[u8; REVISION_KEY_BYTES] = key.try_into().map_err(|_| DAMAGED_REVISION_KEY)?;
        let (main, sub) = key.split_at(8);
        let main = u64::from_be_bytes(main.try_into().expect("eight of twelve bytes")).cast_signed();
        Ok(Self { main, sub: u32::from_be_bytes(sub.try_into().expect("four of twelve bytes")) })
    }
}

const DAMAGED_REVISION_KEY: Fault = Fault::Damaged("a revision key is not 12 bytes");

/// The way back from a version to the older ones of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) prev: RowId,
    /// What the row of `prev` takes on disk.
    pub(crate) prev_bytes: u32,
    pub(crate) near: RowId,
    pub(crate) far: RowId,
}

impl Links {
    /// Whether they lead to older versions only. Whoever follows others may go round for ever.
    pub(crate) fn lead_back_from(&self, id: RowId) -> bool {
        [self.prev, self.near, self.far].iter().all(|link| *link < id)
    }
}

/// All that is known of one version but its key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) create: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
    pub(crate) tombstone: bool,
    pub(crate) links: Links,
}

/// The newest version of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyMeta {
    pub(crate) id: RowId,
    /// What its row takes on disk.
    pub(crate) row_bytes: u32,
    /// How many versions there were, across deletions.
    pub(crate) depth: u64,
    pub(crate) version: Version,
}

impl KeyMeta {
    pub(crate) fn is_live(&self) -> bool {
        !self.version.tombstone
    }

    /// The links of the version that follows this one.
    pub(crate) fn links_onward(&self) -> Links {
        let old = self.version.links;
        Links {
            prev: self.id,
            prev_bytes: self.row_bytes,
            near: if self.depth.is_multiple_of(NEAR_VERSIONS) { self.id } else { old.near },
            far: if self.depth.is_multiple_of(FAR_VERSIONS) { self.id } else { old.far },
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.version.flags());
        put_id(self.id, out);
        varint::put(self.row_bytes.into(), out);
        varint::put(self.depth, out);
        self.version.encode(out);
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, Fault> {
        Self::take(&mut bytes).filter(|_| bytes.is_empty()).ok_or(Fault::Damaged("the metadata of a key"))
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (&flags, rest) = bytes.split_first()?;
        *bytes = rest;
        let id = take_id(bytes)?;
        let row_bytes = take_u32(bytes)?;
        let depth = varint::take(bytes)?;
        Some(Self { id, row_bytes, depth, version: Version::take(flags, bytes)? })
    }

    /// The key at this version, without its value.
    pub(crate) fn key_only(&self, key: Bytes) -> KeyValue {
        self.version.key_value(self.id, key, Bytes::new())
    }
}

/// Flags of both kinds of row.
mod flag {
    pub(super) const TOMBSTONE: u8 = 1;
    pub(super) const LEASE: u8 = 2;
    pub(super) const PREV: u8 = 4;
    pub(super) const NEAR: u8 = 8;
    pub(super) const FAR: u8 = 16;
}

impl Version {
    /// Whether an older version of the same life of the key exists, or did before compaction.
    pub(crate) fn supersedes(&self) -> bool {
        self.tombstone || self.version > 1
    }

    pub(crate) fn key_value(&self, id: RowId, key: Bytes, value: Bytes) -> KeyValue {
        KeyValue {
            key,
            value,
            create_revision: Revision(self.create),
            mod_revision: Revision(id.main),
            version: self.version,
            lease: self.lease,
        }
    }

    fn flags(&self) -> u8 {
        let on = |flag, is: bool| if is { flag } else { 0 };
        on(flag::TOMBSTONE, self.tombstone)
            | on(flag::LEASE, self.lease != 0)
            | on(flag::PREV, self.links.prev != RowId::NONE)
            | on(flag::NEAR, self.links.near != RowId::NONE)
            | on(flag::FAR, self.links.far != RowId::NONE)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(self.create.cast_unsigned(), out);
        varint::put(self.version.cast_unsigned(), out);
        if self.lease != 0 {
            varint::put_signed(self.lease, out);
        }
        if self.links.prev != RowId::NONE {
            put_id(self.links.prev, out);
            varint::put(self.links.prev_bytes.into(), out);
        }
        for link in [self.links.near, self.links.far] {
            if link != RowId::NONE {
                put_id(link, out);
            }
        }
    }

    fn take(flags: u8, bytes: &mut &[u8]) -> Option<Self> {
        let create = varint::take(bytes)?.cast_signed();
        let version = varint::take(bytes)?.cast_signed();
        let lease = if flags & flag::LEASE != 0 { varint::take_signed(bytes)? } else { 0 };
        let mut links = Links::default();
        if flags & flag::PREV != 0 {
            links.prev = take_id(bytes)?;
            links.prev_bytes = take_u32(bytes)?;
        }
        if flags & flag::NEAR != 0 {
            links.near = take_id(bytes)?;
        }
        if flags & flag::FAR != 0 {
            links.far = take_id(bytes)?;
        }
        Some(Self { create, version, lease, tombstone: flags & flag::TOMBSTONE != 0, links })
    }
}

/// One version with its key and value, wherever they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowView<'a> {
    pub(crate) id: RowId,
    pub(crate) version: Version,
    pub(crate) key: Slice<'a>,
    pub(crate) value: Slice<'a>,
}

/// Bytes that are either shared already or have to be copied to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slice<'a> {
    Shared(&'a Bytes),
    Borrowed(&'a [u8]),
}

impl Slice<'_> {
    pub(crate) fn to_bytes(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes.clone(),
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        }
    }
}

impl std::ops::Deref for Slice<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Borrowed(bytes) => bytes,
        }
    }
}

impl<'a> RowView<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.version.flags());
        self.version.encode(out);
        varint::put(self.key.len() as u64, out);
        out.put_slice(&self.key);
        out.put_slice(&self.value);
    }

    pub(crate) fn decode(id: RowId, bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::take(id, bytes).ok_or(Fault::Damaged("a version of a key"))
    }

    fn take(id: RowId, bytes: &'a [u8]) -> Option<Self> {
        let (&flags, mut bytes) = bytes.split_first()?;
        let version = Version::take(flags, &mut bytes)?;
        let key_bytes = usize::try_from(varint::take(&mut bytes)?).ok()?;
        let (key, value) = bytes.split_at_checked(key_bytes)?;
        Some(Self { id, version, key: Slice::Borrowed(key), value: Slice::Borrowed(value) })
    }

    pub(crate) fn key_value(&self) -> KeyValue {
        self.version.key_value(self.id, self.key.to_bytes(), self.value.to_bytes())
    }

    /// The same on every member, whatever was compacted where: links do not enter.
    pub(crate) fn fingerprint(&self) -> u64 {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.key), &self.value);
        let lengths = ((self.key.len() as u64) << 32) ^ self.value.len() as u64;
        let place = self.id.main.cast_unsigned().rotate_left(20) ^ u64::from(self.id.sub);
        let life = self.version.create.cast_unsigned().rotate_left(40) ^ self.version.version.cast_unsigned();
        let lease = self.version.lease.cast_unsigned() << 1 | u64::from(self.version.tombstone);
        [lengths, place, life, lease].into_iter().fold(mix(crc.into()), |hash, part| mix(hash ^ part))
    }
}

/// Spreads every bit of its input over all bits of its output (the finalizer of splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn put_id(id: RowId, out: &mut Vec<u8>) {
    varint::put(id.main.cast_unsigned(), out);
    varint::put(id.sub.into(), out);
}

fn take_id(bytes: &mut &[u8]) -> Option<RowId> {
    Some(RowId { main: varint::take(bytes)?.cast_signed(), sub: take_u32(bytes)? })
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    varint::take(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        let id = |main, sub| RowId { main, sub };
        let links = Links { prev: id(299, 3), prev_bytes: 70, near: id(200, 0), far: id(2, 1) };
        Version { create: 5, version: 300, lease: -3, tombstone: false, links }
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        for version in [version(), Version { tombstone: true, ..Version::default() }] {
            let id = RowId { main: 300, sub: 2 };
            let view = RowView { id, version, key: Slice::Borrowed(b"key"), value: Slice::Borrowed(b"value") };
            let mut bytes = Vec::new();
            view.encode(&mut bytes);
            let back = RowView::decode(id, &bytes).expect("sound");
            assert_eq!((back.version, &*back.key, &*back.value), (version, &b"key"[..], &b"value"[..]));

            let meta = KeyMeta { id, row_bytes: 77, depth: 4096, version };
            let mut bytes = Vec::new();
            meta.encode(&mut bytes);
            assert_eq!(KeyMeta::decode(&bytes).expect("sound"), meta);
            for cut in 0..bytes.len() {
                assert!(KeyMeta::decode(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn keys_of_rows_sort_as_their_revisions() {
        let ids = [(2, 0), (2, 1), (2, 256), (3, 0), (256, 0), (65_536, 7)].map(|(main, sub)| RowId { main, sub });
        assert!(ids.map(RowId::key).is_sorted());
        assert!(ids.iter().all(|id| RowId::from_key(&id.key()).expect("sound") == *id));
    }

    #[test]
    fn a_fingerprint_depends_on_all_but_the_links() {
        let id = RowId { main: 300, sub: 2 };
        let view = RowView { id, version: version(), key: Slice::Borrowed(b"key"), value: Slice::Borrowed(b"value") };
        let with = |version| RowView { version, ..view }.fingerprint();
        assert_eq!(with(Version { links: Links::default(), ..version() }), view.fingerprint());
        assert_ne!(with(Version { lease: 0, ..version() }), view.fingerprint());
        assert_ne!(with(Version { tombstone: true, ..version() }), view.fingerprint());
        let shifted = RowView { key: Slice::Borrowed(b"keyv"), value: Slice::Borrowed(b"alue"), ..view };
        assert_ne!(shifted.fingerprint(), view.fingerprint());
    }
}
