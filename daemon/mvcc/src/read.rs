//! A range, read in steps. The state may change between two steps: the range still shows the one revision it began
//! at, as older versions stay until compaction takes them.

use crate::backend::{Direction, Span};
use crate::error::{Fault, Refusal};
use crate::range::{RangeRequest, RangeResult, SortOrder, SortTarget};
use crate::row::{KeyMeta, RowId, Slice, Version};
use crate::state::{Keys, State, successor};
use crate::types::{KeyValue, Revision};
use bytes::Bytes;
use planted::{Bug, is_planted};
use std::ops::ControlFlow;

/// Up to so many newer rows, counting back from the present is cheaper than counting the keys of the past.
const COUNT_BACK_ROWS_MAX: usize = 1024;

/// Up to so many values are fetched at once after sorting; a range that shows more fetches them as it goes.
const LATE_VALUES_MAX: usize = 256;

/// A range that is being read.
pub(crate) struct Range<'a, 'r> {
    request: &'a RangeRequest,
    /// The store's revision when it began.
    revision: i64,
    /// The revision it shows.
    at: i64,
    keys: Keys,
    direction: Direction,
    /// How many hits are enough.
    hits_max: usize,
    /// Values are needed while scanning, or only of what is left after sorting.
    values: Values,
    count: Count,
    hits: Vec<Hit>,
    found: Found,
    /// Whether what was found may stay.
    room: &'a mut Room<'r>,
    /// It may not, and the range is given up.
    is_over: bool,
    /// Where the next step goes on: its first key, or the one after its last if it goes backward.
    resume: Option<Bytes>,
}

/// What a read has found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Keys and values, as a client gets them.
    pub payload_bytes: usize,
    /// The same in memory, with what keeps them in order.
    pub memory_bytes: usize,
}

impl Found {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            payload_bytes: self.payload_bytes.saturating_add(other.payload_bytes),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    fn add(&mut self, payload_bytes: usize, more_bytes: usize) {
        self.payload_bytes = self.payload_bytes.saturating_add(payload_bytes);
        self.memory_bytes = self.memory_bytes.saturating_add(payload_bytes).saturating_add(more_bytes);
    }
}

/// Says whether what a read has found may stay. It is asked again whenever that has grown.
pub type Room<'a> = dyn FnMut(Found) -> bool + 'a;

struct Hit {
    id: RowId,
    kv: KeyValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    Never,
    WhileScanning,
    AfterSorting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Known(i64),
    /// Found so far.
    Scanning(i64),
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    More,
}

impl<'a, 'r> Range<'a, 'r> {
    /// Begins a range that shows the state at `at`, told as read at `revision`.
    pub(crate) fn begin(
        state: &State,
        request: &'a RangeRequest,
        (revision, at): (i64, i64),
        room: &'a mut Room<'r>,
    ) -> Result<Self, Fault> {
        let keys = Keys::of(&request.range);
        let count = match () {
            () if request.range.is_one() => Count::Scanning(0),
            () => count_at(state, keys.span(), at)?.map_or(Count::Scanning(0), Count::Known),
        };
        Ok(Self {
            direction: direction(request),
            hits_max: hits_max(request),
            values: values(request),
            hits: Vec::new(),
            found: Found::default(),
            room,
            is_over: false,
            resume: None,
            request,
            revision,
            at,
            keys,
            count,
        })
    }

    /// The revision it shows; what its rows must be kept for.
    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// Visits up to `keys_max` keys.
    pub(crate) fn advance(&mut self, state: &State, keys_max: usize) -> Result<Progress, Fault> {
        if self.request.range.is_one() {
            return self.read_one(state);
        }
        if self.is_satisfied() {
            return Ok(Progress::Done);
        }
        let resume = self.resume.take();
        let (start, end) = (self.keys.span().start.to_vec(), self.keys.span().end.map(<[u8]>::to_vec));
        let span = match (&resume, self.direction) {
            (None, _) => Span { start: &start, end: end.as_deref() },
            (Some(key), Direction::Forward) => Span { start: key, end: end.as_deref() },
            (Some(key), Direction::Backward) => Span { start: &start, end: Some(key) },
        };
        let mut left = keys_max;
        state.scan_keys(span, self.direction, &mut |key, meta| {
            if left == 0 {
                self.resume = Some(match self.direction {
                    Direction::Forward => key.to_bytes(),
                    Direction::Backward => successor(&key),
                });
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            self.visit(state, key, meta)?;
            let over = self.is_satisfied() || self.is_over;
            Ok(if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(if self.resume.is_some() { Progress::More } else { Progress::Done })
    }

    fn read_one(&mut self, state: &State) -> Result<Progress, Fault> {
        if let Some(meta) = state.newest(&self.request.range.key)? {
            self.visit(state, Slice::Shared(&self.request.range.key), &meta)?;
        }
        Ok(Progress::Done)
    }

    fn is_satisfied(&self) -> bool {
        matches!(self.count, Count::Known(_)) && (self.hits.len() >= self.hits_max || self.request.count_only)
    }

    fn visit(&mut self, state: &State, key: Slice<'_>, newest: &KeyMeta) -> Result<(), Fault> {
        let Some((id, version)) = state.version_at(newest, self.at)? else { return Ok(()) };
        if let Count::Scanning(count) = &mut self.count {
            *count += 1;
        }
        if self.request.count_only || self.hits.len() >= self.hits_max || !passes(self.request, id, &version) {
            return Ok(());
        }
        let value = if self.values == Values::WhileScanning { state.value(id)? } else { Bytes::new() };
        let kv = version.key_value(id, key.to_bytes(), value);
        self.take(kv.key.len() + kv.value.len(), size_of::<Hit>());
        self.hits.push(Hit { id, kv });
        Ok(())
    }

    fn take(&mut self, payload_bytes: usize, more_bytes: usize) {
        self.found.add(payload_bytes, more_bytes);
        self.is_over |= !(self.room)(self.found);
    }

    /// Sorts, cuts, and fetches the values that are still missing. The rows must be there as they were when the
    /// range was begun. `None` if it was given up.
    pub(crate) fn finish(mut self, state: &State) -> Result<Option<RangeResult>, Fault> {
        let count = match self.count {
            Count::Known(count) | Count::Scanning(count) => count,
        };
        sort(&mut self.hits, self.request);
        let limit = limit(self.request).unwrap_or(usize::MAX);
        let more = self.hits.len() > limit;
        self.hits.truncate(limit);
        if self.values == Values::AfterSorting {
            for at in 0..self.hits.len() {
                let value = state.value(self.hits[at].id)?;
                self.take(value.len(), 0);
                if self.is_over {
                    break;
                }
                self.hits[at].kv.value = value;
            }
        }
        if self.is_over {
            return Ok(None);
        }
        let mut kvs: Vec<_> = self.hits.into_iter().map(|hit| hit.kv).collect();
        if self.request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        Ok(Some(RangeResult { revision: Revision(self.revision), kvs, more, count }))
    }
}

impl State {
    /// A range in one step. `None` if there is no room for what it finds.
    pub(crate) fn range(
        &self,
        request: &RangeRequest,
        place: (i64, i64),
        room: &mut Room<'_>,
    ) -> Result<Option<RangeResult>, Fault> {
        let mut range = Range::begin(self, request, place, room)?;
        let progress = range.advance(self, usize::MAX)?;
        debug_assert_eq!(progress, Progress::Done, "no end is set");
        range.finish(self)
    }

    /// The live keys of a range with their newest versions, in order.
    pub(crate) fn live(&self, keys: &Keys) -> Result<Vec<(Bytes, KeyMeta)>, Fault> {
        let mut live = Vec::new();
        self.scan_keys(keys.span(), Direction::Forward, &mut |key, meta| {
            if meta.is_live() {
                live.push((key.to_bytes(), *meta));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(live)
    }

    /// Whether a range inside a transaction may be executed. Unlike a plain one, it refuses negative revisions that
    /// lie before the compaction.
    pub(crate) fn check_inner_range(&self, asked: Revision) -> Result<(), Refusal> {
        let oldest = if is_planted(Bug::SweptDecides) { self.head.swept } else { self.head.compacted };
        let (current, compacted) = (Revision(self.head.revision), Revision(oldest));
        match asked {
            Revision::ZERO => Ok(()),
            asked if asked > current => Err(Refusal::FutureRevision { current }),
            asked if asked < compacted => Err(Refusal::Compacted { compacted }),
            _ => Ok(()),
        }
    }
}

/// How many keys of the span were live at a revision; `None` if only visiting them can tell.
fn count_at(state: &State, span: Span<'_>, at: i64) -> Result<Option<i64>, Fault> {
    let mut back = 0i64;
    let mut rows_left = COUNT_BACK_ROWS_MAX;
    let newest = state.active.rows.last().map_or(state.head.revision, |row| row.id.main);
    if at < newest {
        state.scan_rows(RowId::first_of(at + 1), &mut |row| {
            if rows_left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            rows_left -= 1;
            let inside = &*row.key >= span.start && span.end.is_none_or(|end| &*row.key < end);
            match row.version {
                Version { tombstone: true, .. } if inside => back += 1,
                Version { version: 1, .. } if inside => back -= 1,
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if rows_left == 0 {
        return Ok(None);
    }
    let now = i64::try_from(state.count_now(span)?).expect("fewer keys than bytes of address space");
    Ok(Some(now + back))
}

/// Without another order, or by key, keys come out of the scan as they have to; the others are sorted afterwards.
fn by_key(request: &RangeRequest) -> bool {
    request.sort.target == SortTarget::Key
}

fn direction(request: &RangeRequest) -> Direction {
    if by_key(request) && request.sort.order == SortOrder::Descend { Direction::Backward } else { Direction::Forward }
}

fn limit(request: &RangeRequest) -> Option<usize> {
    usize::try_from(request.limit).ok().filter(|limit| *limit > 0)
}

/// One hit beyond the limit tells that there is more. Sorting needs every hit, with one exception that clients may
/// rely on: a target without an order and without filters sorts only the first keys up to the limit and one more.
fn hits_max(request: &RangeRequest) -> usize {
    let filtered = filters(request).iter().any(|revision| *revision != Revision::ZERO);
    let in_order = by_key(request) || (request.sort.order == SortOrder::None && !filtered);
    limit(request).filter(|_| in_order).map_or(usize::MAX, |limit| limit.saturating_add(1))
}

fn values(request: &RangeRequest) -> Values {
    match () {
        () if request.sort.target == SortTarget::Value => Values::WhileScanning,
        () if request.keys_only => Values::Never,
        () if !by_key(request) && limit(request).is_some_and(|limit| limit <= LATE_VALUES_MAX) => Values::AfterSorting,
        () => Values::WhileScanning,
    }
}

fn filters(request: &RangeRequest) -> [Revision; 4] {
    [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision]
}

fn passes(request: &RangeRequest, id: RowId, version: &Version) -> bool {
    let within = |revision: i64, min: Revision, max: Revision| {
        (min == Revision::ZERO || revision >= min.0) && (max == Revision::ZERO || revision <= max.0)
    };
    within(id.main, request.min_mod_revision, request.max_mod_revision)
        && within(version.create, request.min_create_revision, request.max_create_revision)
}

fn sort(hits: &mut [Hit], request: &RangeRequest) {
    let compare = |a: &KeyValue, b: &KeyValue| match request.sort.target {
        SortTarget::Key => std::cmp::Ordering::Equal, // as they came
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    if by_key(request) {
        return;
    }
    match request.sort.order {
        SortOrder::None | SortOrder::Ascend => hits.sort_by(|a, b| compare(&a.kv, &b.kv)),
        SortOrder::Descend => hits.sort_by(|a, b| compare(&b.kv, &a.kv)),
    }
}
