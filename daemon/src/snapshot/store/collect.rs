//! Deleting chunks that no snapshot needs.

use super::super::digest::Digest;
use super::super::error::SnapshotError;
use super::{COLLECTION_MAX, SnapshotStore, UPLOAD_FLAG_AGE_MAX, name};
use crate::bootstrap::ClusterId;
use std::collections::BTreeSet;
use tokio::time::timeout;

/// What a collection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Chunks that were deleted.
    pub chunks: u64,
    /// What they took, in bytes.
    pub bytes: u64,
    /// Something was left, because a snapshot is being uploaded or it took too long: the next collection goes on.
    pub deferred: bool,
}

impl SnapshotStore {
    /// Deletes the chunks of a cluster that none of its snapshots needs.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing is deleted if a manifest cannot be read, for its chunks are not known then.
    pub async fn collect(&self, cluster: ClusterId) -> Result<Collected, SnapshotError> {
        let flag = self.raise(&name::collections_of(cluster)).await?;
        let collected = match timeout(COLLECTION_MAX, self.collect_flagged(cluster)).await {
            Ok(collected) => collected,
            // What was not deleted is as little needed the next time.
            Err(_) => Ok(Collected { deferred: true, ..Collected::default() }),
        };
        self.lower(&flag).await;
        collected
    }

    async fn collect_flagged(&self, cluster: ClusterId) -> Result<Collected, SnapshotError> {
        if self.raised(name::uploads_of(cluster), UPLOAD_FLAG_AGE_MAX).await?.is_some() {
            return Ok(Collected { deferred: true, ..Collected::default() });
        }
        let needed = self.needed(cluster).await?;
        let mut collected = Collected::default();
        for chunk in self.listed(name::chunks_of(cluster)).await? {
            if name::digest_of(&chunk.name).is_none_or(|digest| needed.contains(&digest)) {
                continue;
            }
            self.objects.delete(&chunk.name).await?;
            collected.chunks += 1;
            collected.bytes += chunk.attributes.bytes;
        }
        Ok(collected)
    }

    async fn needed(&self, cluster: ClusterId) -> Result<BTreeSet<Digest>, SnapshotError> {
        let mut needed = BTreeSet::new();
        for name in self.list(Some(cluster)).await? {
            needed.extend(self.manifest(&name).await?.chunks.iter().map(|chunk| chunk.digest));
        }
        Ok(needed)
    }
}
