//! What a snapshot is made of, as members tell each other.
//!
//! ```text
//!   format u8 (1) │ last: term u64, index u64 │ membership at u64, len u32, bytes
//!                 │ blocks u32, { bytes u32, digest [32] } * blocks
//! ```
//!
//! Integers are little-endian. A block is one of [`mvcc::ImageBlocks`], its digest is SHA-256. The order of the blocks
//! is that of the image. The digest of all of this names the snapshot.

use bytes::{Buf, BufMut, Bytes};
use raft::{Index, LogId, Term};
use std::fmt;

/// The layout above. Another one needs another number.
const FORMAT: u8 = 1;

/// A block is a few MiB at most and may hold one large row on top; more is nobody's block.
pub(super) const BLOCK_BYTES_MAX: u32 = 32 << 20;

/// SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The digest that is written so, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes)).filter(|digest| digest.to_string() == text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its length.
    pub bytes: u32,
    /// Its digest.
    pub digest: Digest,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The last entry it covers.
    pub last: LogId,
    /// Where the configuration in force at `last` stands.
    pub membership_at: Index,
    /// That configuration, encoded.
    pub membership: Bytes,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
}

/// Bytes that are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Of another version.
    #[error("a manifest of format {0}")]
    Format(u8),
    /// Too short, too long, or with a block that cannot be.
    #[error("a manifest that makes no sense")]
    Damaged,
}

impl Manifest {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let count = |count: usize| u32::try_from(count).expect("far below 4 GiB");
        let mut out = Vec::with_capacity(64 + self.membership.len() + 36 * self.blocks.len());
        out.put_u8(FORMAT);
        out.put_u64_le(self.last.term.0);
        out.put_u64_le(self.last.index.0);
        out.put_u64_le(self.membership_at.0);
        out.put_u32_le(count(self.membership.len()));
        out.put_slice(&self.membership);
        out.put_u32_le(count(self.blocks.len()));
        for block in &self.blocks {
            out.put_u32_le(block.bytes);
            out.put_slice(&block.digest.0);
        }
        out.into()
    }

    /// Reads one back.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn decode(mut bytes: &[u8]) -> Result<Self, ManifestError> {
        match bytes.try_get_u8() {
            Ok(FORMAT) => Self::take(&mut bytes).filter(|_| bytes.is_empty()).ok_or(ManifestError::Damaged),
            Ok(format) => Err(ManifestError::Format(format)),
            Err(_) => Err(ManifestError::Damaged),
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let term = Term(bytes.try_get_u64_le().ok()?);
        let last = LogId { term, index: Index(bytes.try_get_u64_le().ok()?) };
        let membership_at = Index(bytes.try_get_u64_le().ok()?);
        let length = bytes.try_get_u32_le().ok()? as usize;
        let (membership, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let membership = Bytes::copy_from_slice(membership);
        // Collected one by one, so that a wrong count meets the end of the bytes before it costs memory.
        let blocks = (0..bytes.try_get_u32_le().ok()?).map(|_| take_block(bytes)).collect::<Option<_>>()?;
        Some(Self { last, membership_at, membership, blocks })
    }

    /// What names it.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// The bytes of all its blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.bytes)).sum()
    }
}

fn take_block(bytes: &mut &[u8]) -> Option<Block> {
    let length = bytes.try_get_u32_le().ok().filter(|length| *length <= BLOCK_BYTES_MAX)?;
    let mut digest = [0; 32];
    bytes.try_copy_to_slice(&mut digest).ok()?;
    Some(Block { bytes: length, digest: Digest(digest) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A manifest of blocks with these bytes.
    pub(in crate::install) fn of(index: u64, blocks: &[Bytes]) -> Manifest {
        let block = |bytes: &Bytes| Block { bytes: u32::try_from(bytes.len()).unwrap(), digest: Digest::of(bytes) };
        Manifest {
            last: LogId::new(3, index),
            membership_at: Index(2),
            membership: Bytes::from_static(b"members"),
            blocks: blocks.iter().map(block).collect(),
        }
    }

    #[test]
    fn a_manifest_comes_back_and_every_cut_is_refused() {
        let manifest = of(9, &[Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        assert!((0..bytes.len()).all(|cut| Manifest::decode(&bytes[..cut]).is_err()));
        assert_eq!(Manifest::decode(&[bytes.as_ref(), &[0]].concat()), Err(ManifestError::Damaged));
        assert_eq!(Manifest::decode(&[9]), Err(ManifestError::Format(9)));
        assert_eq!((manifest.bytes(), manifest.id()), (6, Digest::of(&bytes)));
    }

    #[test]
    fn a_count_without_blocks_and_a_block_that_is_too_large_are_refused() {
        let mut bytes = of(9, &[]).encode().to_vec();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Manifest::decode(&bytes), Err(ManifestError::Damaged));
        let mut huge = of(9, &[Bytes::from_static(b"one")]);
        huge.blocks[0].bytes = BLOCK_BYTES_MAX + 1;
        assert_eq!(Manifest::decode(&huge.encode()), Err(ManifestError::Damaged));
    }

    #[test]
    fn a_digest_is_read_back_from_its_name_and_nothing_else_is() {
        let digest = Digest::of(b"bytes");
        let name = digest.to_string();
        assert_eq!(Digest::parse(&name), Some(digest));
        for other in ["", &name[1..], &name.to_uppercase(), &name.replace(&name[..1], "g"), &format!("{name}0")] {
            assert_eq!(Digest::parse(other), None, "{other}");
        }
    }
}
