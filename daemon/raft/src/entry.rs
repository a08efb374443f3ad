//! A log entry and its record, which is the same bytes in memory, on the wire and on disk: encoded once by the
//! leader that proposes it, checksummed once, and verified by whoever reads it.
//!
//! ```text
//!   offset  0        4         8       9        10        16      24       32         40
//!           len u32 │ crc u32 │ kind u8│ flags u8│ zero u48│ term  │ index  │ wall_us  │ payload [len] │ zero padding
//! ```
//!
//! * Integers are little-endian; `term`, `index` and `wall_us` are u64.
//! * `crc` is crc32c over everything after it: bytes 8..40 and the payload, without the padding.
//! * A record is a multiple of 8 bytes long; the padding is zero.
//! * `flags` is zero in this version; a reader refuses others.

use crate::types::{Index, LogId, Term};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// Bytes before the payload.
pub const RECORD_HEADER_BYTES: usize = 40;

/// What an entry carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A command of the state machine, opaque to consensus.
    Command,
    /// The first entry of a leader's term, which lets it commit what it inherited.
    Noop,
    /// A membership, effective as soon as it is appended.
    Membership,
}

/// One entry of the log: a view of its encoded record.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    id: LogId,
    kind: EntryKind,
    wall_us: u64,
    payload_bytes: usize,
    record: Bytes,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// More bytes are needed than are there.
    #[error("record needs {needed} bytes, {found} are left")]
    Short {
        /// Bytes the record would take.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The checksum does not match.
    #[error("record checksum is {stored:#010x}, its bytes give {computed:#010x}")]
    Checksum {
        /// What the record says.
        stored: u32,
        /// What its bytes say.
        computed: u32,
    },
    /// The checksum is right and the content is not of this version.
    #[error("record has unknown kind {kind} or flags {flags:#04x}")]
    Unknown {
        /// The kind byte.
        kind: u8,
        /// The flags byte.
        flags: u8,
    },
}

impl EntryKind {
    fn to_byte(self) -> u8 {
        match self {
            Self::Command => 1,
            Self::Noop => 2,
            Self::Membership => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Command),
            2 => Some(Self::Noop),
            3 => Some(Self::Membership),
            _ => None,
        }
    }
}

impl Entry {
    /// Encodes one entry at the end of `slab` and returns how many bytes its record takes. Call
    /// [`Entry::split_from`] afterwards, once for each, when the slab is complete.
    pub fn encode_into(slab: &mut BytesMut, id: LogId, kind: EntryKind, wall_us: u64, payload: &[u8]) -> usize {
        let start = slab.len();
        let length = record_bytes(payload.len());
        slab.reserve(length);
        slab.put_u32_le(u32::try_from(payload.len()).expect("proposals are limited far below 4 GiB"));
        slab.put_u32_le(0);
        slab.put_u8(kind.to_byte());
        slab.put_bytes(0, 7);
        slab.put_u64_le(id.term.0);
        slab.put_u64_le(id.index.0);
        slab.put_u64_le(wall_us);
        slab.put_slice(payload);
        let crc = crc32c::crc32c(&slab[start + 8..]);
        slab[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        slab.put_bytes(0, start + length - slab.len());
        length
    }

    /// The length of a record with this payload.
    #[must_use]
    pub fn bytes_with(payload: &[u8]) -> usize {
        record_bytes(payload.len())
    }

    /// One entry in a buffer of its own. Batches share one: see [`Entry::encode_into`].
    #[must_use]
    pub fn new(id: LogId, kind: EntryKind, wall_us: u64, payload: &[u8]) -> Self {
        let mut slab = BytesMut::with_capacity(record_bytes(payload.len()));
        let length = Self::encode_into(&mut slab, id, kind, wall_us, payload);
        Self::split_from(&mut slab.freeze(), length, id, kind, wall_us, payload.len())
    }

    /// Takes the record of `length` bytes from the front of a slab that this process has just encoded.
    #[must_use]
    pub fn split_from(
        slab: &mut Bytes,
        length: usize,
        id: LogId,
        kind: EntryKind,
        wall_us: u64,
        payload_bytes: usize,
    ) -> Self {
        Self { id, kind, wall_us, payload_bytes, record: slab.split_to(length) }
    }

    /// Takes one record from the front of `bytes`, after verifying its checksum; nothing is copied.
    ///
    /// # Errors
    /// [`RecordError`] when the front of `bytes` is not a whole, sound record; `bytes` is then unchanged.
    pub fn decode(bytes: &mut Bytes) -> Result<Self, RecordError> {
        let header: &[u8; RECORD_HEADER_BYTES] =
            bytes.first_chunk().ok_or(RecordError::Short { needed: RECORD_HEADER_BYTES, found: bytes.len() })?;
        let payload_bytes = u32_at(header, 0) as usize;
        let length = record_bytes(payload_bytes);
        if bytes.len() < length {
            return Err(RecordError::Short { needed: length, found: bytes.len() });
        }
        let (stored, computed) = (u32_at(header, 4), crc32c::crc32c(&bytes[8..RECORD_HEADER_BYTES + payload_bytes]));
        if stored != computed {
            return Err(RecordError::Checksum { stored, computed });
        }
        let (byte, flags) = (header[8], header[9]);
        let kind =
            EntryKind::from_byte(byte).filter(|_| flags == 0).ok_or(RecordError::Unknown { kind: byte, flags })?;
        let id = LogId { term: Term(u64_at(header, 16)), index: Index(u64_at(header, 24)) };
        let wall_us = u64_at(header, 32);
        Ok(Self { id, kind, wall_us, payload_bytes, record: bytes.split_to(length) })
    }

    /// Its place and term.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Its place.
    #[must_use]
    pub fn index(&self) -> Index {
        self.id.index
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.id.term
    }

    /// What it carries.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// When the leader appended it, by that leader's wall clock, in microseconds since 1970. For people and for
    /// estimates only: nothing is decided by it.
    #[must_use]
    pub fn wall_us(&self) -> u64 {
        self.wall_us
    }

    /// The command, or the encoded membership.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.record.slice(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + self.payload_bytes)
    }

    /// The whole record, as it goes to disk and to peers.
    #[must_use]
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The length of the record: what the entry counts for in every byte budget and in `lag_bytes`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.record.len() as u64
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}+{}", self.id, self.kind, self.payload_bytes)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)
    }
}

/// The length of a record with a payload of `payload` bytes.
const fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(8)
}

fn u32_at(header: &[u8; RECORD_HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes of a fixed header"))
}

fn u64_at(header: &[u8; RECORD_HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes of a fixed header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(payload: &[u8]) -> Entry {
        Entry::new(LogId::new(3, 8), EntryKind::Command, 77, payload)
    }

    #[test]
    fn a_record_decodes_to_the_entry_that_was_encoded() {
        for length in [0, 1, 7, 8, 9, 255, 4096] {
            let entry = sample(&vec![0xa5; length]);
            let mut bytes = entry.record().clone();
            assert_eq!(Entry::decode(&mut bytes).expect("sound"), entry);
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn every_flipped_bit_before_the_padding_is_noticed() {
        let record = sample(b"twelve bytes").record().clone();
        for bit in 0..(RECORD_HEADER_BYTES + 12) * 8 {
            let mut broken = record.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::decode(&mut Bytes::from(broken)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_cut_short_asks_for_the_rest() {
        let record = sample(b"twelve bytes").record().clone();
        for cut in 0..record.len() {
            assert!(matches!(Entry::decode(&mut record.slice(..cut)), Err(RecordError::Short { .. })), "cut at {cut}");
        }
    }
}
