//! What can be chosen about a log, and what a log gives back when it is opened.

use super::error::Problem;
use bytes::Bytes;
use raft::{Boot, Entry, HardState, Index, LogId, Membership, MembershipDecodeError, Term};

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// A new segment is begun at this size. Smaller ones free disk sooner after compaction, larger ones save syncs.
    pub segment_bytes: u64,
    /// Segments kept written and ready: the one that is needed next, and one for a burst or a disk that fills up.
    pub spare_segments: usize,
    /// A file that is given up when the disk is full, so that term, vote and marks can still be written.
    pub ballast_bytes: u64,
    /// How much of the end of the log is handed over at the start, to warm the cache.
    pub recent_bytes: u64,
    /// A random number, another one at each start: see the salt in the segment header.
    pub salt_seed: u64,
    /// What to do when there is no log: begin one (a member that is being formatted), or refuse (any other).
    pub create_if_missing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            spare_segments: 2,
            ballast_bytes: 16 << 20,
            recent_bytes: 8 << 20,
            salt_seed: 0,
            create_if_missing: false,
        }
    }
}

/// What the log remembers: everything `raft::Boot` needs of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Term and vote.
    pub hard_state: HardState,
    /// The last entry that is gone from the log; [`LogId::ZERO`] while it is whole.
    pub start: LogId,
    /// The first index of each run of entries of one term, ascending, after `start`.
    pub terms: Vec<(Index, Term)>,
    /// The last entry; `start` when there is none.
    pub last: LogId,
    /// The newest entries, consecutive and ending at `last`.
    pub recent: Vec<Entry>,
    /// The membership at `start`, if one was given or seen, then every later one in the log; encoded.
    pub memberships: Vec<(Index, Bytes)>,
    /// An index known to be committed; zero when none was kept.
    pub commit: Index,
}

impl Remembered {
    /// What the engine starts from, over a state machine that has applied everything up to `applied`.
    ///
    /// # Errors
    /// When a membership cannot be read.
    pub fn into_boot(self, applied: Index) -> Result<Boot, MembershipDecodeError> {
        let memberships = self.memberships.into_iter().map(|(at, bytes)| Ok((at, Membership::decode(bytes)?)));
        Ok(Boot {
            hard_state: self.hard_state,
            start: self.start,
            terms: self.terms,
            last: self.last,
            recent: self.recent,
            memberships: memberships.collect::<Result<_, _>>()?,
            applied,
            commit: self.commit,
        })
    }
}

/// What opening a log found, for the log file and the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The log was begun just now.
    pub created: bool,
    /// Segments read.
    pub segments: u64,
    /// Sound batches in them.
    pub batches: u64,
    /// Entries in those, overwritten ones too.
    pub entries: u64,
    /// Bytes of the batches.
    pub bytes: u64,
    /// The last stop was orderly.
    pub closed: bool,
    /// A write that never finished stood at the end and was cut off. Nobody had been told it was durable.
    pub cut: Option<TornTail>,
}

/// The rest of a write that never finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: u64,
    /// Where it began.
    pub offset: u64,
    /// What was wrong with it.
    pub problem: Problem,
}
