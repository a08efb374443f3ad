//! What the log tells the state machine to do. A command decodes without copying: keys and values are views of
//! the entry it came in.

use crate::range::RangeRequest;
use crate::staging::Staging;
use crate::types::{Alarm, KeyRange, RequestId, Revision};
use bytes::Bytes;

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whose request it is.
    pub id: RequestId,
    /// What to do.
    pub body: Body,
}

/// What to do. The numbers of the kinds, and which are reserved, stand in the codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing; the applied index advances.
    Noop,
    /// Write one key.
    Put(Put),
    /// Delete keys.
    DeleteRange(DeleteRange),
    /// Compare, then one of two lists of operations.
    Txn(Txn),
    /// Forget history below `revision`.
    Compact {
        /// The oldest revision that stays readable.
        revision: Revision,
    },
    /// Raise or clear an alarm.
    Alarm(AlarmChange),
    /// A member tells its name and client URLs.
    PublishMember(PublishedMember),
    /// Something changed in object storage.
    Staging(Staging),
}

/// Write one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key; never empty.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The lease to hang it on, 0 for none.
    pub lease: i64,
    /// Answer with what the key held before.
    pub prev_kv: bool,
    /// Keep the value it has; refused if it has none.
    pub ignore_value: bool,
    /// Keep the lease it has; refused if the key does not exist.
    pub ignore_lease: bool,
}

/// Delete keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRange {
    /// Which.
    pub range: KeyRange,
    /// Answer with what they held.
    pub prev_kv: bool,
}

/// If all `compares` hold in the state before the transaction then `success`, else `failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold; none is true.
    pub compares: Vec<Compare>,
    /// Then.
    pub success: Vec<Op>,
    /// Else.
    pub failure: Vec<Op>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read; sees what the transaction wrote before it.
    Range(RangeRequest),
    /// Write.
    Put(Put),
    /// Delete.
    DeleteRange(DeleteRange),
    /// Branch again, by the state before the outermost transaction.
    Txn(Txn),
}

/// Holds if every key of `range` is in `relation` to `target`. A single key that does not exist compares as zero,
/// except for its value, where nothing holds; a span without keys likewise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub range: KeyRange,
    /// The key stands left of the relation, the target right.
    pub relation: Relation,
    /// What is compared and with what.
    pub target: Target,
}

/// How a key must stand to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Greater than the target.
    Greater,
    /// Less than the target.
    Less,
    /// Anything but the same.
    NotEqual,
}

/// What of a key is compared, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// How often it was written since its creation.
    Version(i64),
    /// When it was created.
    Create(Revision),
    /// When it was last written.
    Mod(Revision),
    /// What it holds.
    Value(Bytes),
    /// What it hangs on.
    Lease(i64),
}

/// Raise or clear one alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmChange {
    /// Which way.
    pub action: AlarmAction,
    /// Which one.
    pub alarm: Alarm,
}

/// Which way an alarm changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmAction {
    /// Raise it.
    Activate,
    /// Clear it.
    Deactivate,
}

/// What clients may know of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedMember {
    /// Which.
    pub id: u64,
    /// Its human name.
    pub name: String,
    /// Where it serves clients.
    pub client_urls: Vec<String>,
}

impl Txn {
    /// Whether it cannot write: every operation of both branches is a range. A nested transaction counts as a
    /// write, as in etcd, and goes through the log.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| matches!(op, Op::Range(_)))
    }

    /// Whether any branch, nested ones included, contains a put.
    #[must_use]
    pub fn contains_put(&self) -> bool {
        self.success.iter().chain(&self.failure).any(|op| match op {
            Op::Put(_) => true,
            Op::Txn(nested) => nested.contains_put(),
            Op::Range(_) | Op::DeleteRange(_) => false,
        })
    }
}
