//! A backend without a disk, for simulation and tests. Every commit is durable: it survives the [`crate::Store`].
//!
//! A view shares its rows with those that come after it; a commit copies the few nodes of the trees that it changes.

use crate::backend::{Backend, Change, Direction, Span, Table, View, Visit};
use crate::error::Fault;
use bytes::Bytes;
use rpds::RedBlackTreeMapSync;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

type Rows = RedBlackTreeMapSync<Bytes, Bytes>;

/// The tables in memory.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    tables: Mutex<Arc<Tables>>,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    head: Rows,
    keys: Rows,
    revisions: Rows,
}

impl MemoryBackend {
    /// Empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Arc<Tables>> {
        self.tables.lock().expect("no holder of this lock panics")
    }
}

impl Backend for MemoryBackend {
    fn view(&self) -> Result<Arc<dyn View>, Fault> {
        Ok(Arc::clone(&*self.tables()) as Arc<dyn View>)
    }

    fn commit(&self, write: &mut dyn FnMut(&mut dyn Change) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut next = Tables::clone(&self.tables());
        write(&mut next)?;
        *self.tables() = Arc::new(next);
        Ok(())
    }

    fn allocated(&self) -> u64 {
        let tables = Arc::clone(&*self.tables());
        let rows = |rows: &Rows| rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        rows(&tables.head) + rows(&tables.keys) + rows(&tables.revisions)
    }
}

impl Tables {
    fn rows(&self, table: Table) -> &Rows {
        match table {
            Table::Head => &self.head,
            Table::Keys => &self.keys,
            Table::Revisions => &self.revisions,
        }
    }

    fn rows_mut(&mut self, table: Table) -> &mut Rows {
        match table {
            Table::Head => &mut self.head,
            Table::Keys => &mut self.keys,
            Table::Revisions => &mut self.revisions,
        }
    }
}

impl Change for Tables {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.rows_mut(table).insert_mut(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Fault> {
        self.rows_mut(table).remove_mut(key);
        Ok(())
    }
}

impl View for Tables {
    fn get(&self, table: Table, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<bool, Fault> {
        let row = self.rows(table).get(key);
        if let Some(value) = row {
            found(value);
        }
        Ok(row.is_some())
    }

    fn scan(&self, table: Table, span: Span<'_>, direction: Direction, visit: Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        let end = span.end.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = self.rows(table).range::<[u8], _>((Bound::Included(span.start), end));
        while let Some((key, value)) = match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        } {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
