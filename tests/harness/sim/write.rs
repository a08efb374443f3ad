//! What clients write: the commands of the daemon, on a handful of registers.

use bytes::{BufMut, Bytes, BytesMut};
use mvcc::{
    Body, Command, Compare, DeleteRange, KeyRange, Op, Put, RangeRequest, Relation, RequestId, Revision, Target, Txn,
};
use raft::{Entry, EntryKind, MemberId};

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A put.
    Put,
    /// A transaction that puts the same whether or not the register holds something.
    Replace,
    /// A deletion.
    Delete,
    /// No register is written: older revisions go.
    Compact,
    /// No register is written: a transaction puts another key, if one register can still be read as it was.
    LookBack,
}

impl Deed {
    /// Whether it writes its register.
    #[must_use]
    pub fn writes(self) -> bool {
        match self {
            Self::Put | Self::Replace | Self::Delete => true,
            Self::Compact | Self::LookBack => false,
        }
    }
}

/// A write, as a log entry carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its number, never used twice.
    pub id: u64,
    /// The register.
    pub key: u8,
    /// How.
    pub deed: Deed,
}

/// What is written when no register is.
const ELSEWHERE: &[u8] = b"elsewhere";

/// The key of a register.
#[must_use]
pub fn register(key: u8) -> KeyRange {
    KeyRange::one(name(key))
}

fn name(key: u8) -> Bytes {
    Bytes::from(vec![b'r', key])
}

impl Write {
    /// A put.
    #[must_use]
    pub fn put(id: u64, key: u8) -> Self {
        Self { id, key, deed: Deed::Put }
    }

    /// What is asked of the store; a value is followed by `padding` more bytes, and `oldest` is the revision a compaction
    /// keeps.
    #[must_use]
    pub fn body(self, padding: usize, oldest: Revision) -> Body {
        let mut value = BytesMut::with_capacity(8 + padding);
        value.put_u64_le(self.id);
        value.put_bytes(0x5a, padding);
        let put =
            Put { key: name(self.key), value: value.freeze(), prev_kv: self.id.is_multiple_of(3), ..Put::default() };
        match self.deed {
            Deed::Put => Body::Put(put),
            Deed::Delete => Body::DeleteRange(DeleteRange { range: register(self.key), prev_kv: true }),
            Deed::Compact => Body::Compact { revision: oldest },
            Deed::LookBack => {
                let range = RangeRequest { range: register(self.key), revision: oldest, ..RangeRequest::default() };
                let ops = [Op::Range(range), Op::Put(Put { key: Bytes::from_static(ELSEWHERE), ..put })];
                self.whatever(ops.to_vec())
            }
            Deed::Replace => self.whatever(vec![Op::Put(put)]),
        }
    }

    /// A transaction that does the same whether or not the register holds something.
    fn whatever(self, ops: Vec<Op>) -> Body {
        let range = register(self.key);
        let compares = vec![Compare { range, relation: Relation::Greater, target: Target::Version(0) }];
        Body::Txn(Txn { compares, success: ops.clone(), failure: ops })
    }

    /// The command, as the member `home` proposes it.
    #[must_use]
    pub fn encode(self, home: MemberId, padding: usize) -> Bytes {
        let body = self.body(padding, Revision(i64::try_from(self.id / 2).unwrap_or(i64::MAX)));
        Command { id: RequestId { origin: home.0, sequence: self.id }, body }.encode()
    }

    /// The write an entry carries, if it carries one.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        if entry.kind() != EntryKind::Command {
            return None;
        }
        let Command { id, body } = Command::decode(&entry.payload()).ok()?;
        let register = |key: &Bytes| key.get(1).copied();
        let (key, deed) = match &body {
            Body::Put(put) => (register(&put.key)?, Deed::Put),
            Body::DeleteRange(delete) => (register(&delete.range.key)?, Deed::Delete),
            Body::Compact { .. } => (0, Deed::Compact),
            Body::Txn(txn) => {
                let deed = if txn.success.len() == 1 { Deed::Replace } else { Deed::LookBack };
                (register(&txn.compares.first()?.range.key)?, deed)
            }
            Body::Noop | Body::Alarm(_) | Body::PublishMember(_) | Body::Staging(_) => return None,
        };
        Some(Self { id: id.sequence, key, deed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::LogId;

    #[test]
    fn a_write_comes_back_from_its_entry() {
        for deed in [Deed::Put, Deed::Replace, Deed::Delete, Deed::Compact, Deed::LookBack] {
            let write = Write { id: 77, key: if deed == Deed::Compact { 0 } else { 5 }, deed };
            let entry = Entry::new(LogId::new(1, 1), EntryKind::Command, 0, &write.encode(MemberId(3), 10));
            assert_eq!(Write::of(&entry), Some(write));
        }
    }
}
