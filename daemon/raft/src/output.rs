//! What a member wants done. Nothing here waits for anything else here, except what [`Persist`] says:
//! messages that promise durability are withheld by the core until the write they stand on is reported durable.

use crate::entry::Entry;
use crate::input::Token;
use crate::message::{Envelope, SnapshotOffer};
use crate::status::StreamState;
use crate::types::{HardState, Index, IoId, LogId, MemberId, StreamId, Term};

/// What one step wants done.
#[derive(Debug, Default)]
pub struct Output {
    /// Messages that may leave now.
    pub send: Vec<Envelope>,
    /// One write, whole or not at all, to be reported by [`crate::Input::Persisted`].
    pub persist: Option<Persist>,
    /// Committed entries that are durable here, in order, each exactly once.
    pub apply: Vec<Entry>,
    /// A snapshot to fetch and install, because the leader's log does not reach back to this member's. Said again
    /// with every offer; fetching one that is under way already is the caller's to avoid.
    pub install: Option<Install>,
    /// Replies to requests.
    pub answers: Vec<Answer>,
    /// Entries a stream needs that are no longer in memory.
    pub log_reads: Vec<LogRead>,
    /// What happened, for logs, traces and counters.
    pub events: Vec<Event>,
}

/// One write to the log. Its parts take effect in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persist {
    /// Names the write; they are issued in order, without gaps.
    pub io: IoId,
    /// The new hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Remove every entry from this index on, before appending.
    pub truncate_from: Option<Index>,
    /// Consecutive entries to append.
    pub append: Vec<Entry>,
    /// What is known to be committed of the log as it is after this write. Nothing is written for its sake: it spares
    /// the next start the wait for a leader (hashicorp/raft #613), and may be lost.
    pub commit: Index,
}

/// A snapshot to fetch. Its completion is reported by [`crate::Input::Installed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Install {
    /// Who has it.
    pub from: MemberId,
    /// What it covers at least; any later one serves as well.
    pub offer: SnapshotOffer,
}

/// Entries to be read back from disk, for a stream or, when `peer` is this member itself, to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// For this follower, or for this member's own state machine.
    pub peer: MemberId,
    /// Repeated in the answer.
    pub stream: StreamId,
    /// The first entry.
    pub from: Index,
    /// No further than this entry.
    pub through: Index,
    /// Stop before passing this many bytes, but give one entry at least.
    pub bytes_max: u64,
}

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Where the proposal stands in the log (it is not committed yet), or why it is not there.
    Proposed(Token, Result<LogId, ProposeError>),
    /// A read is linearizable once this index is applied.
    Read(Token, Result<Index, ReadError>),
    /// The index of the committed configuration.
    Membership(Token, Result<Index, MembershipError>),
    /// The member that leads now.
    Transfer(Token, Result<MemberId, TransferError>),
}

/// Why a proposal is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Send it to the leader, if one is known.
    #[error("not the leader")]
    NotLeader {
        /// The leader.
        leader: Option<MemberId>,
    },
    /// Too many bytes are waiting to be committed: try again after a pause.
    #[error("too many uncommitted bytes")]
    Busy,
    /// Leadership is being handed over: try again after a pause.
    #[error("leadership is being transferred")]
    Transferring,
    /// A quorum has not been heard for an election timeout: try again after a pause.
    #[error("no quorum has been heard from lately")]
    NoQuorum,
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
}

/// Why a read has no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known.
    #[error("no leader")]
    NoLeader,
    /// The leader changed or did not answer in time: ask again.
    #[error("leadership changed or could not be confirmed")]
    Unconfirmed,
}

/// Why the membership did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Ask the leader.
    #[error("not the leader")]
    NotLeader {
        /// The leader, if known.
        leader: Option<MemberId>,
    },
    /// Another change is under way.
    #[error("a membership change is in progress at index {at}")]
    InProgress {
        /// The configuration that is not committed yet.
        at: Index,
    },
    /// The caller has not seen the configuration in force.
    #[error("expected the configuration at index {expected}, the one at {actual} is in force")]
    Outdated {
        /// What the caller named.
        expected: Index,
        /// What is in force.
        actual: Index,
    },
    /// Leadership is being handed over: try again after a pause.
    #[error("leadership is being transferred")]
    Transferring,
    /// The leader has not committed an entry of its own term yet: try again after a pause.
    #[error("the leader has not committed an entry of its term yet")]
    TooEarly,
    /// No such member.
    #[error("{0} is not a member")]
    Unknown(MemberId),
    /// It is a member already.
    #[error("{0} is a member already")]
    Exists(MemberId),
    /// It has been removed; a removed id never returns.
    #[error("{0} has been removed and cannot return")]
    Tombstoned(MemberId),
    /// Only a learner can be promoted.
    #[error("{0} is not a learner")]
    NotLearner(MemberId),
    /// The learner's log is too far behind.
    #[error("{member} is {lag_entries} entries behind")]
    Lagging {
        /// The learner.
        member: MemberId,
        /// How far behind.
        lag_entries: u64,
    },
    /// No voter would be left.
    #[error("the last voter cannot be removed")]
    NoVoters,
    /// Leadership was lost before the change was committed: its outcome is not known.
    #[error("leadership was lost before the change was committed")]
    Lost,
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Ask the leader.
    #[error("not the leader")]
    NotLeader {
        /// The leader, if known.
        leader: Option<MemberId>,
    },
    /// Not a voter.
    #[error("{0} is not a voter")]
    NotVoter(MemberId),
    /// No other voter is there.
    #[error("there is no other voter")]
    NoTarget,
    /// Another transfer is under way.
    #[error("a transfer is in progress")]
    InProgress,
    /// The target did not take over within an election timeout.
    #[error("the transfer timed out")]
    TimedOut,
}

/// What happened: one line of the log, one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The member follows a leader, or nobody yet.
    Following {
        /// In this term.
        term: Term,
        /// The leader.
        leader: Option<MemberId>,
    },
    /// The member asks whether it would be elected.
    PreCandidate {
        /// For this term.
        term: Term,
    },
    /// The member stands for election.
    Candidate {
        /// In this term.
        term: Term,
    },
    /// The member leads.
    Leading {
        /// In this term.
        term: Term,
    },
    /// A configuration took effect; it may still be rolled back until it is committed.
    MembershipEffective {
        /// Where it stands.
        at: Index,
    },
    /// A configuration is committed.
    MembershipCommitted {
        /// Where it stands.
        at: Index,
    },
    /// This member is not in the committed configuration any more.
    Removed {
        /// Where the log says so.
        at: Index,
    },
    /// A stream changed state.
    Stream {
        /// To this follower.
        peer: MemberId,
        /// Before.
        from: StreamState,
        /// After.
        to: StreamState,
        /// Why.
        reason: StateReason,
    },
    /// A stream ended.
    StreamClosed {
        /// To this follower.
        peer: MemberId,
        /// Why.
        reason: CloseReason,
    },
    /// A peer's log lacks entries it acknowledged: its disk was replaced or lies. It counts for nothing until it
    /// has caught up again.
    Regressed {
        /// The peer.
        peer: MemberId,
        /// What it acknowledged.
        acknowledged: LogId,
        /// What it has.
        found: LogId,
    },
    /// A message was dropped because it makes no sense from this peer at this point.
    Refused {
        /// The peer.
        peer: MemberId,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Why a stream changed state. The words are the label values of `quorate_stream_resets_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateReason {
    /// An acknowledgement showed where the logs agree.
    Matched,
    /// The follower refused an append that should have fitted.
    Rejected,
    /// A connection came up.
    Connected,
    /// The connection was lost.
    Disconnected,
    /// Nothing in flight was acknowledged for the stall time.
    Stalled,
    /// The log no longer reaches back to what the follower needs.
    LogCompacted,
    /// The follower reported a log that reaches the leader's again.
    SnapshotInstalled,
    /// The log could not be read back from disk.
    LogUnreadable,
    /// The follower lacks entries it acknowledged.
    Regressed,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The leader's reign is over.
    TermOver,
    /// The follower left the membership.
    Removed,
}
