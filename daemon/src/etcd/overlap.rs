//! No key is written twice by one transaction: neither put twice nor put and deleted.
//!
//! The branches of one nested transaction exclude each other, so a key may be put in both. The costs are bounded by
//! `n log n` in the operations, as a hostile transaction has as many as fit into a request.

use super::status::Refusal;
use bytes::Bytes;
use mvcc::{KeyRange, Op};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

/// What a list of operations writes.
#[derive(Debug, Default)]
pub(super) struct Writes {
    puts: HashSet<Bytes>,
    deletes: Spans,
}

/// Adds what `ops` write to `writes`, which holds nothing or what operations beside them write.
///
/// # Errors
/// [`Refusal::DuplicateKey`].
pub(super) fn check_writes(ops: &[Op], writes: &mut Writes) -> Result<(), Refusal> {
    for op in ops {
        if let Op::DeleteRange(delete) = op {
            writes.deletes.insert(&delete.range);
        }
    }
    for op in ops {
        if let Op::Txn(txn) = op {
            writes.add_branches(txn)?;
        }
    }
    for op in ops {
        if let Op::Put(put) = op {
            writes.put(&put.key)?;
        }
    }
    Ok(())
}

impl Writes {
    fn put(&mut self, key: &Bytes) -> Result<(), Refusal> {
        if self.deletes.contain(key) || !self.puts.insert(key.clone()) {
            return Err(Refusal::DuplicateKey);
        }
        Ok(())
    }

    fn add_branches(&mut self, txn: &mvcc::Txn) -> Result<(), Refusal> {
        let (mut success, mut failure) = (Self::default(), Self::default());
        check_writes(&txn.success, &mut success)?;
        check_writes(&txn.failure, &mut failure)?;
        success.puts.extend(failure.puts);
        for key in &success.puts {
            self.put(key)?;
        }
        self.deletes.extend(success.deletes);
        self.deletes.extend(failure.deletes);
        Ok(())
    }
}

/// Spans of keys, merged so that no two touch: first key to the end, which is none without an upper bound.
#[derive(Debug, Default)]
struct Spans(BTreeMap<Bytes, Option<Bytes>>);

impl Spans {
    fn insert(&mut self, range: &KeyRange) {
        let end = match (range.is_one(), range.is_open()) {
            (true, _) => Some(just_after(&range.key)),
            (_, true) => None,
            _ => Some(range.end.clone()),
        };
        if end.as_ref().is_none_or(|end| *end > range.key) {
            self.merge(range.key.clone(), end);
        }
    }

    fn extend(&mut self, other: Self) {
        for (start, end) in other.0 {
            self.merge(start, end);
        }
    }

    fn merge(&mut self, mut start: Bytes, mut end: Option<Bytes>) {
        if let Some((before, reach)) = self.0.range::<Bytes, _>(..=&start).next_back()
            && reach.as_ref().is_none_or(|reach| *reach >= start)
        {
            start = before.clone();
        }
        // Everything that begins within is swallowed; the furthest end wins.
        while let Some((inside, reach)) = self.0.range::<Bytes, _>((Bound::Included(&start), Bound::Unbounded)).next()
            && end.as_ref().is_none_or(|end| inside <= end)
        {
            let (inside, reach) = (inside.clone(), reach.clone());
            self.0.remove(&inside);
            end = end.zip(reach).map(|(end, reach)| end.max(reach));
        }
        self.0.insert(start, end);
    }

    fn contain(&self, key: &Bytes) -> bool {
        let span = self.0.range::<Bytes, _>(..=key).next_back();
        span.is_some_and(|(_, end)| end.as_ref().is_none_or(|end| key < end))
    }
}

/// The least key greater than `key`.
fn just_after(key: &[u8]) -> Bytes {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_range() -> impl Strategy<Value = KeyRange> {
        let key = proptest::collection::vec(0u8..3, 1..3);
        let end = proptest::collection::vec(0u8..3, 0..3);
        (key, end).prop_map(|(key, end)| KeyRange::span(key, end))
    }

    proptest! {
        #[test]
        fn merged_spans_contain_what_their_ranges_contain(
            ranges in proptest::collection::vec(key_range(), 0..8),
            key in proptest::collection::vec(0u8..4, 1..4),
        ) {
            let mut spans = Spans::default();
            ranges.iter().for_each(|range| spans.insert(range));
            prop_assert_eq!(spans.contain(&key.clone().into()), ranges.iter().any(|range| range.contains(&key)));
        }
    }
}
