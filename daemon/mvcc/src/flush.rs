//! Moving what was applied into the backend, and sweeping what compaction has made unreadable, in rounds of one
//! commit each. Applies and reads go on meanwhile: the active buffer is set aside as the frozen one, which stays
//! readable until the backend holds its rows.
//!
//! * A commit carries the head that belongs to its rows: the applied index is never ahead of or behind the data.
//! * Sweeping up to `s` removes, for every row at or below `s`, the row it supersedes, and tombstones. It stays
//!   below the compacted revision, whose own rows a watch may still ask for, and below what reads are pinned to.
//! * A crash between two commits loses only what the log replays, and sweeping starts again where it was.

use crate::backend::{Backend, Change, Direction, Span, Table, View};
use crate::buffer::Buffer;
use crate::error::Fault;
use crate::head::{HEAD_KEY, Head};
use crate::row::{KeyMeta, RowId, RowView};
use crate::state::{Durable, State};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What one round is going to write.
pub(crate) struct Round {
    frozen: Arc<Buffer>,
    head: Head,
    sweep: Sweep,
}

/// What compaction has made unreadable, as far as one round goes.
#[derive(Debug, Default)]
struct Sweep {
    rows: Vec<RowId>,
    keys: Vec<Bytes>,
    bytes: u64,
    through: i64,
}

/// How far a round came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The log may be cut up to this index, as far as the store is concerned.
    pub applied: u64,
    /// Whether there is more to sweep already.
    pub sweep_pending: bool,
}

impl State {
    /// Sets the active buffer aside for a round. `None` if there is nothing to write.
    pub(crate) fn freeze(&mut self, sweep_through: i64) -> Option<(Arc<Buffer>, Head)> {
        assert!(self.frozen.is_none(), "one round at a time");
        let idle = self.head.applied == self.durable.applied && sweep_through <= self.head.swept;
        if idle {
            return None;
        }
        let frozen = Arc::new(std::mem::take(&mut self.active));
        self.frozen = Some(Arc::clone(&frozen));
        Some((frozen, self.head.clone()))
    }

    /// What may be swept of what the backend holds, given the oldest revision that reads are pinned to.
    pub(crate) fn sweep_limit(&self, pinned: Option<i64>) -> i64 {
        (self.head.compacted - 1).min(self.durable.revision).min(pinned.unwrap_or(i64::MAX))
    }

    /// Takes over the backend as a round has left it.
    pub(crate) fn thaw(&mut self, base: Arc<dyn View>, round: &Round) -> Result<(), Fault> {
        self.base = base;
        self.frozen = None;
        self.durable = Durable { applied: round.head.applied, revision: round.head.revision };
        self.head.swept = round.head.swept;
        self.head.in_use = self.head.in_use.saturating_sub(round.sweep.bytes);
        for key in &round.sweep.keys {
            if !self.active.keys.contains_key(key) {
                self.rank(key, crate::rank::Step::Forgotten)?;
            }
        }
        Ok(())
    }
}

impl Round {
    /// Looks up what to sweep and completes the head.
    pub(crate) fn plan(
        (frozen, mut head): (Arc<Buffer>, Head),
        base: &dyn View,
        sweep_through: i64,
        rows_max: usize,
    ) -> Result<Self, Fault> {
        let sweep = Sweep::plan(base, &frozen, head.swept, sweep_through, rows_max)?;
        head.swept = sweep.through;
        head.in_use = head.in_use.saturating_sub(sweep.bytes);
        Ok(Self { frozen, head, sweep })
    }

    pub(crate) fn commit(&self, backend: &dyn Backend) -> Result<(), Fault> {
        backend.commit(&mut |change| self.write(change))
    }

    fn write(&self, change: &mut dyn Change) -> Result<(), Fault> {
        for id in &self.sweep.rows {
            change.remove(Table::Revisions, &id.key())?;
        }
        for key in &self.sweep.keys {
            change.remove(Table::Keys, key)?;
        }
        let mut bytes = Vec::new();
        for row in &self.frozen.rows {
            bytes.clear();
            row.view().encode(&mut bytes);
            change.put(Table::Revisions, &row.id.key(), &bytes)?;
        }
        for (key, meta) in &self.frozen.keys {
            bytes.clear();
            meta.encode(&mut bytes);
            change.put(Table::Keys, key, &bytes)?;
        }
        change.put(Table::Head, HEAD_KEY, &self.head.encode())
    }
}

impl Sweep {
    /// Covers whole revisions, at least one if there is any, and stops after about `rows_max` rows.
    fn plan(base: &dyn View, frozen: &Buffer, swept: i64, through: i64, rows_max: usize) -> Result<Self, Fault> {
        let mut sweep = Self { through: through.max(swept), ..Self::default() };
        if through <= swept {
            return Ok(sweep);
        }
        let (start, end) = (RowId::first_of(swept + 1).key(), RowId::first_of(through + 1).key());
        let (mut rows, mut last) = (0, swept + 1);
        let span = Span { start: &start, end: Some(&end) };
        base.scan(Table::Revisions, span, Direction::Forward, &mut |key, bytes| {
            let row = RowView::decode(RowId::from_key(key)?, bytes)?;
            if rows >= rows_max && row.id.main != last {
                sweep.through = last;
                return Ok(ControlFlow::Break(()));
            }
            (rows, last) = (rows + 1, row.id.main);
            sweep.take(base, frozen, &row, bytes.len())?;
            Ok(ControlFlow::Continue(()))
        })?;
        sweep.rows.sort_unstable();
        Ok(sweep)
    }

    fn take(&mut self, base: &dyn View, frozen: &Buffer, row: &RowView<'_>, bytes: usize) -> Result<(), Fault> {
        if row.version.supersedes() {
            self.rows.push(row.version.links.prev);
            self.bytes += u64::from(row.version.links.prev_bytes);
        }
        if row.version.tombstone {
            self.rows.push(row.id);
            self.bytes += bytes as u64;
            if is_newest(base, row)? && !frozen.keys.contains_key(&*row.key) {
                self.keys.push(row.key.to_bytes());
            }
        }
        Ok(())
    }
}

fn is_newest(base: &dyn View, row: &RowView<'_>) -> Result<bool, Fault> {
    let mut newest = None;
    base.get(Table::Keys, &row.key, &mut |bytes| newest = Some(KeyMeta::decode(bytes)))?;
    Ok(newest.transpose()?.is_some_and(|newest| newest.id == row.id))
}
