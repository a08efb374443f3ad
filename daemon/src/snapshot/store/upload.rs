//! Uploading a snapshot: chunks that are not there yet, several at once, then the manifest.

use super::super::chunk::SealedChunk;
use super::super::digest::Digest;
use super::super::error::SnapshotError;
use super::super::manifest::Manifest;
use super::super::seal::{Key, KeyFile, Kind};
use super::super::take::{Piece, Taking};
use super::{COLLECTION_FLAG_AGE_MAX, SnapshotName, SnapshotStore, chunk_bytes, chunk_name, name};
use crate::bootstrap::ClusterId;
use bytes::Bytes;
use objects::ObjectName;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Chunks that are on their way at once, unless it is said otherwise: enough to hide the way to the store, and a few
/// megabytes of memory each.
const UPLOADS_MAX: usize = 4;

/// A snapshot that is being uploaded. To give it up is to drop it; what was uploaded serves the next one.
#[derive(Debug)]
pub struct Upload {
    store: SnapshotStore,
    cluster: ClusterId,
    flag: ObjectName,
    /// What all of it is encrypted with.
    key: Option<Arc<Key>>,
    /// The names of the chunks that are in the store, or on their way, with their lengths.
    there: BTreeMap<Digest, u64>,
    on_their_way: JoinSet<Result<(), SnapshotError>>,
    /// How many may be on their way at once; at least one.
    pub at_once: usize,
    /// Chunks that were not in the store yet.
    pub uploaded_chunks: u64,
    /// What they took, in bytes.
    pub uploaded_bytes: u64,
    /// Chunks that were.
    pub shared_chunks: u64,
    /// What they take, in bytes.
    pub shared_bytes: u64,
}

impl SnapshotStore {
    /// Begins to upload a snapshot of a cluster.
    ///
    /// # Errors
    /// [`SnapshotError::NoKeys`] if there should be keys and are none yet, [`SnapshotError::Unencrypted`] if there should
    /// be none and the newest snapshot has one, [`SnapshotError::Collecting`] while chunks are being deleted, or the
    /// object store's.
    pub async fn upload(&self, cluster: ClusterId) -> Result<Upload, SnapshotError> {
        let keys = self.keys.as_ref().map(KeyFile::current).transpose()?;
        let key = keys.map(|keys| Arc::clone(keys.sealing()));
        if key.is_none()
            && let Some((object, key)) = self.newest_key(cluster).await?
        {
            return Err(SnapshotError::Unencrypted { object: object.to_string(), key });
        }
        let flag = self.raise(&name::uploads_of(cluster)).await?;
        match self.chunks_there(cluster).await {
            Ok(there) => Ok(Upload {
                store: self.clone(),
                cluster,
                flag,
                key,
                there,
                on_their_way: JoinSet::new(),
                at_once: UPLOADS_MAX,
                uploaded_chunks: 0,
                uploaded_bytes: 0,
                shared_chunks: 0,
                shared_bytes: 0,
            }),
            Err(error) => {
                self.lower(&flag).await;
                Err(error)
            }
        }
    }

    async fn chunks_there(&self, cluster: ClusterId) -> Result<BTreeMap<Digest, u64>, SnapshotError> {
        if let Some(other) = self.raised(name::collections_of(cluster), COLLECTION_FLAG_AGE_MAX).await? {
            return Err(SnapshotError::Collecting(other.to_string()));
        }
        let listed = self.listed(name::chunks_of(cluster)).await?;
        Ok(listed.iter().filter_map(|chunk| Some((name::digest_of(&chunk.name)?, chunk.attributes.bytes))).collect())
    }
}

impl Upload {
    /// Uploads all of a snapshot that is being taken, and makes it one of the store's: its name, and what it says.
    ///
    /// # Errors
    /// [`SnapshotError`]; the store then has no such snapshot.
    pub async fn all(&mut self, taking: &mut Taking) -> Result<(SnapshotName, Manifest), SnapshotError> {
        loop {
            match taking.next().await.ok_or(SnapshotError::GivenUp)?? {
                Piece::Chunk(sealed) => self.chunk(sealed).await?,
                Piece::Manifest(manifest) => {
                    return Ok((self.publish(&manifest).await?, manifest));
                }
            }
        }
    }

    /// Uploads a chunk if the store does not have it. Returns before it is there.
    ///
    /// # Errors
    /// The object store's, of this chunk or one before.
    pub async fn chunk(&mut self, sealed: SealedChunk) -> Result<(), SnapshotError> {
        let SealedChunk { chunk, bytes } = sealed;
        let (name, length) =
            (chunk_name(self.key.as_deref(), self.cluster, &chunk.digest), chunk_bytes(self.key.as_deref(), &chunk));
        // One of another length was damaged after it was written: it is written again.
        if self.there.insert(name, length) == Some(length) {
            self.shared_chunks += 1;
            self.shared_bytes += length;
            return Ok(());
        }
        while self.on_their_way.len() >= self.at_once.max(1) {
            self.wait_for_one().await?;
        }
        let (objects, object) = (self.store.objects.clone(), name::chunk(self.cluster, &name));
        let (key, cluster) = (self.key.clone(), self.cluster);
        self.on_their_way.spawn(async move {
            let bytes = match key {
                Some(key) => encrypted(key, cluster, name, bytes).await?,
                None => bytes,
            };
            Ok(objects.put(&object, bytes).await?)
        });
        self.uploaded_chunks += 1;
        self.uploaded_bytes += length;
        Ok(())
    }

    /// Waits until every chunk is there, and writes the manifest: now there is a snapshot.
    ///
    /// # Errors
    /// The object store's, of a chunk or the manifest.
    pub async fn publish(&mut self, manifest: &Manifest) -> Result<SnapshotName, SnapshotError> {
        while !self.on_their_way.is_empty() {
            self.wait_for_one().await?;
        }
        let mut stored = manifest.encode();
        if let Some(key) = &self.key {
            let mut salt = [0; Digest::BYTES];
            getrandom::fill(&mut salt).map_err(|_| SnapshotError::GivenUp)?;
            let kind = Kind::Manifest(manifest.last.index);
            stored = key.seal(manifest.cluster, kind, &Digest::from_bytes(salt), &stored);
        }
        let name = SnapshotName::new(manifest, &stored);
        match self.store.objects.put_if_absent(&name.object(), stored).await {
            // Its name is the digest of its content: a try of ours that was thought lost.
            Ok(()) | Err(objects::Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(name)
    }

    /// Ends the upload, published or not: chunks may be collected again.
    pub async fn end(mut self) {
        self.on_their_way.shutdown().await;
        self.store.lower(&self.flag).await;
    }

    async fn wait_for_one(&mut self) -> Result<(), SnapshotError> {
        match self.on_their_way.join_next().await {
            Some(Ok(put)) => put,
            Some(Err(_)) => Err(SnapshotError::GivenUp),
            None => Ok(()),
        }
    }
}

/// Encrypts a chunk where nobody waits for a turn.
async fn encrypted(key: Arc<Key>, cluster: ClusterId, name: Digest, bytes: Bytes) -> Result<Bytes, SnapshotError> {
    let seal = move || key.seal(cluster, Kind::Chunk, &name, &bytes);
    tokio::task::spawn_blocking(seal).await.map_err(|_| SnapshotError::GivenUp)
}
