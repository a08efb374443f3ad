//! Everything there is at one moment: what the backend holds, below the buffer that is being flushed, below the
//! buffer that takes new rows. Lookups and scans see the three as one.

use crate::backend::{Backend, Direction, Span, Table, View};
use crate::buffer::{Buffer, Row};
use crate::cache::ValueCache;
use crate::error::{Fault, Refusal};
use crate::head::{HEAD_KEY, Head};
use crate::rank::Ranks;
use crate::row::{KeyMeta, RowId, RowView, Slice, Version};
use crate::types::{KeyRange, Revision};
use bytes::Bytes;
use planted::{Bug, is_planted};
use std::collections::btree_map;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// What to do with each key of a scan; says whether to go on.
pub(crate) type VisitKey<'a> = &'a mut dyn FnMut(Slice<'_>, &KeyMeta) -> Result<ControlFlow<()>, Fault>;
/// What to do with each row of a scan; says whether to go on.
pub(crate) type VisitRow<'a> = &'a mut dyn FnMut(RowView<'_>) -> Result<ControlFlow<()>, Fault>;

pub(crate) struct State {
    pub(crate) backend: Arc<dyn Backend>,
    /// How often the backend was replaced: a read in several steps begins anew when it finds another number.
    pub(crate) replaced: u64,
    pub(crate) active: Buffer,
    pub(crate) frozen: Option<Arc<Buffer>>,
    pub(crate) base: Arc<dyn View>,
    pub(crate) head: Head,
    pub(crate) ranks: Ranks,
    /// Where the backend stands.
    pub(crate) durable: Durable,
    pub(crate) cache: ValueCache,
}

/// How far the rows in the backend reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) applied: u64,
    pub(crate) revision: i64,
}

/// The revision of the newest row there is. Not that of the store: a compaction may have swept its row.
fn newest_row(base: &dyn View) -> Result<i64, Fault> {
    let mut newest = Revision::EMPTY.0;
    base.scan(Table::Revisions, Span { start: b"", end: None }, Direction::Backward, &mut |key, _| {
        newest = RowId::from_key(key)?.main;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(newest)
}

impl State {
    /// What a backend holds; an empty one is a new store. Visits every key once, to count them.
    pub(crate) fn load(backend: Arc<dyn Backend>) -> Result<Self, Fault> {
        let base = backend.view()?;
        let mut head = None;
        base.get(Table::Head, HEAD_KEY, &mut |bytes| head = Some(Head::decode(bytes)))?;
        let mut head: Head = head.transpose()?.unwrap_or_default();
        if is_planted(Bug::RevisionOfRows) {
            head.revision = newest_row(&*base)?;
        }
        let mut ranks = Ranks::default();
        base.scan(Table::Keys, Span { start: b"", end: None }, Direction::Forward, &mut |key, bytes| {
            ranks.load(key, KeyMeta::decode(bytes)?.is_live());
            Ok(ControlFlow::Continue(()))
        })?;
        let durable = Durable { applied: head.applied, revision: head.revision };
        let (active, cache) = (Buffer::default(), ValueCache::default());
        Ok(Self { backend, replaced: 0, active, frozen: None, base, head, ranks, durable, cache })
    }

    /// The revision a request asks for, if it can be read.
    pub(crate) fn resolve(&self, revision: Revision) -> Result<i64, Refusal> {
        let (current, compacted) = (Revision(self.head.revision), Revision(self.head.compacted));
        match revision {
            Revision(..=0) => Ok(current.0),
            asked if asked > current => Err(Refusal::FutureRevision { current }),
            asked if asked < compacted => Err(Refusal::Compacted { compacted }),
            asked => Ok(asked.0),
        }
    }

    /// The newest version of a key, be it a tombstone.
    pub(crate) fn newest(&self, key: &[u8]) -> Result<Option<KeyMeta>, Fault> {
        let buffered = self.active.keys.get(key).or_else(|| self.frozen.as_ref()?.keys.get(key));
        if let Some(meta) = buffered {
            return Ok(Some(*meta));
        }
        let mut found = None;
        self.base.get(Table::Keys, key, &mut |bytes| found = Some(KeyMeta::decode(bytes)))?;
        found.transpose()
    }

    /// The version of a key that was current at a revision, given its newest one.
    pub(crate) fn version_at(&self, newest: &KeyMeta, at: i64) -> Result<Option<(RowId, Version)>, Fault> {
        let (mut id, mut version) = (newest.id, newest.version);
        while id.main > at {
            let links = version.links;
            if !links.lead_back_from(id) {
                return Err(Fault::Damaged("a version names a later one as older"));
            }
            id = [links.far, links.near].into_iter().find(|link| link.main > at).unwrap_or(links.prev);
            match self.row(id, |row| row.version)? {
                Some(older) => version = older,
                None if id.main > at => return Err(Fault::Damaged("a version above the compacted revision is gone")),
                None => return Ok(None),
            }
        }
        Ok((!version.tombstone).then_some((id, version)))
    }

    /// Hands one row to `use_row`, if it is there.
    pub(crate) fn row<T>(&self, id: RowId, use_row: impl FnOnce(RowView<'_>) -> T) -> Result<Option<T>, Fault> {
        let buffered = self.active.row(id).or_else(|| self.frozen.as_ref()?.row(id));
        if let Some(row) = buffered {
            return Ok(Some(use_row(row.view())));
        }
        if id.main > self.durable.revision {
            return Ok(None);
        }
        let (mut use_row, mut result) = (Some(use_row), None);
        self.base.get(Table::Revisions, &id.key(), &mut |bytes| {
            result = use_row.take().map(|use_row| RowView::decode(id, bytes).map(use_row));
        })?;
        result.transpose()
    }

    /// The value of a row that is known to be there.
    pub(crate) fn value(&self, id: RowId) -> Result<Bytes, Fault> {
        let flushed = id.main <= self.durable.revision;
        if let Some(value) = if flushed { self.cache.get(id) } else { None } {
            return Ok(value);
        }
        let value = self.row(id, |row| row.value.to_bytes())?.ok_or(Fault::Damaged("a key's version is gone"))?;
        if flushed {
            self.cache.put(id, &value);
        }
        Ok(value)
    }

    /// Visits the newest version of every key of the span, tombstones included.
    pub(crate) fn scan_keys(&self, span: Span<'_>, direction: Direction, visit: VisitKey<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        let mut overlay = Overlay::new(&self.active, self.frozen.as_deref(), span, direction);
        let mut stopped = false;
        self.base.scan(Table::Keys, span, direction, &mut |key, bytes| {
            while let Some((newer, meta)) = overlay.next_before(key) {
                if visit(Slice::Shared(newer), meta)?.is_break() {
                    stopped = true;
                    return Ok(ControlFlow::Break(()));
                }
            }
            let flow = match overlay.next_at(key) {
                Some((newer, meta)) => visit(Slice::Shared(newer), meta)?,
                None => visit(Slice::Borrowed(key), &KeyMeta::decode(bytes)?)?,
            };
            stopped = flow.is_break();
            Ok(flow)
        })?;
        while let Some((key, meta)) = if stopped { None } else { overlay.next() } {
            stopped = visit(Slice::Shared(key), meta)?.is_break();
        }
        Ok(())
    }

    /// Visits every row from `from` on, in the order of revisions.
    pub(crate) fn scan_rows(&self, from: RowId, visit: VisitRow<'_>) -> Result<(), Fault> {
        let mut stopped = false;
        if from.main <= self.durable.revision {
            let span = Span { start: &from.key(), end: None };
            self.base.scan(Table::Revisions, span, Direction::Forward, &mut |key, bytes| {
                let flow = visit(RowView::decode(RowId::from_key(key)?, bytes)?)?;
                stopped = flow.is_break();
                Ok(flow)
            })?;
        }
        let frozen = self.frozen.as_ref().map_or(&[][..], |frozen| frozen.rows_from(from));
        for row in frozen.iter().chain(self.active.rows_from(from)) {
            if stopped || visit(Row::view(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// How many keys of the span are live now.
    pub(crate) fn count_now(&self, span: Span<'_>) -> Result<u64, Fault> {
        self.ranks.count(span, |part| {
            let mut count = 0;
            self.scan_keys(part, Direction::Forward, &mut |_, meta| {
                count += u64::from(meta.is_live());
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(count)
        })
    }
}

/// A key range in the form that scans take.
pub(crate) struct Keys {
    start: Bytes,
    end: Option<Bytes>,
}

impl Keys {
    pub(crate) fn of(range: &KeyRange) -> Self {
        let end = match () {
            () if range.is_one() => Some(successor(&range.key)),
            () if range.is_open() => None,
            () => Some(range.end.clone()),
        };
        Self { start: range.key.clone(), end }
    }

    pub(crate) fn span(&self) -> Span<'_> {
        Span { start: &self.start, end: self.end.as_deref() }
    }
}

/// The smallest key after this one.
pub(crate) fn successor(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

type Keyed<'a> = (&'a Bytes, &'a KeyMeta);

/// The two buffers as one; of a key in both, the newer version.
struct Overlay<'a> {
    active: btree_map::Range<'a, Bytes, KeyMeta>,
    frozen: btree_map::Range<'a, Bytes, KeyMeta>,
    active_next: Option<Keyed<'a>>,
    frozen_next: Option<Keyed<'a>>,
    direction: Direction,
}

impl<'a> Overlay<'a> {
    fn new(active: &'a Buffer, frozen: Option<&'a Buffer>, span: Span<'_>, direction: Direction) -> Self {
        let bounds = (Bound::Included(span.start), span.end.map_or(Bound::Unbounded, Bound::Excluded));
        let mut overlay = Self {
            active: active.keys.range::<[u8], _>(bounds),
            frozen: frozen.map(|frozen| frozen.keys.range::<[u8], _>(bounds)).unwrap_or_default(),
            active_next: None,
            frozen_next: None,
            direction,
        };
        overlay.active_next = step(&mut overlay.active, direction);
        overlay.frozen_next = step(&mut overlay.frozen, direction);
        overlay
    }

    fn next(&mut self) -> Option<Keyed<'a>> {
        let (take_active, take_frozen) = match (self.active_next, self.frozen_next) {
            (None, None) => return None,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some((active, _)), Some((frozen, _))) => {
                (active == frozen || self.is_before(active, frozen), active == frozen || self.is_before(frozen, active))
            }
        };
        let next = if take_active { self.active_next } else { self.frozen_next };
        if take_active {
            self.active_next = step(&mut self.active, self.direction);
        }
        if take_frozen {
            self.frozen_next = step(&mut self.frozen, self.direction);
        }
        next
    }

    fn next_before(&mut self, key: &[u8]) -> Option<Keyed<'a>> {
        let is_before = |next: Option<Keyed<'_>>| next.is_some_and(|(next, _)| self.is_before(next, key));
        if is_before(self.active_next) || is_before(self.frozen_next) { self.next() } else { None }
    }

    /// To be asked when nothing is left before `key`.
    fn next_at(&mut self, key: &[u8]) -> Option<Keyed<'a>> {
        let is_at = |next: Option<Keyed<'_>>| next.is_some_and(|(next, _)| next == key);
        if is_at(self.active_next) || is_at(self.frozen_next) { self.next() } else { None }
    }

    fn is_before(&self, left: &[u8], right: &[u8]) -> bool {
        match self.direction {
            Direction::Forward => left < right,
            Direction::Backward => left > right,
        }
    }
}

fn step<'a>(range: &mut btree_map::Range<'a, Bytes, KeyMeta>, direction: Direction) -> Option<Keyed<'a>> {
    match direction {
        Direction::Forward => range.next(),
        Direction::Backward => range.next_back(),
    }
}
