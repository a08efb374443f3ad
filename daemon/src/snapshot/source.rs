//! Whoever has chunks.

use super::chunk::Chunk;
use super::error::SnapshotError;
use bytes::Bytes;
use tonic::async_trait;

/// A place that chunks can be read from, a few at a time and in any order. It is not trusted: whoever reads compares
/// what it gets with [`Chunk::check`].
#[async_trait]
pub trait ChunkSource: Send + Sync {
    /// The stored bytes of a chunk, at most a few more than its length.
    ///
    /// # Errors
    /// [`SnapshotError`] if it does not give them; the message names the chunk as [`ChunkSource::name_of`] does.
    async fn chunk(&self, chunk: &Chunk) -> Result<Bytes, SnapshotError>;

    /// What the chunk is called there, for people.
    fn name_of(&self, chunk: &Chunk) -> String;
}
