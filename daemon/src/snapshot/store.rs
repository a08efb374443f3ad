//! Snapshots in an object store.
//!
//! ```text
//!   manifests/CLUSTER/INDEX-ID      a snapshot: the manifest, under its index (20 digits) and its id
//!   chunks/CLUSTER/XX/DIGEST        a chunk, under its digest, whose first two digits are the folder
//!   uploads/CLUSTER/RANDOM          somebody is uploading      \  empty; one that is older than a day was left behind
//!   collections/CLUSTER/RANDOM      somebody is collecting     /
//! ```
//!
//! * A snapshot is there when its manifest is: that is written last, and only if there is none of that name.
//! * Chunks belong to a cluster and are shared by its snapshots. One that is there already is not uploaded again.
//! * Uploading and collecting exclude each other: each raises its flag first and then looks for the other's, so that
//!   one of them at least sees the other and gives way. A chunk that an upload counts on is thus not deleted under it.

mod collect;
mod name;
mod upload;

pub use collect::Collected;
pub use name::SnapshotName;
pub use upload::Upload;

use super::chunk::Chunk;
use super::error::{Damage, SnapshotError};
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::source::ChunkSource;
use crate::bootstrap::ClusterId;
use bytes::Bytes;
use objects::{Listed, ObjectName, ObjectStore, Prefix};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tonic::async_trait;

/// An upload takes hours at most. A flag of this age was left behind by a process that ended in the middle.
const UPLOAD_FLAG_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A collection is given up after this: it holds up uploads.
const COLLECTION_MAX: Duration = Duration::from_secs(10 * 60);

/// The flag of a collection at this age was left behind, with room for clocks that differ.
const COLLECTION_FLAG_AGE_MAX: Duration = COLLECTION_MAX.saturating_mul(3);

/// Snapshots under one prefix of an object store. A cheap clone.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    objects: Arc<dyn ObjectStore>,
}

/// The chunks of one cluster in an object store.
#[derive(Clone, Debug)]
pub struct StoredChunks {
    objects: Arc<dyn ObjectStore>,
    cluster: ClusterId,
}

impl SnapshotStore {
    /// Snapshots in `objects`.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// The snapshots of one cluster, or of all, those of a cluster from the oldest to the newest.
    ///
    /// # Errors
    /// The object store's.
    pub async fn list(&self, cluster: Option<ClusterId>) -> Result<Vec<SnapshotName>, SnapshotError> {
        let folder = cluster.map_or_else(name::manifests, name::manifests_of);
        let listed = self.listed(folder).await?;
        // Whatever else lies there is none of ours.
        Ok(listed.iter().filter_map(|object| SnapshotName::of(&object.name)).collect())
    }

    /// The manifest of a snapshot, if it is the one that the name says.
    ///
    /// # Errors
    /// [`SnapshotError`], with the name of the object.
    pub async fn manifest(&self, name: &SnapshotName) -> Result<Manifest, SnapshotError> {
        let object = name.object();
        let bytes = self.objects.get(&object, MANIFEST_BYTES_MAX).await?;
        let wrong = |damage: Damage| SnapshotError::damaged(object.as_str(), damage);
        let manifest = Manifest::decode_as(name.id, &bytes).map_err(|error| wrong(error.into()))?;
        match (manifest.cluster == name.cluster, manifest.last.index == name.index) {
            (true, true) => Ok(manifest),
            (false, _) => Err(wrong(Damage::Name("it is of another cluster"))),
            (_, false) => Err(wrong(Damage::Name("it is of another index"))),
        }
    }

    /// The chunks of a cluster, to be read.
    #[must_use]
    pub fn chunks(&self, cluster: ClusterId) -> StoredChunks {
        StoredChunks { objects: self.objects.clone(), cluster }
    }

    /// Removes a snapshot. Its chunks stay until [`SnapshotStore::collect`].
    ///
    /// # Errors
    /// The object store's.
    pub async fn delete(&self, name: &SnapshotName) -> Result<(), SnapshotError> {
        Ok(self.objects.delete(&name.object()).await?)
    }

    /// Everything in a folder.
    async fn listed(&self, folder: ObjectName) -> Result<Vec<Listed>, SnapshotError> {
        let (prefix, mut all, mut after) = (Prefix::under(folder), Vec::new(), None);
        loop {
            let page = self.objects.list(&prefix, after.as_ref()).await?;
            all.extend(page.objects);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// A flag in this folder that somebody may still stand behind.
    async fn raised(&self, folder: ObjectName, age_max: Duration) -> Result<Option<ObjectName>, SnapshotError> {
        let fresh = |flag: &Listed| {
            let age = SystemTime::now().duration_since(flag.attributes.modified).ok();
            // One from the future is of a clock that is ahead of ours.
            age.is_none_or(|age| age < age_max)
        };
        Ok(self.listed(folder).await?.into_iter().find(fresh).map(|flag| flag.name))
    }

    async fn raise(&self, folder: &ObjectName) -> Result<ObjectName, SnapshotError> {
        let flag = name::flag(folder, getrandom::u64().map_err(|_| SnapshotError::GivenUp)?);
        self.objects.put(&flag, Bytes::new()).await?;
        Ok(flag)
    }

    /// One that cannot be lowered is a flag left behind.
    async fn lower(&self, flag: &ObjectName) {
        if let Err(error) = self.objects.delete(flag).await {
            tracing::warn!(%flag, %error, "could not remove a flag: nothing is collected for a day");
        }
    }
}

#[async_trait]
impl ChunkSource for StoredChunks {
    async fn chunk(&self, chunk: &Chunk) -> Result<Bytes, SnapshotError> {
        Ok(self.objects.get(&name::chunk(self.cluster, &chunk.digest), u64::from(chunk.stored_bytes)).await?)
    }

    fn name_of(&self, chunk: &Chunk) -> String {
        name::chunk(self.cluster, &chunk.digest).to_string()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
