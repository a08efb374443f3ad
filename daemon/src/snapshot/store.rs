//! Snapshots in an object store.
//!
//! ```text
//!   manifests/CLUSTER/INDEX-ID      a snapshot: the manifest, under its index (20 digits) and its id
//!   chunks/CLUSTER/XX/DIGEST        a chunk, under its digest, whose first two digits are the folder
//!   uploads/CLUSTER/RANDOM          somebody is uploading      \  empty; one that is older than a day was left behind
//!   collections/CLUSTER/RANDOM      somebody is collecting     /
//! ```
//!
//! With a key, DIGEST is a keyed digest and what is stored is encrypted, as `seal` says; ID is in any case the SHA-256 of
//! the manifest as it is stored.
//!
//! * A snapshot is there when its manifest is: that is written last, and only if there is none of that name.
//! * Chunks belong to a cluster and are shared by its snapshots. One that is there already is not uploaded again.
//! * Uploading and collecting exclude each other: each raises its flag first and then looks for the other's, so that
//!   one of them at least sees the other and gives way. A chunk that an upload counts on is thus not deleted under it.

mod collect;
mod name;
mod upload;

pub use collect::{Collected, Deferred};
pub use name::SnapshotName;
pub use upload::Upload;

use super::chunk::Chunk;
use super::digest::{Digest, SnapshotId};
use super::error::{Damage, SnapshotError};
use super::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
use super::seal::{KEY_OF_BYTES, Key, KeyFile, KeyId, Kind, SEAL_BYTES, key_of};
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
    keys: Option<KeyFile>,
}

/// The chunks of one cluster in an object store, under one key or none.
#[derive(Clone, Debug)]
pub struct StoredChunks {
    objects: Arc<dyn ObjectStore>,
    cluster: ClusterId,
    key: Option<Arc<Key>>,
}

/// A snapshot whose manifest was read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its chunks.
    pub chunks: StoredChunks,
}

impl SnapshotStore {
    /// Snapshots in `objects`: with a file of keys encrypted with its first one, or not uploaded as long as it has none,
    /// and those that are encrypted can be read with each of them.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, keys: Option<KeyFile>) -> Self {
        Self { objects, keys }
    }

    /// Whether what is uploaded is encrypted.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.keys.is_some()
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

    /// Reads the manifest of a snapshot, if it is the one that the name says.
    ///
    /// # Errors
    /// [`SnapshotError`], with the name of the object.
    pub async fn open(&self, name: &SnapshotName) -> Result<Opened, SnapshotError> {
        let object = name.object();
        let bytes = self.objects.get(&object, MANIFEST_BYTES_MAX + SEAL_BYTES).await?;
        let wrong = |damage: Damage| SnapshotError::damaged(object.as_str(), damage);
        let found = SnapshotId(Digest::of(&bytes));
        if found != name.id {
            return Err(wrong(ManifestError::Digest { expected: name.id, found }.into()));
        }
        let key = key_of(&bytes).map_err(|error| wrong(error.into()))?;
        let key = key.map(|id| self.key(&object, id)).transpose()?;
        let bytes = match &key {
            Some(key) => key.open(name.cluster, Kind::Manifest(name.index), None, &bytes),
            None => Ok(bytes),
        };
        let bytes = bytes.map_err(|error| wrong(error.into()))?;
        let (_, manifest) = Manifest::decode(&bytes).map_err(|error| wrong(error.into()))?;
        let chunks = StoredChunks { objects: self.objects.clone(), cluster: name.cluster, key };
        match (manifest.cluster == name.cluster, manifest.last.index == name.index) {
            (true, true) => Ok(Opened { manifest, chunks }),
            (false, _) => Err(wrong(Damage::Name("it is of another cluster"))),
            (_, false) => Err(wrong(Damage::Name("it is of another index"))),
        }
    }

    /// The key that an object is under.
    fn key(&self, object: &ObjectName, id: KeyId) -> Result<Arc<Key>, SnapshotError> {
        let at_hand = match self.keys.as_ref().map(KeyFile::current) {
            None => "no key was given".to_owned(),
            Some(Err(error)) => format!("none is at hand: {error}"),
            Some(Ok(keys)) => match keys.find(id) {
                Some(key) => return Ok(Arc::clone(key)),
                None => format!("at hand are {keys}"),
            },
        };
        Err(SnapshotError::Locked { object: object.to_string(), key: id, at_hand })
    }

    /// The key that the newest snapshot of a cluster is under.
    async fn newest_key(&self, cluster: ClusterId) -> Result<Option<(ObjectName, KeyId)>, SnapshotError> {
        let Some(newest) = self.list(Some(cluster)).await?.pop() else { return Ok(None) };
        let object = newest.object();
        let begins = match self.objects.get_range(&object, 0..KEY_OF_BYTES).await {
            // It was the newest.
            Err(objects::Error::NotFound { .. }) => return Ok(None),
            begins => begins?,
        };
        let key = key_of(&begins).map_err(|error| SnapshotError::damaged(object.as_str(), error))?;
        Ok(key.map(|key| (object, key)))
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

impl StoredChunks {
    /// The key that they are under.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.as_ref().map(|key| key.id())
    }

    /// The name of a chunk's object, without its folder.
    fn name(&self, chunk: &Digest) -> Digest {
        chunk_name(self.key.as_deref(), self.cluster, chunk)
    }
}

fn chunk_name(key: Option<&Key>, cluster: ClusterId, chunk: &Digest) -> Digest {
    key.map_or(*chunk, |key| key.chunk_name(cluster, chunk))
}

/// The length of a chunk's object.
fn chunk_bytes(key: Option<&Key>, chunk: &Chunk) -> u64 {
    u64::from(chunk.stored_bytes) + key.map_or(0, |_| SEAL_BYTES)
}

#[async_trait]
impl ChunkSource for StoredChunks {
    async fn chunk(&self, chunk: &Chunk) -> Result<Bytes, SnapshotError> {
        let (name, bytes_max) = (self.name(&chunk.digest), chunk_bytes(self.key.as_deref(), chunk));
        let object = name::chunk(self.cluster, &name);
        let bytes = self.objects.get(&object, bytes_max).await?;
        match &self.key {
            Some(key) => {
                let opened = key.open(self.cluster, Kind::Chunk, Some(&name), &bytes);
                opened.map_err(|error| SnapshotError::damaged(object.as_str(), error))
            }
            None => Ok(bytes),
        }
    }

    fn name_of(&self, chunk: &Chunk) -> String {
        name::chunk(self.cluster, &self.name(&chunk.digest)).to_string()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
