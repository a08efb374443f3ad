//! What was staged, read back: the source that a member which the log does not reach asks first.
//!
//! * The store is opened when it is first asked, and again until that works: one that is away costs a member no start.
//! * Nothing is listed. Which snapshot to read is known from the log, through a member that has it.
//! * Requests and bytes are bounded as those of an upload are, and apart from them: who installs does not stage.

use super::bounded;
use crate::bootstrap::ClusterId;
use crate::config::settings::Backups;
use crate::snapshot::{Chunk, ChunkSource, Manifest, SnapshotError, SnapshotName, SnapshotStore};
use bytes::Bytes;
use tokio::sync::OnceCell;

/// The staged snapshots of the store in the settings.
#[derive(Debug)]
pub(crate) struct Stored {
    settings: Backups,
    open: OnceCell<SnapshotStore>,
}

impl Stored {
    pub(crate) fn new(settings: Backups) -> Self {
        Self { settings, open: OnceCell::new() }
    }

    /// The most that is read in a second; none for any.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        Some(self.settings.bytes_per_second).filter(|limit| *limit > 0)
    }

    /// The manifest of a snapshot, which is the one that its name says.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) async fn manifest(&self, name: &SnapshotName) -> Result<Manifest, SnapshotError> {
        self.store().await?.manifest(name).await
    }

    /// The stored bytes of a chunk. Whoever reads compares them with the digest.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) async fn chunk(&self, cluster: ClusterId, chunk: &Chunk) -> Result<Bytes, SnapshotError> {
        self.store().await?.chunks(cluster).chunk(chunk).await
    }

    async fn store(&self) -> Result<&SnapshotStore, SnapshotError> {
        let open = || async { Ok::<_, objects::Error>(SnapshotStore::new(bounded::open(&self.settings).await?)) };
        Ok(self.open.get_or_try_init(open).await?)
    }
}
