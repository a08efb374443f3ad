//! Where snapshots are: a store, or a single file.

use super::EncryptionKey;
use crate::snapshot::{ChunkSource, KeyFile, Manifest, Opened, Sealing};
use crate::snapshot::{SnapshotFile, SnapshotId, SnapshotName, SnapshotStore};
use anyhow::{Context, bail, ensure};
use objects::{Directory, Limits, Location, ObjectStore, Patience, Retrying, S3};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fewer digits of an id are a slip.
const ID_DIGITS_MIN: usize = 4;

/// Where snapshots are.
pub(in crate::command) enum Place {
    /// In an object store.
    Store(SnapshotStore),
    /// In one file, which holds one.
    File(PathBuf),
}

/// A snapshot that was found.
pub(in crate::command) enum Found {
    /// In an object store.
    Stored { name: SnapshotName, opened: Opened },
    /// In a file.
    File(SnapshotFile),
}

impl Place {
    pub(in crate::command) async fn open(place: &str, key: &EncryptionKey) -> anyhow::Result<Self> {
        let (path, keys) = (Path::new(place), key.open()?);
        if !place.contains(':') && path.is_dir() {
            return Ok(Self::Store(directory(path, keys).await?));
        }
        if path.is_file() {
            return Ok(Self::File(path.to_owned()));
        }
        ensure!(place.contains(':'), "{place} is neither a file nor a directory, nor dir:/path or s3://bucket/prefix");
        match place.parse()? {
            Location::Directory(path) => {
                ensure!(path.is_dir(), "{} is no directory", path.display());
                Ok(Self::Store(directory(&path, keys).await?))
            }
            Location::S3(bucket) => Ok(Self::Store(patient(S3::open(&bucket, Limits::default()).await?, keys))),
        }
    }

    pub(in crate::command) fn store(&self) -> anyhow::Result<&SnapshotStore> {
        match self {
            Self::Store(store) => Ok(store),
            Self::File(path) => bail!("{} is a single snapshot, not a store of them", path.display()),
        }
    }

    pub(super) async fn list(&self) -> anyhow::Result<Vec<SnapshotName>> {
        Ok(self.store()?.list(None).await?)
    }

    pub(super) async fn open_one(&self, name: &SnapshotName) -> anyhow::Result<Found> {
        Ok(Found::Stored { name: *name, opened: self.store()?.open(name).await? })
    }

    /// The one snapshot whose id begins so, or the newest.
    pub(in crate::command) async fn find(&self, id: Option<&str>) -> anyhow::Result<Found> {
        match self {
            Self::File(path) => {
                let file = SnapshotFile::open(path)?;
                ensure!(
                    id.is_none_or(|id| file.id().to_string().starts_with(id)),
                    "{} is {}",
                    path.display(),
                    file.id()
                );
                Ok(Found::File(file))
            }
            Self::Store(store) => {
                let name = choose(&store.list(None).await?, id)?;
                self.open_one(&name).await
            }
        }
    }
}

/// Which of the snapshots is meant.
pub(super) fn choose(all: &[SnapshotName], id: Option<&str>) -> anyhow::Result<SnapshotName> {
    let Some(id) = id else {
        let newest = all.last().context("there is no snapshot here")?;
        ensure!(all[0].cluster == newest.cluster, "there are snapshots of several clusters here: name one by its id");
        return Ok(*newest);
    };
    ensure!(id.len() >= ID_DIGITS_MIN, "{id:?} is too short: {ID_DIGITS_MIN} digits of an id at least");
    let mut meant = all.iter().filter(|name| name.id.to_string().starts_with(id));
    let first = meant.next().with_context(|| format!("there is no snapshot {id} here"))?;
    ensure!(meant.next().is_none(), "there are several snapshots whose ids begin with {id}");
    Ok(*first)
}

async fn directory(path: &Path, keys: Option<KeyFile>) -> anyhow::Result<SnapshotStore> {
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    Ok(patient(Directory::open(&path).await?, keys))
}

fn patient(objects: impl ObjectStore + 'static, keys: Option<KeyFile>) -> SnapshotStore {
    SnapshotStore::new(Arc::new(Retrying::new(objects, Patience::default())), keys)
}

impl Found {
    pub(in crate::command) fn id(&self) -> SnapshotId {
        match self {
            Self::Stored { name, .. } => name.id,
            Self::File(file) => file.id(),
        }
    }

    pub(in crate::command) fn manifest(&self) -> &Manifest {
        match self {
            Self::Stored { opened, .. } => &opened.manifest,
            Self::File(file) => file.manifest(),
        }
    }

    pub(in crate::command) fn source(&self) -> &dyn ChunkSource {
        match self {
            Self::Stored { opened, .. } => &opened.chunks,
            Self::File(file) => file,
        }
    }

    /// How it is kept.
    pub(super) fn sealing(&self) -> Sealing {
        match self {
            Self::Stored { opened, .. } => Sealing(opened.chunks.key()),
            Self::File(_) => Sealing(None),
        }
    }

    /// Whether it lies in a store that the keys are for, and none of them is needed.
    pub(in crate::command) fn lacks_encryption(&self, key: &EncryptionKey) -> bool {
        key.is_named() && matches!(self, Self::Stored { .. }) && self.sealing() == Sealing(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::ClusterId;
    use crate::snapshot::Digest;
    use raft::Index;

    fn name(cluster: u64, index: u64) -> SnapshotName {
        let id = SnapshotId(Digest::of(&index.to_le_bytes()));
        SnapshotName { cluster: ClusterId(cluster), index: Index(index), id }
    }

    #[test]
    fn the_newest_is_meant_unless_one_is_named_or_there_are_two_clusters() {
        let all = [name(1, 10), name(1, 20)];
        assert_eq!(choose(&all, None).expect("one cluster"), all[1]);
        let digits = &all[0].id.to_string()[..6];
        assert_eq!(choose(&all, Some(digits)).expect("it is there"), all[0]);
        for (all, id) in
            [(&all[..], Some("zzzz")), (&all[..], Some("1")), (&[], None), (&[name(1, 1), name(2, 2)], None)]
        {
            assert!(choose(all, id).is_err(), "{all:?} {id:?}");
        }
    }
}
