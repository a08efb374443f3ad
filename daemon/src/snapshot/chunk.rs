//! Chunks: one block of a store's image each, compressed, and named by the digest of the stored bytes.
//!
//! ```text
//!   chunk   codec u8 (0 as it is, 1 LZ4 block) │ the block
//! ```
//!
//! * The name says whether the bytes are right before anything interprets them, and `sha256sum` can tell, too.
//! * LZ4 because a snapshot is made next to the work of clients, on as few as two cores: it packs several hundred
//!   megabytes a second on one, its decoder is safe Rust, and it needs no C. The codec's number leaves room for others.

use super::digest::Digest;
use bytes::Bytes;
use raft::planted::{Bug, is_planted};
use std::fmt;

/// The largest block: what [`mvcc::BLOCK_BYTES_MAX`] allows, and one row as large as the log's largest command.
pub const CHUNK_RAW_BYTES_MAX: u32 = 16 << 20;

/// The most that is stored of it: one that does not shrink is stored as it is.
pub const CHUNK_STORED_BYTES_MAX: u32 = CHUNK_RAW_BYTES_MAX + 1;

const _: () = assert!(mvcc::BLOCK_BYTES_MAX + crate::node::COMMAND_BYTES_MAX < CHUNK_RAW_BYTES_MAX as usize);

const AS_IT_IS: u8 = 0;
const LZ4: u8 = 1;

/// What a manifest says of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The digest of what is stored: its name.
    pub digest: Digest,
    /// The length of what is stored.
    pub stored_bytes: u32,
    /// The length of the block in it.
    pub raw_bytes: u32,
}

/// A chunk with its bytes, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    /// What the manifest will say of it.
    pub chunk: Chunk,
    /// What is stored.
    pub bytes: Bytes,
}

/// Why bytes are not the chunk they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// They are too few or too many.
    #[error("has {found} bytes instead of {expected}")]
    Length {
        /// What the manifest says.
        expected: u32,
        /// What there is.
        found: usize,
    },
    /// They are others.
    #[error("has the digest {found}")]
    Digest {
        /// What there is.
        found: Digest,
    },
    /// They are what the manifest names, but no chunk that this program can read.
    #[error("is packed by codec {0}, which this version does not know")]
    Codec(u8),
    /// They are what the manifest names, but do not unpack to what it says.
    #[error("does not unpack to {expected} bytes")]
    Packing {
        /// What the manifest says.
        expected: u32,
    },
}

impl SealedChunk {
    /// Packs a block.
    ///
    /// # Panics
    /// If the block is larger than [`CHUNK_RAW_BYTES_MAX`], which no image's is.
    #[must_use]
    pub fn seal(block: &[u8]) -> Self {
        assert!(block.len() <= CHUNK_RAW_BYTES_MAX as usize, "blocks of images are bounded");
        let mut stored = vec![0; 1 + lz4_flex::block::get_maximum_output_size(block.len())];
        let packed = lz4_flex::block::compress_into(block, &mut stored[1..]).expect("there is room for the worst case");
        if packed < block.len() {
            stored[0] = LZ4;
            stored.truncate(1 + packed);
        } else {
            stored.clear();
            stored.push(AS_IT_IS);
            stored.extend_from_slice(block);
        }
        let chunk =
            Chunk { digest: Digest::of(&stored), stored_bytes: small(stored.len()), raw_bytes: small(block.len()) };
        stored.shrink_to_fit();
        Self { chunk, bytes: stored.into() }
    }
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("chunks are bounded")
}

impl Chunk {
    /// Whether these are the chunk's bytes.
    ///
    /// # Errors
    /// [`ChunkError`] if they are not.
    pub fn check(&self, stored: &[u8]) -> Result<(), ChunkError> {
        if is_planted(Bug::Unverified) {
            return Ok(());
        }
        if stored.len() != self.stored_bytes as usize {
            return Err(ChunkError::Length { expected: self.stored_bytes, found: stored.len() });
        }
        match Digest::of(stored) {
            found if found == self.digest => Ok(()),
            found => Err(ChunkError::Digest { found }),
        }
    }

    /// The block in the chunk, once the bytes have been compared with the digest.
    ///
    /// # Errors
    /// [`ChunkError`] if they are not the chunk's, or hold something else.
    pub fn open(&self, stored: &Bytes) -> Result<Bytes, ChunkError> {
        self.check(stored)?;
        let expected = self.raw_bytes;
        let packed = stored.slice(stored.len().min(1)..);
        let block = match stored.first() {
            Some(&AS_IT_IS) => packed,
            Some(&LZ4) => unpack(&packed, expected)?,
            Some(&codec) => return Err(ChunkError::Codec(codec)),
            None => return Err(ChunkError::Packing { expected }),
        };
        if block.len() == expected as usize { Ok(block) } else { Err(ChunkError::Packing { expected }) }
    }
}

fn unpack(packed: &[u8], expected: u32) -> Result<Bytes, ChunkError> {
    let wrong = ChunkError::Packing { expected };
    if expected > CHUNK_RAW_BYTES_MAX {
        return Err(wrong);
    }
    let mut block = vec![0; expected as usize];
    let length = lz4_flex::block::decompress_into(packed, &mut block).map_err(|_| wrong)?;
    block.truncate(length);
    Ok(block.into())
}

impl fmt::Display for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.digest, self.stored_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_comes_back_and_a_changed_chunk_does_not(
            block in prop::collection::vec(any::<u8>(), 0..5000),
            repeated in 1..20usize,
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let block = block.repeat(repeated);
            let SealedChunk { chunk, bytes } = SealedChunk::seal(&block);
            prop_assert_eq!(chunk.open(&bytes), Ok(Bytes::from(block)));
            let mut flipped = bytes.to_vec();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            let refused = matches!(chunk.open(&flipped.into()), Err(ChunkError::Digest { .. }));
            prop_assert!(refused);
            let cut = chunk.open(&bytes.slice(..at));
            prop_assert_eq!(cut, Err(ChunkError::Length { expected: chunk.stored_bytes, found: at }));
        }

        #[test]
        fn bytes_that_nobody_packed_are_refused_without_harm(
            mut stored in prop::collection::vec(any::<u8>(), 0..300),
            raw_bytes in prop_oneof![0..2000u32, Just(u32::MAX), Just(CHUNK_RAW_BYTES_MAX + 1)],
        ) {
            if let Some(codec) = stored.first_mut() {
                *codec %= 3;
            }
            let chunk = Chunk { digest: Digest::of(&stored), stored_bytes: small(stored.len()), raw_bytes };
            if let Ok(block) = chunk.open(&stored.into()) {
                prop_assert_eq!(block.len(), raw_bytes as usize);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let noise: Vec<u8> = (0..2000u32).flat_map(|n| *Digest::of(&n.to_le_bytes()).as_bytes()).collect();
        let sealed = SealedChunk::seal(&noise);
        assert_eq!((sealed.bytes[0], sealed.bytes.len()), (AS_IT_IS, noise.len() + 1));
        let text = b"the same again and again; ".repeat(1000);
        let sealed = SealedChunk::seal(&text);
        assert!(sealed.bytes[0] == LZ4 && sealed.bytes.len() < text.len() / 10);
    }
}
