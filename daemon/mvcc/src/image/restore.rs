//! Writing an image into an empty backend. The keys' metadata is made anew from the revisions, newest last.

use super::check::{Item, items};
use super::{CHECKSUM_BYTES, Image, ImageCheck, ImageError, ImageSummary};
use crate::apply::STORED_OVERHEAD_BYTES;
use crate::backend::{Backend, Change, Table};
use crate::error::Fault;
use crate::head::{HEAD_KEY, Head};
use crate::row::{KeyMeta, RowId, RowView, Version};
use crate::staging::Staged;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What is restored is committed in pieces of this size: larger ones make fewer syncs, and take memory.
const COMMIT_BYTES: usize = 16 << 20;

/// Writes an image into an empty backend. It can be opened as a store only once [`Restore::finish`] has succeeded;
/// until then it must not be taken for one.
pub struct Restore<'a> {
    backend: &'a dyn Backend,
    check: ImageCheck,
    blocks: Vec<Bytes>,
    bytes: usize,
}

/// How a store lives on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rebirth {
    /// As the same replica of the same cluster.
    #[default]
    Same,
    /// As the first state of a new cluster: what members published and the alarms they raised are left behind.
    NewCluster {
        /// The next revision is so much further on: clients that remember revisions of the old cluster notice.
        revision_bump: u64,
        /// Everything before that is told to be compacted, so that watches from old revisions end.
        mark_compacted: bool,
    },
}

impl Rebirth {
    /// Lets the store in a backend live on so, durably. Nothing else may have the backend open.
    ///
    /// # Errors
    /// [`ImageError`] if its revision cannot be raised so far or the storage fails; the store is as before then.
    pub fn of(self, backend: &dyn Backend) -> Result<(), ImageError> {
        let mut head = Image::new(backend.view()?)?.head;
        head.live_on(self)?;
        backend.commit(&mut |change| change.put(Table::Head, HEAD_KEY, &head.encode()))?;
        Ok(())
    }
}

impl<'a> Restore<'a> {
    /// Begins with an empty backend.
    #[must_use]
    pub fn new(backend: &'a dyn Backend) -> Self {
        Self { backend, check: ImageCheck::default(), blocks: Vec::new(), bytes: 0 }
    }

    /// Takes the next block.
    ///
    /// # Errors
    /// [`ImageError`] if it is not sound or the storage fails.
    pub fn block(&mut self, block: Bytes) -> Result<(), ImageError> {
        self.check.block(&block)?;
        self.bytes += block.len();
        self.blocks.push(block);
        if self.bytes >= COMMIT_BYTES { self.commit(None) } else { Ok(()) }
    }

    /// Commits the rest, and the head that makes a store of it.
    ///
    /// # Errors
    /// [`ImageError`] if the end is missing or the storage fails.
    pub fn finish(mut self, rebirth: Rebirth) -> Result<ImageSummary, ImageError> {
        let check = std::mem::take(&mut self.check);
        let rows = check.rows();
        let mut head = check.into_head()?;
        head.live_on(rebirth)?;
        self.commit(Some(&head))?;
        Ok(ImageSummary::of(&head, rows))
    }

    fn commit(&mut self, head: Option<&Head>) -> Result<(), ImageError> {
        let blocks = std::mem::take(&mut self.blocks);
        self.bytes = 0;
        self.backend.commit(&mut |change| {
            let mut keys = BTreeMap::new();
            for block in &blocks {
                write(block, change, &mut keys)?;
            }
            for (key, meta) in &keys {
                let mut bytes = Vec::new();
                meta.encode(&mut bytes);
                change.put(Table::Keys, key, &bytes)?;
            }
            head.map_or(Ok(()), |head| change.put(Table::Head, HEAD_KEY, &head.encode()))
        })?;
        Ok(())
    }
}

/// Writes the rows of a block that was checked, and remembers the newest of each key.
fn write(block: &[u8], change: &mut dyn Change, keys: &mut BTreeMap<Bytes, KeyMeta>) -> Result<(), Fault> {
    for item in items(&block[CHECKSUM_BYTES..]) {
        if let Some(Item::Revision { key, value }) = item {
            change.put(Table::Revisions, key, value)?;
            let (key, meta) = newest(RowId::from_key(key)?, value)?;
            keys.insert(key, meta);
        }
    }
    Ok(())
}

/// The metadata of a key whose newest row is this one.
fn newest(id: RowId, row: &[u8]) -> Result<(Bytes, KeyMeta), Fault> {
    let row = RowView::decode(id, row)?;
    let stored = row.key.len() + row.value.len() + STORED_OVERHEAD_BYTES;
    let meta = KeyMeta {
        id,
        row_bytes: u32::try_from(stored).unwrap_or(u32::MAX),
        depth: depth(&row.version),
        version: row.version,
    };
    Ok((row.key.to_bytes(), meta))
}

/// How many versions there were before: exact unless the key was deleted in between. It only says which of the next
/// versions other ones point back to, and any older version of the key serves.
fn depth(version: &Version) -> u64 {
    if version.tombstone { 1 } else { version.version.cast_unsigned().saturating_sub(1) }
}

impl Head {
    fn live_on(&mut self, rebirth: Rebirth) -> Result<(), ImageError> {
        let Rebirth::NewCluster { revision_bump, mark_compacted } = rebirth else { return Ok(()) };
        self.members.clear();
        // They are of the cluster it was, whose folder in the object store is another one.
        self.staged = Staged::default();
        self.alarms.clear();
        self.revision = i64::try_from(revision_bump)
            .ok()
            .and_then(|bump| self.revision.checked_add(bump))
            .ok_or(ImageError::Damaged("its revision is too great to be raised so far"))?;
        if mark_compacted {
            self.compacted = self.revision;
        }
        Ok(())
    }
}
