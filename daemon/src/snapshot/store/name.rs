//! The names of objects.

use super::super::digest::{Digest, SnapshotId};
use super::super::manifest::Manifest;
use crate::bootstrap::ClusterId;
use objects::ObjectName;
use raft::Index;
use std::fmt;

/// Which snapshot of which cluster. Ordered by cluster, then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    /// The cluster it was taken of.
    pub cluster: ClusterId,
    /// The last log entry in it.
    pub index: Index,
    /// Its id: the digest of its manifest as it is stored.
    pub id: SnapshotId,
}

impl SnapshotName {
    /// The name of the snapshot with this manifest, which is stored as these bytes.
    #[must_use]
    pub fn new(manifest: &Manifest, stored: &[u8]) -> Self {
        Self { cluster: manifest.cluster, index: manifest.last.index, id: SnapshotId(Digest::of(stored)) }
    }

    /// The snapshot whose manifest is in this object.
    #[must_use]
    pub fn of(object: &ObjectName) -> Option<Self> {
        let (cluster, rest) = object.as_str().strip_prefix("manifests/")?.split_once('/')?;
        let (index, id) = rest.split_once('-')?;
        let name = Self {
            cluster: ClusterId(u64::from_str_radix(cluster, 16).ok()?),
            index: Index(index.parse().ok()?),
            id: id.parse().ok()?,
        };
        // There is one way to write a name.
        (name.object() == *object).then_some(name)
    }

    /// The object with its manifest.
    #[must_use]
    pub fn object(&self) -> ObjectName {
        let Self { cluster, index, id } = self;
        known(format!("manifests/{:016x}/{:020}-{id}", cluster.0, index.0))
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object().fmt(f)
    }
}

pub(super) fn manifests() -> ObjectName {
    known("manifests".into())
}

pub(super) fn manifests_of(cluster: ClusterId) -> ObjectName {
    known(format!("manifests/{:016x}", cluster.0))
}

pub(super) fn chunks_of(cluster: ClusterId) -> ObjectName {
    known(format!("chunks/{:016x}", cluster.0))
}

/// The object of the chunk with this name.
pub(super) fn chunk(cluster: ClusterId, name: &Digest) -> ObjectName {
    known(format!("chunks/{:016x}/{:02x}/{name}", cluster.0, name.as_bytes()[0]))
}

/// The name of the chunk in an object.
pub(super) fn digest_of(object: &ObjectName) -> Option<Digest> {
    object.as_str().rsplit('/').next()?.parse().ok()
}

pub(super) fn uploads_of(cluster: ClusterId) -> ObjectName {
    known(format!("uploads/{:016x}", cluster.0))
}

pub(super) fn collections_of(cluster: ClusterId) -> ObjectName {
    known(format!("collections/{:016x}", cluster.0))
}

pub(super) fn flag(folder: &ObjectName, random: u64) -> ObjectName {
    known(format!("{folder}/{random:016x}"))
}

fn known(text: String) -> ObjectName {
    ObjectName::new(text).expect("digits and letters between slashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> SnapshotName {
        SnapshotName { cluster: ClusterId(0xAB), index: Index(1234), id: SnapshotId(Digest::of(b"manifest")) }
    }

    #[test]
    fn names_read_back_and_sort_by_age() {
        assert_eq!(SnapshotName::of(&name().object()), Some(name()));
        let object = name().object();
        assert!(object.as_str().starts_with("manifests/00000000000000ab/00000000000000001234-"), "{object}");
        let later = SnapshotName { index: Index(10_000), ..name() };
        assert!(name().object() < later.object() && name() < later);
        let digest = Digest::of(b"chunk");
        assert_eq!(digest_of(&chunk(ClusterId(1), &digest)), Some(digest));
    }

    #[test]
    fn other_objects_are_no_snapshots() {
        let id = name().id;
        let other_way = format!("manifests/ab/1234-{id}");
        for text in ["manifests/ab/1-2", "manifests/x", "chunks/00000000000000ab/x", &other_way] {
            assert_eq!(SnapshotName::of(&known(text.to_owned())), None, "{text}");
        }
    }
}
