//! Deleting chunks that no snapshot needs.

use super::super::digest::Digest;
use super::super::error::SnapshotError;
use super::{COLLECTION_MAX, Opened, SnapshotStore, UPLOAD_FLAG_AGE_MAX, name};
use crate::bootstrap::ClusterId;
use std::collections::BTreeSet;
use std::fmt;
use tokio::time::timeout;

/// What a collection has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Chunks that were deleted.
    pub chunks: u64,
    /// What they took, in bytes.
    pub bytes: u64,
    /// Why something was left for the next collection.
    pub deferred: Option<Deferred>,
}

/// Why chunks that nobody needs were left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deferred {
    /// A snapshot is being uploaded.
    Uploading,
    /// There was no time for all of them.
    OutOfTime,
    /// What a snapshot needs is not known without its key.
    Locked(String),
}

impl fmt::Display for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uploading => f.write_str("a snapshot is being uploaded"),
            Self::OutOfTime => f.write_str("it takes too long at once"),
            Self::Locked(why) => f.write_str(why),
        }
    }
}

impl SnapshotStore {
    /// Deletes the chunks of a cluster that none of its snapshots needs. While there is a snapshot whose key is not at
    /// hand, nothing is deleted.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing is deleted if a manifest cannot be read, for its chunks are not known then.
    pub async fn collect(&self, cluster: ClusterId) -> Result<Collected, SnapshotError> {
        let flag = self.raise(&name::collections_of(cluster)).await?;
        let collected = match timeout(COLLECTION_MAX, self.collect_flagged(cluster)).await {
            Ok(collected) => collected,
            // What was not deleted is as little needed the next time.
            Err(_) => Ok(Collected { deferred: Some(Deferred::OutOfTime), ..Collected::default() }),
        };
        self.lower(&flag).await;
        collected
    }

    async fn collect_flagged(&self, cluster: ClusterId) -> Result<Collected, SnapshotError> {
        if self.raised(name::uploads_of(cluster), UPLOAD_FLAG_AGE_MAX).await?.is_some() {
            return Ok(Collected { deferred: Some(Deferred::Uploading), ..Collected::default() });
        }
        let needed = match self.needed(cluster).await {
            Err(locked @ SnapshotError::Locked { .. }) => {
                return Ok(Collected { deferred: Some(Deferred::Locked(locked.to_string())), ..Collected::default() });
            }
            needed => needed?,
        };
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
            let Opened { manifest, chunks } = self.open(&name).await?;
            needed.extend(manifest.chunks.iter().map(|chunk| chunks.name(&chunk.digest)));
        }
        Ok(needed)
    }
}
