//! Writing a snapshot to an empty disk.

use super::check::{Checker, fetched};
use super::chunk::Chunk;
use super::error::SnapshotError;
use super::manifest::Manifest;
use super::source::ChunkSource;
use crate::disk::Disk;
use crate::store::{Options, RedbBackend};
use bytes::Bytes;
use futures::TryStreamExt;
use mvcc::{Backend, ImageSummary, Rebirth, Restore};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Blocks that wait to be written: the next one is at hand while the disk is busy.
const BLOCKS_WAITING_MAX: usize = 2;

/// Writes the chunks of a snapshot, in order, into an empty backend, and checks each before. Blocks its caller.
/// The backend can be opened as a store only once [`Restoring::finish`] has succeeded.
pub struct Restoring<'a> {
    checker: Checker<'a>,
    restore: Restore<'a>,
}

impl<'a> Restoring<'a> {
    /// Begins with the first chunk.
    #[must_use]
    pub fn new(manifest: &'a Manifest, backend: &'a dyn Backend) -> Self {
        Self { checker: Checker::new(manifest), restore: Restore::new(backend) }
    }

    /// Takes the stored bytes of the next chunk, called `object`.
    ///
    /// # Errors
    /// [`SnapshotError`] if they are not what the manifest names, or the backend fails.
    ///
    /// # Panics
    /// If all chunks have been taken.
    pub fn chunk(&mut self, object: &str, stored: &Bytes) -> Result<(), SnapshotError> {
        let block = self.checker.chunk(object, stored)?;
        self.restore.block(block).map_err(|error| SnapshotError::image(object, error))
    }

    /// Writes the rest. The backend is a store then, durably.
    ///
    /// # Errors
    /// [`SnapshotError`] if it was not all, or is not what the manifest says, or the backend fails.
    pub fn finish(self, rebirth: Rebirth) -> Result<ImageSummary, SnapshotError> {
        self.checker.finish()?;
        self.restore.finish(rebirth).map_err(|error| SnapshotError::image("the last chunk", error))
    }
}

/// Writes a snapshot into the state file of an empty directory. Every chunk is checked before it is written; the file
/// is a store only when all were.
///
/// # Errors
/// [`SnapshotError`].
pub async fn restore_into(
    disk: Arc<dyn Disk>,
    manifest: &Manifest,
    source: &dyn ChunkSource,
    rebirth: Rebirth,
    seen: impl FnMut(&Chunk),
) -> Result<ImageSummary, SnapshotError> {
    let (blocks, mut waiting) = mpsc::channel::<(String, Bytes)>(BLOCKS_WAITING_MAX);
    let writer = {
        let manifest = manifest.clone();
        tokio::task::spawn_blocking(move || {
            let backend = RedbBackend::open(&*disk, Options::default())?;
            let mut restoring = Restoring::new(&manifest, &backend);
            while let Some((object, stored)) = waiting.blocking_recv() {
                restoring.chunk(&object, &stored)?;
            }
            restoring.finish(rebirth)
        })
    };
    let sent = send(manifest, source, blocks, seen).await;
    let written = writer.await.map_err(|_| SnapshotError::GivenUp)?;
    // A writer that failed ended the sending, too; its reason is the first.
    sent.and(written)
}

/// Sends every chunk, until the receiver has gone.
async fn send(
    manifest: &Manifest,
    source: &dyn ChunkSource,
    blocks: mpsc::Sender<(String, Bytes)>,
    mut seen: impl FnMut(&Chunk),
) -> Result<(), SnapshotError> {
    let mut chunks = fetched(manifest, source);
    while let Some((chunk, stored)) = chunks.try_next().await? {
        if blocks.send((source.name_of(chunk), stored)).await.is_err() {
            break;
        }
        seen(chunk);
    }
    Ok(())
}
