//! Where each entry stands: a list of stretches of segments, in memory, shared by the writer and the reader.
//!
//! * Extents are consecutive: each begins at the entry after the one before it, the last ends at the log's last entry.
//! * Within an extent the entries are consecutive and each stands there once, with one exception: an extent may be
//!   clipped, and what follows its last entry in the file has been overwritten by a later extent.
//! * An extent holds its segment, so a reader that has taken one keeps the file from being recycled.

use super::segment::Segment;
use raft::Index;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// Batches are put together up to this size: what a cold read wants at once, and 1 GiB of log then takes less than
/// 1 MiB of memory to find.
const EXTENT_BYTES: u64 = 64 << 10;

/// A stretch of a segment: whole batches, one after the other.
#[derive(Clone)]
pub(super) struct Extent {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) first: Index,
    pub(super) through: Index,
    /// More may be put behind it.
    growing: bool,
}

/// The list.
#[derive(Default)]
pub(super) struct LogIndex {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The entry before the first one of the log.
    start: Index,
    extents: VecDeque<Extent>,
}

impl LogIndex {
    /// A batch with these entries has been written behind everything else.
    pub(super) fn append(&self, segment: &Arc<Segment>, offset: u64, bytes: u64, first: Index, through: Index) {
        let extents = &mut self.lock().extents;
        if let Some(last) = extents.back_mut() {
            assert!(last.through.next() == first, "extents are consecutive");
            if last.takes(segment, offset, bytes) {
                (last.bytes, last.through) = (last.bytes + bytes, through);
                return;
            }
            last.growing = false;
        }
        extents.push_back(Extent { segment: Arc::clone(segment), offset, bytes, first, through, growing: true });
    }

    /// Entries from here on are gone.
    pub(super) fn truncate_from(&self, from: Index) {
        let extents = &mut self.lock().extents;
        while extents.back().is_some_and(|extent| extent.first >= from) {
            extents.pop_back();
        }
        if let Some(last) = extents.back_mut().filter(|extent| extent.through >= from) {
            (last.through, last.growing) = (from.prev(), false);
        }
    }

    /// Entries up to `start` are gone, and so are segments before this one.
    pub(super) fn compact(&self, start: Index, segment: u64) {
        let mut inner = self.lock();
        inner.start = start;
        while inner.extents.front().is_some_and(|extent| extent.segment.sequence < segment) {
            inner.extents.pop_front();
        }
    }

    /// Every entry is gone.
    pub(super) fn reset(&self, start: Index) {
        *self.lock() = Inner { start, extents: VecDeque::new() };
    }

    /// The entry before the first one of the log.
    pub(super) fn start(&self) -> Index {
        self.lock().start
    }

    /// The first entry there is.
    pub(super) fn first(&self) -> Option<Index> {
        self.lock().extents.front().map(|extent| extent.first)
    }

    /// The last entry there is.
    pub(super) fn last(&self) -> Option<Index> {
        self.lock().extents.back().map(|extent| extent.through)
    }

    /// The segment an entry stands in, and the entry that precedes all entries of that segment.
    pub(super) fn segment_start(&self, index: Index) -> Option<(u64, Index)> {
        let extents = &self.lock().extents;
        let at = position(extents, index)?;
        let segment = extents[at].segment.sequence;
        let begins = extents.partition_point(|extent| extent.segment.sequence < segment);
        Some((segment, extents[begins].first.prev()))
    }

    /// The bytes of all entries there are.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().extents.iter().map(|extent| extent.bytes).sum()
    }

    /// The first entry of the newest extents that take no more than so many bytes together: the one after the last
    /// when not even the newest fits.
    pub(super) fn tail(&self, bytes_max: u64) -> Index {
        let inner = self.lock();
        let mut left = bytes_max;
        let fits = |extent: &&Extent| {
            let fits = extent.bytes <= left;
            left = left.saturating_sub(extent.bytes);
            fits
        };
        let after = inner.extents.back().map_or(inner.start, |extent| extent.through).next();
        inner.extents.iter().rev().take_while(fits).last().map_or(after, |extent| extent.first)
    }

    /// The extents that hold the entries from one to another, as many as it takes for so many bytes, at least one.
    pub(super) fn find(&self, from: Index, through: Index, bytes_max: u64) -> Vec<Extent> {
        let extents = &self.lock().extents;
        let Some(at) = position(extents, from) else { return Vec::new() };
        let mut taken = 0;
        let enough = |extent: &&Extent| {
            let more = taken <= bytes_max && extent.first <= through;
            taken += extent.bytes;
            more
        };
        extents.range(at..).take_while(enough).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the index of the log")
    }
}

impl Extent {
    fn takes(&self, segment: &Segment, offset: u64, bytes: u64) -> bool {
        self.growing
            && self.segment.sequence == segment.sequence
            && self.offset + self.bytes == offset
            && self.bytes + bytes <= EXTENT_BYTES
    }
}

fn position(extents: &VecDeque<Extent>, index: Index) -> Option<usize> {
    let at = extents.partition_point(|extent| extent.through < index);
    extents.get(at).filter(|extent| extent.first <= index).map(|_| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, SimDisk};

    fn segment(sequence: u64) -> Arc<Segment> {
        let file = SimDisk::new().create("file").unwrap();
        Arc::new(Segment { sequence, salt: 0, file })
    }

    /// Ten entries in batches of two, each 20 KiB: three batches fill an extent.
    fn ten(segment: &Arc<Segment>) -> LogIndex {
        let index = LogIndex::default();
        for batch in 0..5 {
            let first = Index(1 + 2 * batch);
            index.append(segment, batch * 20_480, 20_480, first, first.next());
        }
        index
    }

    fn found(index: &LogIndex, from: u64, through: u64, bytes_max: u64) -> Vec<(u64, u64)> {
        let extents = index.find(Index(from), Index(through), bytes_max);
        extents.iter().map(|extent| (extent.first.0, extent.through.0)).collect()
    }

    #[test]
    fn batches_share_an_extent_up_to_its_size() {
        let index = ten(&segment(1));
        assert_eq!(found(&index, 1, 10, u64::MAX), [(1, 6), (7, 10)]);
        assert_eq!(found(&index, 6, 6, u64::MAX), [(1, 6)]);
        assert_eq!(found(&index, 6, 10, 1), [(1, 6)]);
        assert_eq!(found(&index, 7, 20, u64::MAX), [(7, 10)]);
        assert_eq!(found(&index, 11, 20, u64::MAX), []);
    }

    #[test]
    fn the_tail_is_whole_extents_of_so_many_bytes_at_most() {
        let index = ten(&segment(1));
        assert_eq!(index.bytes(), 5 * 20_480);
        let tails = [0, 2 * 20_480 - 1, 2 * 20_480, 5 * 20_480 - 1, 5 * 20_480].map(|bytes| index.tail(bytes).0);
        assert_eq!(tails, [11, 11, 7, 7, 1]);
        assert_eq!(LogIndex::default().tail(u64::MAX), Index(1));
    }

    #[test]
    fn what_is_truncated_is_not_found_and_its_extent_does_not_grow() {
        let segment = segment(1);
        let index = ten(&segment);
        index.truncate_from(Index(9));
        assert_eq!(found(&index, 1, 10, u64::MAX), [(1, 6), (7, 8)]);
        index.append(&segment, 5 * 20_480, 512, Index(9), Index(9));
        assert_eq!(found(&index, 8, 10, u64::MAX), [(7, 8), (9, 9)]);
        index.truncate_from(Index(1));
        assert_eq!(index.last(), None);
    }

    #[test]
    fn a_segment_ends_an_extent_and_can_be_dropped_with_its_entries() {
        let (first, second) = (segment(1), segment(2));
        let index = ten(&first);
        index.append(&second, 4096, 512, Index(11), Index(11));
        assert_eq!(index.segment_start(Index(8)), Some((1, Index(0))));
        assert_eq!(index.segment_start(Index(11)), Some((2, Index(10))));
        assert_eq!(index.segment_start(Index(12)), None);
        index.compact(Index(10), 2);
        assert_eq!((index.first(), index.last()), (Some(Index(11)), Some(Index(11))));
        drop(index);
        assert_eq!(Arc::strong_count(&first), 1, "nothing holds the segment that was dropped");
    }
}
