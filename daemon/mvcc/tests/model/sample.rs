//! Random commands for tests: one seed, one sequence. Keys are few and short, so that they meet each other.

use bytes::Bytes;
use mvcc::{
    Alarm, AlarmAction, AlarmChange, AlarmKind, Body, Command, Compare, DeleteRange, KeyRange, Op, PublishedMember,
    Put, RangeRequest, Relation, RequestId, Revision, Sort, SortOrder, SortTarget, StagedSnapshot, Staging, Target,
    Txn,
};

/// A stream of numbers from a seed (splitmix64).
pub(crate) struct Sampler {
    state: u64,
    /// The newest revision the caller knows of: requests ask around it.
    pub(crate) revision: i64,
    /// How many keys there are besides the dozen special ones.
    pub(crate) keys: u64,
}

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, revision: 1, keys: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).expect("small")].clone()
    }

    pub(crate) fn command(&mut self, sequence: u64) -> Command {
        let id = RequestId { origin: self.below(3) + 1, sequence };
        Command { id, body: self.body() }
    }

    fn body(&mut self) -> Body {
        match self.below(100) {
            0..45 => Body::Put(self.put()),
            45..60 => Body::DeleteRange(self.delete_range()),
            60..90 => Body::Txn(self.txn(3)),
            90..95 => Body::Compact { revision: self.old_revision() },
            95..97 => Body::Alarm(self.alarm()),
            97..98 => Body::PublishMember(self.published()),
            98..99 => Body::Staging(self.staging()),
            _ => Body::Noop,
        }
    }

    pub(crate) fn put(&mut self) -> Put {
        Put {
            key: self.key(),
            value: self.value(),
            lease: if self.chance(3) { 7 } else { 0 },
            prev_kv: self.chance(30),
            ignore_value: self.chance(5),
            ignore_lease: self.chance(5),
        }
    }

    fn delete_range(&mut self) -> DeleteRange {
        DeleteRange { range: self.key_range(), prev_kv: self.chance(50) }
    }

    pub(crate) fn txn(&mut self, depth: u64) -> Txn {
        let compares = (0..self.below(3)).map(|_| self.compare()).collect();
        let ops = |sampler: &mut Self| (0..sampler.below(4)).map(|_| sampler.op(depth)).collect();
        Txn { compares, success: ops(self), failure: ops(self) }
    }

    fn op(&mut self, depth: u64) -> Op {
        match self.below(10) {
            0..3 => Op::Range(self.range()),
            3..6 => Op::Put(self.put()),
            6..8 => Op::DeleteRange(self.delete_range()),
            _ if depth > 0 => Op::Txn(self.txn(depth - 1)),
            _ => Op::Put(self.put()),
        }
    }

    fn compare(&mut self) -> Compare {
        let target = match self.below(5) {
            0 => Target::Version(self.below(3).cast_signed()),
            1 => Target::Create(self.old_revision()),
            2 => Target::Mod(self.old_revision()),
            3 => Target::Value(self.value()),
            _ => Target::Lease(self.below(2).cast_signed()),
        };
        let relation = self.pick(&[Relation::Equal, Relation::Greater, Relation::Less, Relation::NotEqual]);
        Compare { range: self.key_range(), relation, target }
    }

    pub(crate) fn range(&mut self) -> RangeRequest {
        let filter = |sampler: &mut Self| if sampler.chance(10) { sampler.old_revision() } else { Revision::ZERO };
        RangeRequest {
            range: self.key_range(),
            revision: if self.chance(40) { self.old_revision() } else { Revision::ZERO },
            limit: if self.chance(50) { self.below(6).cast_signed() } else { 0 },
            sort: self.sort(),
            keys_only: self.chance(20),
            count_only: self.chance(15),
            min_mod_revision: filter(self),
            max_mod_revision: filter(self),
            min_create_revision: filter(self),
            max_create_revision: filter(self),
        }
    }

    fn sort(&mut self) -> Sort {
        use SortTarget as By;
        if self.chance(60) {
            return Sort::default();
        }
        let order = self.pick(&[SortOrder::None, SortOrder::Ascend, SortOrder::Descend]);
        Sort { order, target: self.pick(&[By::Key, By::Version, By::Create, By::Mod, By::Value]) }
    }

    fn alarm(&mut self) -> AlarmChange {
        let kind = if self.chance(80) { AlarmKind::NoSpace } else { AlarmKind::Corrupt };
        let action = if self.chance(30) { AlarmAction::Activate } else { AlarmAction::Deactivate };
        AlarmChange { action, alarm: Alarm { kind, member: self.below(2) + 1 } }
    }

    fn staging(&mut self) -> Staging {
        let id = [u8::try_from(self.below(4)).expect("small"); 32];
        match self.below(5) {
            3 => Staging::Delegated { member: self.below(3) },
            4 => Staging::Wanted,
            0 => Staging::Staged(StagedSnapshot {
                id,
                index: id[0].into(),
                revision: Revision(i64::try_from(self.below(1 << 20)).expect("small")),
                bytes: self.below(1 << 40),
                staged_ms: self.below(1 << 40),
                retired_ms: None,
            }),
            1 => Staging::Retired { id, at_ms: self.below(1 << 40) },
            _ => Staging::Forgotten { id },
        }
    }

    fn published(&mut self) -> PublishedMember {
        let client_urls = (0..self.below(3)).map(|port| format!("http://127.0.0.1:{port}")).collect();
        PublishedMember { id: self.below(3) + 1, name: format!("m{}", self.below(9)), client_urls }
    }

    /// Around the newest revision, mostly before it, sometimes nonsense.
    fn old_revision(&mut self) -> Revision {
        let back = self.below(12).cast_signed();
        Revision(if self.chance(3) { self.revision + back } else { self.revision - back })
    }

    pub(crate) fn key(&mut self) -> Bytes {
        if self.keys > 0 && self.chance(95) {
            return Bytes::from(format!("key/{:06}", self.below(self.keys)));
        }
        let keys: [&[u8]; 12] =
            [b"a", b"a\0", b"a\0b", b"ab", b"b", b"ba", b"c", b"\0", b"\xff", b"\xff\xff", b"d/1", b"d/2"];
        Bytes::from_static(self.pick(&keys))
    }

    fn value(&mut self) -> Bytes {
        let values: [&[u8]; 4] = [b"", b"x", b"y", b"a longer value"];
        Bytes::from_static(self.pick(&values))
    }

    pub(crate) fn key_range(&mut self) -> KeyRange {
        match self.below(10) {
            0..4 => KeyRange::one(self.key()),
            4..7 => KeyRange::span(self.key(), self.key()),
            7..9 => KeyRange::span(self.key(), Bytes::from_static(b"\0")),
            _ => KeyRange::all(),
        }
    }
}
