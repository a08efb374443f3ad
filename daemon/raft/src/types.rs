//! The kinds of number in this protocol, each with a type of its own, and the short form they print in.
//!
//! A log id prints as `index@term`: `8@3` is the entry at index 8 of term 3.

use std::fmt;
use std::time::Duration;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number! {
    /// A leader's reign. Terms only grow; 0 is before the first election.
    Term, ""
}
number! {
    /// A place in the log. The first entry is at 1; 0 is before it.
    Index, ""
}
number! {
    /// One member of the cluster. 0 names nobody.
    MemberId, "m"
}
number! {
    /// One write handed to the disk. They are issued and completed in order.
    IoId, "io"
}
number! {
    /// One connection to a peer. A new connection has a greater id: what an older one still delivers is stale.
    LinkId, "link"
}
number! {
    /// One replication stream of one leader to one follower, in one connection epoch. Replies that name another are stale.
    StreamId, "s"
}
number! {
    /// One round of heartbeats that confirms leadership for the reads waiting on it.
    ReadRound, "r"
}

impl Term {
    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Index {
    /// The place before the first entry.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place before this one; zero stays zero.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl StreamId {
    /// Names no stream.
    pub const NONE: Self = Self(0);
}

impl MemberId {
    /// Names nobody.
    pub const NONE: Self = Self(0);
}

/// Where an entry stands and whose it is. Ordered by term, then index: the order in which logs are "up to date".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// Its place.
    pub index: Index,
}

impl LogId {
    /// Before the first entry.
    pub const ZERO: Self = Self { term: Term(0), index: Index(0) };

    /// The entry at `index` of `term`.
    #[must_use]
    pub fn new(term: u64, index: u64) -> Self {
        Self { term: Term(term), index: Index(index) }
    }

    /// The one further along. For two entries of one log, where that is the same order as by term.
    pub(crate) fn max_by_index(self, other: Self) -> Self {
        if other.index > self.index { other } else { self }
    }

    /// The one less far along.
    pub(crate) fn min_by_index(self, other: Self) -> Self {
        if other.index < self.index { other } else { self }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// What a member must never forget: the greatest term it has seen and whom it voted for in it.
/// Both reach the disk in one record, before any message that depends on them leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The current term.
    pub term: Term,
    /// The candidate that has this member's vote in `term`.
    pub vote: Option<MemberId>,
}

/// A moment on this member's monotonic clock, in microseconds since an arbitrary start.
/// Moments of two members are never compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The moment `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The moment `wait` earlier; the clock's start if that is later.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
