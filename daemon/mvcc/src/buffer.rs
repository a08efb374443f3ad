//! Applied rows that are not yet in the backend: the newest versions by key, and all versions by revision.

use crate::row::{KeyMeta, RowId, RowView, Slice, Version};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a row costs in memory besides its key and value: the row, the key's metadata, and its share of tree nodes.
const ROW_OVERHEAD_BYTES: usize = 384;

/// One version of one key.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: RowId,
    pub(crate) version: Version,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

impl Row {
    pub(crate) fn view(&self) -> RowView<'_> {
        RowView { id: self.id, version: self.version, key: Slice::Shared(&self.key), value: Slice::Shared(&self.value) }
    }
}

/// Rows in the order of revisions, all later than those in the backend.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) keys: BTreeMap<Bytes, KeyMeta>,
    pub(crate) rows: Vec<Row>,
    bytes: usize,
}

impl Buffer {
    /// Appends a row that is now the newest of its key.
    pub(crate) fn push(&mut self, row: Row, meta: KeyMeta) {
        debug_assert!(self.rows.last().is_none_or(|last| last.id < row.id), "rows come in the order of revisions");
        self.bytes += row.key.len() + row.value.len() + ROW_OVERHEAD_BYTES;
        self.keys.insert(row.key.clone(), meta);
        self.rows.push(row);
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn row(&self, id: RowId) -> Option<&Row> {
        let first = self.rows.first()?.id;
        if id < first {
            return None;
        }
        // Revisions without gaps and with one row each are the rule: look there first.
        let guess = usize::try_from(id.main - first.main).expect("not before the first");
        match self.rows.get(guess) {
            Some(row) if row.id == id => Some(row),
            _ => self.rows.binary_search_by_key(&id, |row| row.id).ok().map(|at| &self.rows[at]),
        }
    }

    /// The rows at and after `id`.
    pub(crate) fn rows_from(&self, id: RowId) -> &[Row] {
        &self.rows[self.rows.partition_point(|row| row.id < id)..]
    }
}
