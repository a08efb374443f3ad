//! What a member remembers when it starts: the recovered log, without its entries.

use crate::entry::Entry;
use crate::membership::Membership;
use crate::types::{HardState, Index, LogId, Term, Time};

/// The present moment, twice: what decisions are made by and what entries are stamped with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// On the monotonic clock. It never goes back.
    pub mono: Time,
    /// On the wall clock, in microseconds since 1970. Nothing is decided by it.
    pub wall_us: u64,
}

/// What the disk gave back.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// Term and vote.
    pub hard_state: HardState,
    /// The last entry that is gone from the log: everything up to it is covered by the state machine.
    /// [`LogId::ZERO`] while the log is whole.
    pub start: LogId,
    /// The terms of the entries after `start`, as runs: the first index of each term, ascending.
    pub terms: Vec<(Index, Term)>,
    /// The last entry; `start` when there is none.
    pub last: LogId,
    /// The newest entries, consecutive and ending at `last`, to warm the cache. May be empty.
    pub recent: Vec<Entry>,
    /// The configuration at `start` (or the first one of a new cluster, at [`Index::ZERO`]), then the one of every
    /// membership entry in the log, each with its index, ascending. Empty for a member that waits to be added.
    pub memberships: Vec<(Index, Membership)>,
    /// What the state machine has applied, not below `start`.
    pub applied: Index,
    /// An index known to be committed, if one was kept; raised to `applied` when it is lower.
    pub commit: Index,
}
