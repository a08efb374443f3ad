//! What happened since a revision, for watches: the rows themselves, in the order they were written.

use crate::error::{Fault, ReadError, Refusal};
use crate::row::{RowId, RowView};
use crate::state::State;
use crate::types::{Event, EventKind, KeyValue, Revision};
use std::ops::ControlFlow;

/// Some events, whole revisions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// In order.
    pub events: Vec<Event>,
    /// The revision to go on from: all events below it were looked at.
    pub next: Revision,
    /// The store's revision when they were read; `next` is one more once all were.
    pub current: Revision,
}

impl State {
    pub(crate) fn events(
        &self,
        from: Revision,
        rows_max: usize,
        prev_kv: bool,
        wanted: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Events, ReadError> {
        let (current, compacted) = (Revision(self.head.revision), Revision(self.head.compacted));
        if from < compacted {
            return Err(Refusal::Compacted { compacted }.into());
        }
        let mut found = Events { events: Vec::new(), next: from.max(current.next()), current };
        let (mut rows, mut last) = (0, from.0);
        self.scan_rows(RowId::first_of(from.0.max(0)), &mut |row| {
            if rows >= rows_max && row.id.main != last {
                found.next = Revision(row.id.main);
                return Ok(ControlFlow::Break(()));
            }
            (rows, last) = (rows + 1, row.id.main);
            if wanted(&row.key) {
                let prev = if prev_kv { self.before(&row)? } else { None };
                found.events.push(event(&row, prev));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The key as it was just before this row, unless it did not exist or that revision is compacted.
    fn before(&self, row: &RowView<'_>) -> Result<Option<KeyValue>, Fault> {
        if !row.version.supersedes() || row.id.main <= self.head.compacted {
            return Ok(None);
        }
        self.row(row.version.links.prev, |prev| prev.key_value())
    }
}

fn event(row: &RowView<'_>, prev: Option<KeyValue>) -> Event {
    // A tombstone has neither value nor versions nor lease: as it is stored, so it is shown.
    let kind = if row.version.tombstone { EventKind::Delete } else { EventKind::Put };
    Event { kind, kv: row.key_value(), prev }
}
