//! What can be wrong with a snapshot: the object by its name, and the reason.

use super::chunk::ChunkError;
use super::manifest::ManifestError;
use super::seal::{KeyFileError, KeyId, SealError};
use mvcc::{Fault, ImageError};
use std::io;
use std::path::PathBuf;

/// Why a snapshot cannot be taken, stored, verified or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// An object is not what it should be. Another copy of the same snapshot, or another snapshot, may be sound.
    #[error("{object}: {damage}")]
    Damaged {
        /// The object, as its holder names it.
        object: String,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The object store did not do as it was asked.
    #[error(transparent)]
    Store(#[from] objects::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the disk says.
        source: io::Error,
    },
    /// Whoever holds the chunks did not give one. Trying again, or another holder, may help.
    #[error("{object}: {problem}")]
    Unavailable {
        /// The chunk.
        object: String,
        /// What was seen.
        problem: String,
    },
    /// This member's state storage failed.
    #[error(transparent)]
    Storage(#[from] Fault),
    /// An object is encrypted, and its key is not at hand.
    #[error("{object}: is encrypted with key {key}, and {at_hand}")]
    Locked {
        /// The object.
        object: String,
        /// The key it is under.
        key: KeyId,
        /// What there is instead, for people.
        at_hand: String,
    },
    /// What is uploaded is to be encrypted, and there are no keys for it yet.
    #[error("nothing is uploaded without the keys that encrypt it: {0}")]
    NoKeys(#[from] KeyFileError),
    /// The snapshots so far are encrypted, and the next one would not be.
    #[error(
        "{object}: is encrypted with key {key}, and without a key the next snapshot would not be: give the file with \
         the key, or begin under another prefix"
    )]
    Unencrypted {
        /// The manifest of the newest one.
        object: String,
        /// The key it is under.
        key: KeyId,
    },
    /// Something that deletes chunks is at work in the store, or was cut short there: try again later.
    #[error("{0} is deleting what is not needed: try again when it has ended")]
    Collecting(String),
    /// What was being done was given up from the other side.
    #[error("the snapshot was given up")]
    GivenUp,
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It should be a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It should be a chunk.
    #[error("{0}")]
    Chunk(#[from] ChunkError),
    /// It is the chunk that the manifest names, but not of an image.
    #[error("{0}")]
    Image(&'static str),
    /// It is a sound snapshot, but not of what its manifest says.
    #[error("says {what} {manifest}, and the chunks hold {image}")]
    Mismatch {
        /// Which figure.
        what: &'static str,
        /// What the manifest says.
        manifest: u64,
        /// What the image says.
        image: u64,
    },
    /// It should be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It should be a snapshot in one file.
    #[error("{0}")]
    File(&'static str),
    /// Its name says another thing than its content.
    #[error("its name does not belong to its content: {0}")]
    Name(&'static str),
}

impl SnapshotError {
    pub(super) fn damaged(object: impl Into<String>, damage: impl Into<Damage>) -> Self {
        Self::Damaged { object: object.into(), damage: damage.into() }
    }

    pub(super) fn image(object: impl Into<String>, error: ImageError) -> Self {
        match error {
            ImageError::Damaged(why) => Self::damaged(object, Damage::Image(why)),
            ImageError::Fault(fault) => Self::Storage(fault),
        }
    }

    /// Whether it says that the bytes at hand are wrong, and not that they could not be had.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Store(objects::Error::Corrupt { .. }))
    }
}
