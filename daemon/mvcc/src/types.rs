//! The words of the model: revisions, keys with their metadata, ranges of keys, events, alarms.

use bytes::Bytes;
use std::cmp::Ordering;
use std::fmt;

/// One state of the whole store. An empty store is at 1; every command that changes a key adds one.
/// Signed, as on the wire: zero and below ask for the latest in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// "The latest" in a request, "none" in a filter.
    pub const ZERO: Self = Self(0);
    /// The store before its first write.
    pub const EMPTY: Self = Self(1);
    /// What a store that was never compacted has been compacted at.
    pub const NEVER: Self = Self(-1);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Names one proposed command, so that the member whose client waits finds the waiter when it applies the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The member that proposed it.
    pub origin: u64,
    /// Counts the proposals of one run of that member.
    pub sequence: u64,
}

/// A key at one revision, as etcd shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; never empty.
    pub key: Bytes,
    /// The value; empty in a keys-only range and in a delete event.
    pub value: Bytes,
    /// When the key was last created.
    pub create_revision: Revision,
    /// When this value was written.
    pub mod_revision: Revision,
    /// Counts the writes since the creation; 1 is the creation.
    pub version: i64,
    /// The lease it hangs on, or 0.
    pub lease: i64,
}

/// Which keys a request speaks of, in etcd's convention.
///
/// An empty `end` names the one key; `end` = `"\0"` every key from `key` on; otherwise the keys in `[key, end)`,
/// none of them if `end <= key`. `"\0"` to `"\0"` is everything, as no key is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub key: Bytes,
    /// The key after the last, or one of the two special forms.
    pub end: Bytes,
}

impl KeyRange {
    /// The one key.
    #[must_use]
    pub fn one(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), end: Bytes::new() }
    }

    /// From `key` up to and without `end`.
    #[must_use]
    pub fn span(key: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { key: key.into(), end: end.into() }
    }

    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self { key: Bytes::from_static(b"\0"), end: Bytes::from_static(b"\0") }
    }

    /// Whether it names one key rather than a span.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether it has no upper bound.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end.as_ref() == b"\0"
    }

    /// Whether `key` is one of them.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match key.cmp(&self.key) {
            Ordering::Less => false,
            Ordering::Equal => self.is_one() || self.is_open() || self.end > self.key,
            Ordering::Greater => self.is_open() || (!self.is_one() && key < &self.end[..]),
        }
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// One change, in the order of revisions and, within one, in the order of execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after it. A delete has only the key and its revision.
    pub kv: KeyValue,
    /// The key before it, if it was asked for, existed, and is not compacted.
    pub prev: Option<KeyValue>,
}

/// What is wrong with a member, known to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// Its quota is exhausted: no member accepts puts until it is disarmed.
    NoSpace,
    /// Its data differs from its peers': no member accepts writes until it is disarmed.
    Corrupt,
}

/// One alarm of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// With which member.
    pub member: u64,
}

/// How much disk the store takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What its files occupy.
    pub allocated: u64,
    /// What of it holds rows that can still be read, with what is buffered for the next flush.
    pub in_use: u64,
}
