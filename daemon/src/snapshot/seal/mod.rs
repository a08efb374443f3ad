//! Encrypting what goes to object storage, so that whoever can read the store learns nothing of the keys and values.
//!
//! ```text
//!   "QSNP" │ format u16 = 2 │ kind u16 (1 manifest, 2 chunk) │ key id [8] │ salt [32] │ ciphertext │ tag [16]
//! ```
//!
//! Integers are little-endian. The ciphertext is the manifest, or the chunk, as it would be stored without a key:
//! AES-256-GCM, under a key of the object's own and the nonce 0, with everything before the ciphertext as associated
//! data. From the 32 bytes of a key in the file come, each by HMAC-SHA-256 under a label,
//!
//! ```text
//!   the key id              its first 8 bytes
//!   names      ─▶ salt of a chunk     HMAC(cluster u64 │ SHA-256 of the chunk)      which is its object's name, too
//!   objects    ─▶ key of an object    HMAC(kind u16 │ cluster u64 │ index u64 │ salt)      index: 0 for a chunk
//! ```
//!
//! * A chunk's salt follows from its content, so a chunk that did not change has the same name and the same bytes in
//!   every snapshot under one key, and is stored once. One object key never meets two contents: the salt is a keyed
//!   digest of the content, and of a manifest it is random.
//! * The salt being keyed, a name tells nobody without the key what the content is, not even to confirm a guess.
//! * An object under another's name, of another cluster or index, or changed in any bit does not open. What opens is
//!   compared with the manifest's digests all the same.
//! * What stays visible: how many chunks of which length there are, which of them snapshots share, and of which cluster
//!   and index they are.
//! * A manifest and all of its chunks are under one key. Another first key in the file begins a new set of chunks.

mod key;
mod keys;

pub use key::{Key, KeyId};
pub use keys::{KeyFile, KeyFileError, Keys};

use super::digest::Digest;
use crate::bootstrap::ClusterId;
use bytes::{BufMut, Bytes, BytesMut};
use raft::Index;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::fmt;

const MAGIC: &[u8; 4] = b"QSNP";
/// The first format of a manifest is the one without a key.
const FORMAT: u16 = 2;
const SALT_AT: usize = 16;
const HEADER_BYTES: usize = SALT_AT + Digest::BYTES;
const TAG_BYTES: usize = 16;

/// What sealing adds to an object.
pub const SEAL_BYTES: u64 = (HEADER_BYTES + TAG_BYTES) as u64;

/// What an object is, so that it opens as nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The manifest of the snapshot at this index.
    Manifest(Index),
    /// A chunk.
    Chunk,
}

/// Why bytes do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// They do not begin like a sealed object.
    #[error("is not encrypted as its snapshot is")]
    NotSealed,
    /// They are of a version that is not known here.
    #[error("is encrypted in format {0}, which this version does not know")]
    Format(u16),
    /// They are under another key than the one they should be under.
    #[error("is encrypted with key {found} instead of {expected}")]
    Key {
        /// The snapshot's.
        expected: KeyId,
        /// What they say.
        found: KeyId,
    },
    /// They were changed, cut, or belong under another name.
    #[error("does not open with key {0}: it was changed, cut short, or belongs under another name")]
    Changed(KeyId),
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::Manifest(_) => 1,
            Self::Chunk => 2,
        }
    }

    fn index(self) -> u64 {
        match self {
            Self::Manifest(index) => index.0,
            Self::Chunk => 0,
        }
    }
}

impl Key {
    /// Seals a manifest or a chunk.
    #[must_use]
    pub fn seal(&self, cluster: ClusterId, kind: Kind, salt: &Digest, plain: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        out.put_slice(MAGIC);
        out.put_u16_le(FORMAT);
        out.put_u16_le(kind.number());
        out.put_slice(self.id().as_bytes());
        out.put_slice(salt.as_bytes());
        out.put_slice(plain);
        let (header, body) = out.split_at_mut(HEADER_BYTES);
        let tag = self.object(cluster, kind, salt).seal_in_place_separate_tag(once(), Aad::from(&*header), body);
        out.put_slice(tag.expect("objects are far shorter than the cipher's limit").as_ref());
        out.freeze()
    }

    /// What was sealed as this kind; of a chunk, under this name.
    ///
    /// # Errors
    /// [`SealError`] if it is anything else.
    pub fn open(
        &self,
        cluster: ClusterId,
        kind: Kind,
        name: Option<&Digest>,
        sealed: &[u8],
    ) -> Result<Bytes, SealError> {
        let found = key_of(sealed)?.ok_or(SealError::NotSealed)?;
        if found != self.id() {
            return Err(SealError::Key { expected: self.id(), found });
        }
        let changed = SealError::Changed(self.id());
        let (header, body) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(changed)?;
        let salt = Digest::from_bytes(*header.last_chunk().expect("the salt ends the header"));
        if name.is_some_and(|name| *name != salt) {
            return Err(changed);
        }
        let mut plain = BytesMut::from(body);
        let opened = self.object(cluster, kind, &salt).open_in_place(once(), Aad::from(header), &mut plain);
        let length = opened.map_err(|_| changed)?.len();
        plain.truncate(length);
        Ok(plain.freeze())
    }

    fn object(&self, cluster: ClusterId, kind: Kind, salt: &Digest) -> LessSafeKey {
        let mut of = [0; 2 + 8 + 8 + Digest::BYTES];
        let mut rest = &mut of[..];
        rest.put_u16_le(kind.number());
        rest.put_u64_le(cluster.0);
        rest.put_u64_le(kind.index());
        rest.put_slice(salt.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, self.object_secret(&of).as_ref());
        LessSafeKey::new(key.expect("HMAC-SHA-256 gives the 32 bytes that the cipher takes"))
    }
}

/// The nonce of the one content that a key seals.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// The key that an object says it is sealed with; none if it is not sealed.
///
/// # Errors
/// [`SealError::Format`] if it is sealed in a way that is not known here.
pub(super) fn key_of(object: &[u8]) -> Result<Option<KeyId>, SealError> {
    let Some(&[low, high, _, _, ref rest @ ..]) = object.strip_prefix(MAGIC) else { return Ok(None) };
    match (u16::from_le_bytes([low, high]), rest.first_chunk()) {
        // That of a manifest as it is.
        (..FORMAT, _) => Ok(None),
        (FORMAT, Some(id)) => Ok(Some(KeyId::from_bytes(*id))),
        (FORMAT, None) => Ok(None),
        (other, _) => Err(SealError::Format(other)),
    }
}

/// How much of an object [`key_of`] looks at.
pub(super) const KEY_OF_BYTES: u64 = SALT_AT as u64;

/// How an object is kept, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing(pub Option<KeyId>);

impl fmt::Display for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "with key {key}"),
            None => f.write_str("no"),
        }
    }
}

#[cfg(test)]
mod tests;
