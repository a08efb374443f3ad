//! The first 4 KiB of a segment: whose it is, which one it is, and where the one before it ended.
//!
//! ```text
//!   0 magic [8] │ 8 version u32 │ 12 crc u32 │ 16 cluster u64 │ 24 member u64 │ 32 storage [16]
//!   48 sequence u64 │ 56 salt u64 │ 64 base term u64 │ 72 base index u64
//!   80 end of the previous segment u64 │ 88 its last chain value u32 │ 92 length u64 │ 100 zeros to 4096
//! ```
//!
//! * `crc` is crc32c over all the other bytes. It is also the chain value the first batch continues.
//! * `salt` is this segment's own: every batch repeats it, so nothing an earlier life of the file has left behind, and
//!   nothing a client has put into an entry, passes for a batch.
//! * `base` is the last entry before the segment, for people; recovery goes by the checkpoint.
//! * `length` is the file's when the segment began, mostly that of a spare. A file only grows: one that is shorter has
//!   lost its end, which would look like the end of the log. 0 in segments that do not say.

use super::error::{Identity, Problem};
use raft::{Index, LogId, MemberId, Term};

/// Bytes of the header; the first batch follows.
pub(super) const HEADER_BYTES: usize = 4096;
/// The version of everything in this folder.
pub(super) const FORMAT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"QUORWAL\0";

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: Identity,
    pub(super) sequence: u64,
    pub(super) salt: u64,
    pub(super) base: LogId,
    /// Where the batches of the previous segment end.
    pub(super) previous_end: u64,
    /// The last chain value of the previous segment.
    pub(super) previous_chain: u32,
    /// The length that the file had already, in bytes.
    pub(super) length: u64,
}

/// Why bytes are no header of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Another version wrote it.
    Version(u32),
    /// It is not sound.
    Broken,
}

impl From<HeaderError> for Problem {
    fn from(_: HeaderError) -> Self {
        Self::Header
    }
}

impl Header {
    /// The bytes, and the chain value the first batch continues.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let mut out = vec![0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        put(&mut out, 16, self.identity.cluster);
        put(&mut out, 24, self.identity.member.0);
        out[32..48].copy_from_slice(&self.identity.storage);
        put(&mut out, 48, self.sequence);
        put(&mut out, 56, self.salt);
        put(&mut out, 64, self.base.term.0);
        put(&mut out, 72, self.base.index.0);
        put(&mut out, 80, self.previous_end);
        out[88..92].copy_from_slice(&self.previous_chain.to_le_bytes());
        put(&mut out, 92, self.length);
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// The header in these bytes, and the chain value the first batch continues.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u32), HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Broken)?;
        if bytes[0..8] != MAGIC {
            return Err(HeaderError::Broken);
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(HeaderError::Version(version));
        }
        let crc = u32_at(bytes, 12);
        if crc != checksum(bytes) {
            return Err(HeaderError::Broken);
        }
        Ok((Self::from_sound(bytes), crc))
    }

    fn from_sound(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            identity: Identity {
                cluster: u64_at(bytes, 16),
                member: MemberId(u64_at(bytes, 24)),
                storage: bytes[32..48].try_into().expect("sixteen bytes of a fixed header"),
            },
            sequence: u64_at(bytes, 48),
            salt: u64_at(bytes, 56),
            base: LogId { term: Term(u64_at(bytes, 64)), index: Index(u64_at(bytes, 72)) },
            previous_end: u64_at(bytes, 80),
            previous_chain: u32_at(bytes, 88),
            length: u64_at(bytes, 92),
        }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

fn put(out: &mut [u8], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of a fixed header"))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a fixed header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            identity: Identity { cluster: 1, member: MemberId(2), storage: [3; 16] },
            sequence: 4,
            salt: 5,
            base: LogId::new(6, 7),
            previous_end: 8,
            previous_chain: 9,
            length: 10,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let (bytes, chain) = sample().encode();
        assert_eq!(Header::decode(&bytes), Ok((sample(), chain)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (bytes, _) = sample().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&broken).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let (mut bytes, _) = sample().encode();
        bytes[8] = 2;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(2)));
    }
}
