//! How many live keys lie between two others, without visiting them.
//!
//! The key space is cut into buckets of some hundred keys, each knowing how many it holds; blocks of buckets know
//! their sums. A count adds up blocks, then buckets, and has the two buckets at its ends scanned. Deleted keys whose
//! tombstones are still there count as entries: they bound the scan, so they take part in cutting.
//!
//! * The first bucket starts at the empty key; each covers the keys up to the start of the next.
//! * No block is without buckets.

use crate::backend::Span;
use crate::error::Fault;
use bytes::Bytes;

/// A bucket is cut in two beyond this: what a scan at an end of a count visits at most, unless keys pile up
/// between two cuts of one command.
const BUCKET_ENTRIES_MAX: u32 = 256;

/// A block is cut in two beyond this: what a count adds up at each end.
const BLOCK_BUCKETS_MAX: usize = 128;

#[derive(Debug)]
pub(crate) struct Ranks {
    blocks: Vec<Block>,
}

#[derive(Debug, Default)]
struct Block {
    buckets: Vec<Bucket>,
    live: u64,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    first: Bytes,
    live: u32,
    entries: u32,
}

/// The place of a bucket: block, then bucket within. Ordered as their keys are.
type Place = (usize, usize);

/// What a change means for the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key that had no entry was created.
    New,
    /// A tombstone became a live key.
    Revived,
    /// A live key became a tombstone.
    Buried,
    /// A tombstone was removed for good.
    Forgotten,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { blocks: vec![Block { buckets: vec![Bucket::default()], live: 0 }] }
    }
}

impl Ranks {
    /// Takes the entries of the store in the order of their keys, when it is opened.
    pub(crate) fn load(&mut self, key: &[u8], live: bool) {
        let block = self.blocks.last_mut().expect("there is always a block");
        let full = block.buckets.last().is_some_and(|bucket| bucket.entries >= BUCKET_ENTRIES_MAX / 2);
        if full && block.buckets.len() >= BLOCK_BUCKETS_MAX / 2 {
            self.blocks.push(Block::default());
        }
        let block = self.blocks.last_mut().expect("there is always a block");
        if full {
            block.buckets.push(Bucket { first: Bytes::copy_from_slice(key), ..Bucket::default() });
        }
        block.live += u64::from(live);
        let bucket = block.buckets.last_mut().expect("no block is without buckets");
        bucket.entries += 1;
        bucket.live += u32::from(live);
    }

    /// Counts one change. Says whether the bucket of the key should be cut.
    #[must_use]
    pub(crate) fn record(&mut self, key: &[u8], step: Step) -> bool {
        let (block, bucket) = self.place(key);
        let block = &mut self.blocks[block];
        let bucket = &mut block.buckets[bucket];
        match step {
            Step::New => {
                bucket.entries += 1;
                bucket.live += 1;
                block.live += 1;
            }
            Step::Revived => {
                bucket.live += 1;
                block.live += 1;
            }
            Step::Buried => {
                bucket.live -= 1;
                block.live -= 1;
            }
            Step::Forgotten => bucket.entries -= 1,
        }
        bucket.entries > BUCKET_ENTRIES_MAX
    }

    /// The keys the bucket of `key` covers: its first, and the first of the next.
    pub(crate) fn bucket_of(&self, key: &[u8]) -> (Bytes, Option<Bytes>) {
        let place = self.place(key);
        (self.bucket(place).first.clone(), self.next(place).map(|next| self.bucket(next).first.clone()))
    }

    /// Cuts the bucket of `key` before `at`, which has `entries` of the bucket's entries below it, `live` of them live.
    pub(crate) fn cut(&mut self, at: &[u8], entries: u32, live: u32) {
        let (block_at, bucket_at) = self.place(at);
        let block = &mut self.blocks[block_at];
        let lower = &mut block.buckets[bucket_at];
        let upper =
            Bucket { first: Bytes::copy_from_slice(at), live: lower.live - live, entries: lower.entries - entries };
        (lower.live, lower.entries) = (live, entries);
        block.buckets.insert(bucket_at + 1, upper);
        if block.buckets.len() > BLOCK_BUCKETS_MAX {
            let buckets = block.buckets.split_off(BLOCK_BUCKETS_MAX / 2);
            let live = buckets.iter().map(|bucket| u64::from(bucket.live)).sum();
            block.live -= live;
            self.blocks.insert(block_at + 1, Block { buckets, live });
        }
    }

    /// Gives up the bucket of `key` if it has no entries left, so that churn does not leave ever more of them.
    pub(crate) fn tidy(&mut self, key: &[u8]) {
        let place = self.place(key);
        if self.bucket(place).entries > 0 || place == (0, 0) {
            return;
        }
        let (block, bucket) = place;
        self.blocks[block].buckets.remove(bucket);
        if self.blocks[block].buckets.is_empty() {
            self.blocks.remove(block);
        }
    }

    /// How many live keys the span holds; `scan` counts those of the parts of buckets at its ends.
    pub(crate) fn count(
        &self,
        span: Span<'_>,
        mut scan: impl FnMut(Span<'_>) -> Result<u64, Fault>,
    ) -> Result<u64, Fault> {
        if span.is_empty() {
            return Ok(0);
        }
        let from = self.place(span.start);
        let to = span.end.map(|end| (end, self.place(end)));
        if to.is_some_and(|(_, to)| to == from) {
            return scan(span);
        }
        let mut count = match to {
            None => self.total(),
            Some((end, to)) => {
                let first = &self.bucket(to).first[..];
                self.before(to) + if first < end { scan(Span { start: first, end: Some(end) })? } else { 0 }
            }
        };
        if self.bucket(from).first < span.start {
            let next = self.next(from);
            let end = next.map(|next| &self.bucket(next).first[..]);
            count += scan(Span { start: span.start, end })?;
            count -= next.map_or_else(|| self.total(), |next| self.before(next));
        } else {
            count -= self.before(from);
        }
        Ok(count)
    }

    /// How many live keys there are.
    pub(crate) fn total(&self) -> u64 {
        self.blocks.iter().map(|block| block.live).sum()
    }

    /// How many live keys are in the buckets before this one.
    fn before(&self, (block, bucket): Place) -> u64 {
        let blocks = self.blocks[..block].iter().map(|block| block.live).sum::<u64>();
        blocks + self.blocks[block].buckets[..bucket].iter().map(|bucket| u64::from(bucket.live)).sum::<u64>()
    }

    fn place(&self, key: &[u8]) -> Place {
        let block = self.blocks.partition_point(|block| block.buckets[0].first <= key) - 1;
        (block, self.blocks[block].buckets.partition_point(|bucket| bucket.first <= key) - 1)
    }

    fn next(&self, (block, bucket): Place) -> Option<Place> {
        if bucket + 1 < self.blocks[block].buckets.len() {
            return Some((block, bucket + 1));
        }
        (block + 1 < self.blocks.len()).then_some((block + 1, 0))
    }

    fn bucket(&self, (block, bucket): Place) -> &Bucket {
        &self.blocks[block].buckets[bucket]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sampler;
    use std::collections::BTreeMap;

    type Entries = BTreeMap<Vec<u8>, bool>;

    fn live(entries: &Entries, span: Span<'_>) -> u64 {
        let within = entries.range(span.start.to_vec()..).filter(|(key, _)| span.end.is_none_or(|end| &key[..] < end));
        within.filter(|(_, live)| **live).count() as u64
    }

    fn cut_if(ranks: &mut Ranks, entries: &Entries, key: &[u8], full: bool) {
        if full {
            let (first, next) = ranks.bucket_of(key);
            let inside: Vec<_> = entries
                .range(first.to_vec()..)
                .take_while(|(key, _)| next.as_ref().is_none_or(|next| key[..] < next[..]))
                .collect();
            let half = inside.len() / 2;
            let live = inside[..half].iter().filter(|(_, live)| **live).count();
            ranks.cut(inside[half].0, half as u32, live as u32);
        }
    }

    #[test]
    fn counts_agree_with_a_plain_map_through_creation_deletion_and_sweeping() {
        let (mut ranks, mut entries, mut sampler) = (Ranks::default(), Entries::new(), Sampler::new(11));
        for step in 0..60_000u64 {
            let key = sampler.below(30_000).to_be_bytes()[5..].to_vec();
            let change = match (entries.get(&key), sampler.below(3)) {
                (None, _) => Step::New,
                (Some(false), 0) => Step::Forgotten,
                (Some(false), _) => Step::Revived,
                (Some(true), 0) => Step::Buried,
                (Some(true), _) => continue,
            };
            match change {
                Step::New | Step::Revived => entries.insert(key.clone(), true),
                Step::Buried => entries.insert(key.clone(), false),
                Step::Forgotten => entries.remove(&key),
            };
            let full = ranks.record(&key, change);
            cut_if(&mut ranks, &entries, &key, full);
            if change == Step::Forgotten {
                ranks.tidy(&key);
            }
            if step % 100 == 0 {
                let (a, b) = (sampler.below(30_000).to_be_bytes(), sampler.below(30_000).to_be_bytes());
                for span in [
                    Span { start: &a[5..], end: Some(&b[5..]) },
                    Span { start: &a[5..], end: None },
                    Span { start: b"", end: Some(&b[5..]) },
                    Span { start: b"", end: None },
                ] {
                    let mut visited = 0;
                    let count = ranks.count(span, |part| {
                        visited += entries
                            .range(part.start.to_vec()..)
                            .take_while(|(key, _)| part.end.is_none_or(|end| &key[..] < end))
                            .count();
                        Ok(live(&entries, part))
                    });
                    let expected = if span.is_empty() { 0 } else { live(&entries, span) };
                    assert_eq!(count.expect("no storage"), expected, "{span:?}");
                    assert!(visited <= 2 * BUCKET_ENTRIES_MAX as usize, "visited {visited}");
                }
            }
        }
        assert!(ranks.blocks.len() > 1, "blocks were cut");
    }

    #[test]
    fn loading_counts_as_recording_does() {
        let mut ranks = Ranks::default();
        for key in 0..50_000u32 {
            ranks.load(&key.to_be_bytes(), key % 3 != 0);
        }
        let (start, end) = (100u32.to_be_bytes(), 49_000u32.to_be_bytes());
        let live = |from: u32, to: u32| u64::from((from..to).filter(|key| key % 3 != 0).count() as u32);
        let number = |key: &[u8]| key.try_into().map_or(0, u32::from_be_bytes);
        let count = ranks.count(Span { start: &start, end: Some(&end) }, |part| {
            Ok(live(number(part.start), part.end.map_or(50_000, number)))
        });
        assert_eq!(count.expect("no storage"), live(100, 49_000));
        assert_eq!(ranks.total(), live(0, 50_000));
    }
}
