//! What may happen to a member.

use crate::entry::{Entry, EntryKind};
use crate::membership::Membership;
use crate::message::Envelope;
use crate::types::{Index, IoId, LinkId, LogId, MemberId, StreamId};
use bytes::Bytes;

/// The caller's number for a request; the [`crate::Answer`] repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Everything that can reach a member, one at a time.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed: the moment named by [`crate::Raft::next_deadline`] has come.
    Tick,
    /// A peer said something.
    Received(Envelope),
    /// Every write up to and including this one is durable.
    Persisted(IoId),
    /// The state machine has applied everything up to here.
    Applied(Index),
    /// Append these, all of them or none. Answered by [`crate::Answer::Proposed`].
    Propose(Vec<Proposal>),
    /// From which index on is a read linearizable? Answered by [`crate::Answer::Read`].
    Read(Token),
    /// Change who is a member. Answered by [`crate::Answer::Membership`] once the change is committed.
    ChangeMembership {
        /// Repeated in the answer.
        token: Token,
        /// The index of the configuration the caller has seen; any other in force refuses the call.
        expected: Option<Index>,
        /// What to change, all in one step.
        changes: Vec<Change>,
    },
    /// Hand leadership to this voter, or to the one that is furthest ahead. Answered by [`crate::Answer::Transfer`].
    TransferLeader {
        /// Repeated in the answer.
        token: Token,
        /// To whom.
        to: Option<MemberId>,
    },
    /// A connection to the peer stands.
    LinkUp {
        /// The peer.
        peer: MemberId,
        /// The connection; greater than any before.
        link: LinkId,
    },
    /// The connection to the peer is gone, with everything in flight on it.
    LinkDown {
        /// The peer.
        peer: MemberId,
        /// The connection.
        link: LinkId,
    },
    /// The answer to a [`crate::LogRead`].
    LogRead {
        /// The follower it was for, or this member itself.
        peer: MemberId,
        /// The stream that asked.
        stream: StreamId,
        /// Consecutive entries, the first at the index asked for, or why there are none.
        result: Result<Vec<Entry>, LogReadFailure>,
    },
    /// The log has been cut: its first entry now follows this one.
    Compacted {
        /// The last entry that is gone.
        through: LogId,
    },
    /// A snapshot has been installed: the state machine covers everything up to `last`, and the log on disk holds
    /// nothing up to there, or nothing at all if it did not contain `last`. It takes its place among the writes: those
    /// issued before it are done or dropped, those issued after it follow it.
    Installed {
        /// The last entry it covers.
        last: LogId,
        /// Where its configuration stands.
        membership_at: Index,
        /// The configuration in force at `last`.
        membership: Membership,
    },
    /// The disk has no room (true) or has room again (false): a leader without room takes no proposals and hands over.
    DiskFull(bool),
}

/// Something to append.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Repeated in the answer.
    pub token: Token,
    /// [`EntryKind::Command`], always: the other kinds are the engine's own.
    pub kind: EntryKind,
    /// The command.
    pub payload: Bytes,
}

/// One change to the membership. Several in one call take effect together, through joint consensus where the
/// quorums would otherwise not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make it a learner; a voter becomes one (demotion), an unknown one is added.
    AddLearner(MemberId, Bytes),
    /// Make it a voter; a learner is promoted. The bytes are its address, for a member not known yet.
    AddVoter(MemberId, Bytes),
    /// Promote a learner, if its log is near the leader's.
    Promote(MemberId),
    /// Take it out for good: its id is never accepted again.
    Remove(MemberId),
    /// Record a new address for a member.
    Update(MemberId, Bytes),
}

/// Why entries could not be read back from the log on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogReadFailure {
    /// They are below the start of the log.
    Compacted,
    /// The disk failed to give them back; the stream waits and asks again.
    Unreadable,
}
