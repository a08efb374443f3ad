//! What members say to each other. The transport carries these; it never looks inside.

use crate::entry::Entry;
use crate::types::{Index, LogId, MemberId, ReadRound, StreamId, Term, Time};
use std::fmt;

/// The part of a question's number that counts; the rest is random and changes when the follower starts anew.
pub(crate) const QUESTION_COUNT: u64 = 0xffff_ffff;

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it.
    pub from: MemberId,
    /// To whom.
    pub to: MemberId,
    /// The sender's term. In [`Message::PreVote`] and its granted reply: the term the candidate would enter.
    pub term: Term,
    /// What is said.
    pub message: Message,
}

/// The things members say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Would you vote for me? Changes nothing at the one who answers (thesis 9.6).
    PreVote {
        /// The candidate's last entry.
        last: LogId,
    },
    /// The answer to a [`Message::PreVote`].
    PreVoteReply {
        /// Whether it would.
        granted: bool,
    },
    /// Vote for me.
    Vote {
        /// The candidate's last entry.
        last: LogId,
        /// The old leader asked for this election, so vote stickiness does not hold it up (thesis 3.10).
        transfer: bool,
    },
    /// The answer to a [`Message::Vote`]; a grant is sent only once it is durable.
    VoteReply {
        /// Whether it did.
        granted: bool,
    },
    /// Entries that follow `prev`; without entries a question, which is answered like any other append.
    Append {
        /// The leader's stream; replies repeat it.
        stream: StreamId,
        /// The entry before the first one carried.
        prev: LogId,
        /// Consecutive entries, the first at `prev.index + 1`.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: Index,
    },
    /// News of the commit index, when no append is about to carry it. Not answered: what it says is said again by
    /// every append and heartbeat.
    Commit {
        /// The leader's stream.
        stream: StreamId,
        /// The commit index, cut to what was sent to the follower.
        commit: Index,
    },
    /// Everything up to `durable` matches the leader's log and is on the follower's disk.
    AppendAck(Ack),
    /// The follower has no entry `prev`.
    AppendReject(Reject),
    /// The leader lives. Carries no claim about the log beyond what the follower has acknowledged.
    Heartbeat {
        /// The leader's stream; replies repeat it.
        stream: StreamId,
        /// The commit index, cut to what the follower is known to match.
        commit: Index,
        /// The read round this beat confirms.
        round: ReadRound,
        /// When it was sent, on the leader's clock: the reply brings it back.
        sent_at: Time,
        /// How far members are known to hold what is committed, the leader among them. Whoever leads next shows the lag
        /// of a follower that it has not heard from there.
        reached: Vec<(MemberId, Index)>,
    },
    /// The answer to a [`Message::Heartbeat`].
    HeartbeatReply {
        /// The stream of the heartbeat.
        stream: StreamId,
        /// Its round.
        round: ReadRound,
        /// Its `sent_at`.
        echo: Time,
        /// The follower's applied index.
        applied: Index,
        /// How many more bytes of appends the follower would take now.
        credit_bytes: u64,
    },
    /// A follower asks for an index that is safe to read at.
    ReadIndex {
        /// The follower's number for the question; the reply repeats it.
        question: u64,
    },
    /// The answer to a [`Message::ReadIndex`]; none when the sender cannot confirm that it leads.
    ReadIndexReply {
        /// The number of the question.
        question: u64,
        /// Reads are linearizable once this is applied.
        index: Option<Index>,
    },
    /// The leader hands over: stand for election at once, if your log reaches `last`.
    TimeoutNow {
        /// The leader's last entry.
        last: LogId,
    },
    /// The log no longer reaches back to what the follower needs: this snapshot does.
    Snapshot {
        /// The leader's stream; replies repeat it.
        stream: StreamId,
        /// What to fetch.
        offer: SnapshotOffer,
    },
    /// You are no longer a member, as of the configuration at this index.
    Removed {
        /// Where the log says so.
        at: Index,
    },
}

/// A cumulative acknowledgement, one for each durable write of the follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The stream it answers.
    pub stream: StreamId,
    /// The last entry that is durable and known to match the leader's log. A log id, not an index: an entry may
    /// have been truncated and rewritten while the write was under way.
    pub durable: LogId,
    /// The follower's applied index.
    pub applied: Index,
    /// How many more bytes of appends the follower would take now.
    pub credit_bytes: u64,
}

/// What a follower knows when `prev` is not in its log, so that the leader skips a whole term at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The stream it answers.
    pub stream: StreamId,
    /// The `prev` that was refused.
    pub prev: LogId,
    /// The follower's last entry.
    pub last: LogId,
    /// The term the follower holds at `prev.index` and the first index of that term, where it holds one.
    pub conflict: Option<(Term, Index)>,
}

/// A snapshot a follower may install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// The last entry it covers.
    pub last: LogId,
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} → {} {}", self.from, self.term, self.to, self.message)
    }
}

impl Message {
    /// Whether only the leader of a term says it.
    pub(crate) fn is_from_leader(&self) -> bool {
        match self {
            Self::Append { .. }
            | Self::Commit { .. }
            | Self::Heartbeat { .. }
            | Self::Snapshot { .. }
            | Self::TimeoutNow { .. } => true,
            Self::PreVote { .. }
            | Self::PreVoteReply { .. }
            | Self::Vote { .. }
            | Self::VoteReply { .. }
            | Self::AppendAck(_)
            | Self::AppendReject(_)
            | Self::HeartbeatReply { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Removed { .. } => false,
        }
    }

    /// The leader's stream it belongs to, if it belongs to one.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Append { stream, .. }
            | Self::Commit { stream, .. }
            | Self::Heartbeat { stream, .. }
            | Self::Snapshot { stream, .. } => Some(*stream),
            _ => None,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PreVote { last } => write!(f, "PreVote last={last}"),
            Self::PreVoteReply { granted } => write!(f, "PreVoteReply {}", yes_no(*granted)),
            Self::Vote { last, transfer: false } => write!(f, "Vote last={last}"),
            Self::Vote { last, transfer: true } => write!(f, "Vote last={last} transfer"),
            Self::VoteReply { granted } => write!(f, "VoteReply {}", yes_no(*granted)),
            Self::Append { prev, entries, commit, .. } => write_append(f, *prev, entries, *commit),
            Self::Commit { commit, .. } => write!(f, "Commit {commit}"),
            Self::AppendAck(ack) => write!(f, "AppendAck durable={}", ack.durable),
            Self::AppendReject(reject) => write_reject(f, reject),
            Self::Heartbeat { commit, round, .. } => write!(f, "Heartbeat commit={commit} round={round}"),
            Self::HeartbeatReply { round, .. } => write!(f, "HeartbeatReply round={round}"),
            Self::ReadIndex { question } => write!(f, "ReadIndex q{}", question & QUESTION_COUNT),
            Self::ReadIndexReply { question, index: Some(index) } => {
                write!(f, "ReadIndexReply q{} index={index}", question & QUESTION_COUNT)
            }
            Self::ReadIndexReply { question, index: None } => {
                write!(f, "ReadIndexReply q{} refused", question & QUESTION_COUNT)
            }
            Self::TimeoutNow { last } => write!(f, "TimeoutNow last={last}"),
            Self::Snapshot { offer, .. } => write!(f, "Snapshot {}", offer.last),
            Self::Removed { at } => write!(f, "Removed at={at}"),
        }
    }
}

fn write_append(f: &mut fmt::Formatter<'_>, prev: LogId, entries: &[Entry], commit: Index) -> fmt::Result {
    write!(f, "Append base={prev} [")?;
    match entries {
        [] => {}
        [one] => write!(f, "{one}")?,
        [first, second] => write!(f, "{first} {second}")?,
        [first, .., last] => write!(f, "{first} … {last}")?,
    }
    write!(f, "] commit={commit}")
}

fn write_reject(f: &mut fmt::Formatter<'_>, reject: &Reject) -> fmt::Result {
    write!(f, "AppendReject base={} last={}", reject.prev, reject.last)?;
    match reject.conflict {
        Some((term, first)) => write!(f, " conflict={first}@{term}"),
        None => Ok(()),
    }
}

fn yes_no(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}
