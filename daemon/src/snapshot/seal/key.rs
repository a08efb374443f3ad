//! One key, and what is derived from it.

use super::super::digest::Digest;
use crate::bootstrap::ClusterId;
use crate::hex::Hex;
use backup_keys::Secret;
use ring::hmac::{self, HMAC_SHA256, Tag};
use std::fmt;

/// Which key: derived from the secret, so that no two files mean different keys by one id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::BYTES]);

/// A key. Its secrets are in no text that it gives.
pub struct Key {
    id: KeyId,
    names: hmac::Key,
    objects: hmac::Key,
}

impl KeyId {
    /// Its length.
    pub const BYTES: usize = 8;

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl Key {
    /// The key of a secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let secret = hmac::Key::new(HMAC_SHA256, secret);
        let derived = |label: &str| hmac::sign(&secret, label.as_bytes());
        let id = derived("quorate snapshots: key id");
        Self {
            id: KeyId(*id.as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes")),
            names: hmac::Key::new(HMAC_SHA256, derived("quorate snapshots: names").as_ref()),
            objects: hmac::Key::new(HMAC_SHA256, derived("quorate snapshots: objects").as_ref()),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The name of a chunk's object, and its salt.
    #[must_use]
    pub fn chunk_name(&self, cluster: ClusterId, chunk: &Digest) -> Digest {
        let mut of = [0; 8 + Digest::BYTES];
        of[..8].copy_from_slice(&cluster.0.to_le_bytes());
        of[8..].copy_from_slice(chunk.as_bytes());
        let name = hmac::sign(&self.names, &of);
        Digest::from_bytes(name.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes"))
    }

    pub(super) fn object_secret(&self, of: &[u8]) -> Tag {
        hmac::sign(&self.objects, of)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}
