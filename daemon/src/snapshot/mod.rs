//! Snapshots: the whole store at one log index, as a manifest and chunks that snapshots share.
//!
//! ```text
//!   mvcc::Image ─▶ Take ─▶ chunks, manifest ─┬─▶ SnapshotStore (an object store)  ─┐
//!                 own thread, paced          └─▶ SnapshotWriter (one file, a stream)─┴─▶ ChunkSource ─▶ verify ─▶ restore
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`Manifest`] | what a snapshot is: its place in the log, its members, its chunks; its digest is the snapshot's id |
//! | [`Chunk`] | one block of the image, compressed, named by the digest of what is stored |
//! | [`Take`], [`Taking`] | making one of a running member, on a thread of its own |
//! | [`ChunkSource`] | whoever has chunks: an object store, a file, another member |
//! | [`Checker`], [`verify`] | whether it is whole, sound and what its manifest says |
//! | [`Restoring`], [`restore_into`] | writing it to an empty disk |
//! | [`SnapshotStore`] | the layout of a prefix in an object store |
//! | [`KeyFile`], [`Key`] | encrypting what goes there |
//! | [`Streams`] | sending one to whoever asks, as that file |
//! | [`SnapshotWriter`], [`SnapshotFile`] | the layout of a single file, which is what `etcdctl snapshot save` keeps |
//!
//! * Nothing read from outside is believed: every length is bounded before it is allocated, every chunk is compared
//!   with its digest before it is decompressed, and every row is looked at before it is stored.
//! * Errors name the object and what is wrong with it.

mod check;
mod chunk;
mod digest;
mod error;
mod file;
mod manifest;
mod restore;
mod seal;
mod source;
mod store;
mod stream;
mod take;

#[cfg(test)]
mod s3_tests;
#[cfg(test)]
mod tests;

pub use check::{Checker, verify};
pub use chunk::{CHUNK_RAW_BYTES_MAX, CHUNK_STORED_BYTES_MAX, Chunk, ChunkError, SealedChunk};
pub use digest::{Digest, DigestError, SnapshotId};
pub use error::{Damage, SnapshotError};
pub use file::{SnapshotFile, SnapshotWriter};
pub use manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
pub use restore::{Restoring, restore_into};
pub use seal::{Key, KeyFile, KeyFileError, KeyId, Keys, Kind, SEAL_BYTES, SealError, Sealing};
pub use source::ChunkSource;
pub use store::{Collected, Deferred, Opened, SnapshotName, SnapshotStore, StoredChunks, Upload};
pub use stream::{Sending, Streams};
pub(crate) use take::placed;
pub use take::{Pace, Piece, Take, TakeError, Taking};
