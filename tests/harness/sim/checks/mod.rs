//! What must hold, checked while it happens. The checks see everything at once, every disk and every message, and
//! believe nothing a member says of itself.
//!
//! | Check | Rule |
//! |---|---|
//! | S1 | one leader in a term, elected by a quorum whose votes are durable |
//! | S2 | a leader only appends to its log, entries of its own term |
//! | S3 | logs that agree on an entry agree on everything before it |
//! | S4 | a new leader has every committed entry |
//! | S5 | every member applies the same entries, each once, in order |
//! | S6 | an entry said to be committed is on a quorum of disks, and is never taken back |
//! | S7 | terms and votes never go back; grants and acknowledgements leave once they are durable |
//! | S8 | adjacent configurations share a member of every two quorums; one change at a time |
//! | S9 | reads and writes happen in an order that agrees with real time |
//! | S13 | what is on its way to a follower has a bound |
//! | S15 | lag is what the disks say |
//! | S16 | a log is cut behind what the store has made durable, and not in front of followers it is kept for |
//! | S17 | one disk at most is told that it is a member, and when that is committed |
//! | L1, L2 | a healed majority commits, converges and stays with its leader |

pub mod bounds;
pub mod configs;
pub mod elections;
pub mod history;
pub mod lag;
pub mod ledger;
pub mod retention;

use std::fmt;

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub check: &'static str,
    /// What happened.
    pub what: String,
}

/// What a check says.
pub type Verdict = Result<(), Violation>;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// The rule held, or it did not and this is what happened.
pub(crate) fn ensure(check: &'static str, held: bool, what: impl FnOnce() -> String) -> Verdict {
    if held { Ok(()) } else { Err(Violation { check, what: what() }) }
}

/// Asserts in a test that a check refuses a history.
#[cfg(test)]
pub(crate) fn assert_refused(verdict: Verdict, check: &str) {
    assert_eq!(verdict.expect_err("a bad history must be refused").check, check);
}

/// A follower in Replicate that has so many entries, is said to lag by these, and was just heard.
#[cfg(test)]
pub(crate) fn follower(matched: u64, lag: raft::Lag) -> raft::FollowerStatus {
    raft::FollowerStatus {
        member: raft::MemberId(2),
        learner: false,
        state: raft::StreamState::Replicate,
        paused: raft::PausedReason::None,
        matched: raft::LogId::new(1, matched),
        next: raft::Index(matched + 1),
        lag,
        applied: raft::Index(0),
        in_flight_messages: 0,
        in_flight_bytes: 0,
        window_bytes: 0,
        credit_bytes: 0,
        round_trip: None,
        ack_bytes_per_second: 0,
        silent_for: Some(std::time::Duration::ZERO),
        rejections: 0,
        resets: raft::Resets::new(),
    }
}
