//! Whether a snapshot is whole, sound and of what its manifest says.

use super::chunk::Chunk;
use super::error::{Damage, SnapshotError};
use super::manifest::Manifest;
use super::source::ChunkSource;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use mvcc::{ImageCheck, ImageSummary};

/// Chunks that are fetched at once: enough to hide the way to an object store, and a few megabytes of memory each.
pub(super) const FETCHES_MAX: usize = 4;

/// Goes through the chunks of a snapshot in order, and gives out their blocks.
pub struct Checker<'a> {
    manifest: &'a Manifest,
    image: ImageCheck,
    next: usize,
}

impl<'a> Checker<'a> {
    /// Begins with the first chunk.
    #[must_use]
    pub fn new(manifest: &'a Manifest) -> Self {
        Self { manifest, image: ImageCheck::default(), next: 0 }
    }

    /// Takes the stored bytes of the next chunk, called `object`, and returns the block in them.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] if they are not what the manifest names there.
    ///
    /// # Panics
    /// If all chunks have been taken.
    pub fn chunk(&mut self, object: &str, stored: &Bytes) -> Result<Bytes, SnapshotError> {
        let chunk = &self.manifest.chunks[self.next];
        let block = chunk.open(stored).map_err(|error| SnapshotError::damaged(object, error))?;
        self.image.block(&block).map_err(|error| SnapshotError::image(object, error))?;
        self.next += 1;
        match (self.image.has_ended(), self.next == self.manifest.chunks.len()) {
            (true, false) => Err(SnapshotError::damaged(object, Damage::Image("ends the image, and chunks follow"))),
            (false, true) => {
                Err(SnapshotError::damaged(object, Damage::Image("is the last, and does not end the image")))
            }
            (true, true) | (false, false) => Ok(block),
        }
    }

    /// Compares what the chunks held with what the manifest says.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] if they differ, or chunks are missing.
    pub fn finish(self) -> Result<ImageSummary, SnapshotError> {
        let object = || format!("snapshot {}", self.manifest.id());
        if self.next < self.manifest.chunks.len() {
            return Err(SnapshotError::damaged(object(), Damage::Image("was not read to its end")));
        }
        let image = self.image.finish().map_err(|error| SnapshotError::image(object(), error))?;
        let pairs = [
            ("index", self.manifest.last.index.0, image.applied),
            ("revision", self.manifest.revision.cast_unsigned(), image.revision.0.cast_unsigned()),
            ("state hash", self.manifest.state_hash, image.state_hash),
        ];
        match pairs.into_iter().find(|(_, manifest, image)| manifest != image) {
            None => Ok(image),
            Some((what, manifest, image)) => {
                Err(SnapshotError::damaged(object(), Damage::Mismatch { what, manifest, image }))
            }
        }
    }
}

/// Reads every chunk and checks everything. `seen` hears of each chunk that was sound.
///
/// # Errors
/// [`SnapshotError`], with the name of the object that is wrong or missing.
pub async fn verify(
    manifest: &Manifest,
    source: &dyn ChunkSource,
    mut seen: impl FnMut(&Chunk),
) -> Result<ImageSummary, SnapshotError> {
    let mut checker = Checker::new(manifest);
    let mut chunks = fetched(manifest, source);
    while let Some((chunk, bytes)) = chunks.try_next().await? {
        checker.chunk(&source.name_of(chunk), &bytes)?;
        seen(chunk);
    }
    checker.finish()
}

/// The chunks of a snapshot in order, several of them on their way at once.
pub(super) fn fetched<'a>(
    manifest: &'a Manifest,
    source: &'a dyn ChunkSource,
) -> impl stream::Stream<Item = Result<(&'a Chunk, Bytes), SnapshotError>> + Send + Unpin + 'a {
    let fetch = move |chunk: &'a Chunk| async move { Ok((chunk, source.chunk(chunk).await?)) };
    Box::pin(stream::iter(&manifest.chunks).map(fetch).buffered(FETCHES_MAX))
}
