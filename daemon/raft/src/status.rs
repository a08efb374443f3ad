//! What a member knows of itself and, while it leads, of each follower. Computed from the truth when asked;
//! nothing is kept for it.

use crate::output::StateReason;
use crate::types::{Index, LogId, MemberId, Term};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a member stands, without its followers: no allocation, fit for every turn of the caller's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Its term.
    pub term: Term,
    /// What it is.
    pub role: RoleName,
    /// Whom it takes for the leader.
    pub leader: Option<MemberId>,
    /// The last entry of its log.
    pub last: Index,
    /// The greatest index it knows to be committed.
    pub commit: Index,
    /// The greatest index its state machine has applied.
    pub applied: Index,
}

/// A member's own view.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who it is.
    pub id: MemberId,
    /// Its term.
    pub term: Term,
    /// What it is.
    pub role: RoleName,
    /// Whom it takes for the leader.
    pub leader: Option<MemberId>,
    /// The last entry of its log.
    pub last: LogId,
    /// The last entry that is durable here.
    pub durable: LogId,
    /// The greatest index it knows to be committed.
    pub commit: Index,
    /// The greatest index its state machine has applied.
    pub applied: Index,
    /// The first entry it still has.
    pub first: Index,
    /// Where the configuration in force stands.
    pub membership_at: Index,
    /// Whether that configuration is committed.
    pub membership_committed: bool,
    /// A transfer of leadership is under way.
    pub transferring: bool,
    /// A leader that has heard from a quorum within an election timeout.
    pub quorum_heard: bool,
    /// One for each follower, while it leads; disconnected ones too.
    pub followers: Vec<FollowerStatus>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleName {
    /// Follows, votes.
    Follower,
    /// Follows, does not vote.
    Learner,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

/// The state of a replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamState {
    /// The match point is unknown: one small append at a time.
    Probe,
    /// The match point is known: pipelined, up to the window.
    Replicate,
    /// The follower needs a snapshot.
    Snapshot,
}

/// Why a stream sends nothing although there is something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PausedReason {
    /// It is not paused.
    None,
    /// A probe is unanswered.
    ProbeWait,
    /// The window in messages or bytes is full.
    WindowFull,
    /// The follower takes no more bytes now.
    NoCredit,
    /// Waiting before trying again.
    Backoff,
    /// Waiting for entries from disk.
    LogRead,
    /// Waiting for a snapshot to be installed.
    Snapshot,
    /// No connection.
    Disconnected,
}

/// How far a follower is behind, on the leader's clock alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Entries in the leader's log that the follower has not made durable.
    pub entries: u64,
    /// Their records, in bytes.
    pub bytes: u64,
    /// The age of the oldest of them; zero when there is none.
    pub age: Duration,
    /// Bytes or age are estimates, because the entries are older than this leader's record of them; or all three are
    /// upper bounds, because the follower has not said yet what it has (it has been away since the election).
    pub approximate: bool,
}

/// How often a stream fell back, by reason.
pub type Resets = BTreeMap<StateReason, u64>;

/// The leader's view of one follower.
#[derive(Clone, Debug)]
pub struct FollowerStatus {
    /// Who.
    pub member: MemberId,
    /// Does not vote.
    pub learner: bool,
    /// The state of its stream.
    pub state: StreamState,
    /// Why nothing is being sent.
    pub paused: PausedReason,
    /// The last entry it is known to have durable and equal to the leader's.
    pub matched: LogId,
    /// The next entry to send.
    pub next: Index,
    /// How far behind it is.
    pub lag: Lag,
    /// Its applied index, as last reported.
    pub applied: Index,
    /// Appends sent and not acknowledged.
    pub in_flight_messages: u64,
    /// Their entries, in bytes.
    pub in_flight_bytes: u64,
    /// The bytes that may be in flight.
    pub window_bytes: u64,
    /// The bytes the follower would still take, as last reported.
    pub credit_bytes: u64,
    /// Smoothed round trip of heartbeats.
    pub round_trip: Option<Duration>,
    /// Bytes acknowledged per second, smoothed.
    pub ack_bytes_per_second: u64,
    /// Since when nothing has been heard from it.
    pub silent_for: Option<Duration>,
    /// Appends it refused.
    pub rejections: u64,
    /// How often the stream fell back, by reason.
    pub resets: Resets,
}
