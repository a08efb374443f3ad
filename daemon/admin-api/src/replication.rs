//! How far each follower is behind, as its leader sees it.

use crate::Id;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The reply to `GET /v1/replication`. One follower each, connected or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// The leader that answers.
    pub leader: Id,
    /// Its term.
    pub term: u64,
    /// The last entry of its log.
    pub last_index: u64,
    /// What is committed.
    pub commit_index: u64,
    /// The index of the membership in force.
    pub config_index: u64,
    /// Its followers, by id.
    pub followers: Vec<Follower>,
}

/// Whether a follower votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FollowerRole {
    /// It votes.
    #[default]
    Voter,
    /// It does not.
    Learner,
}

/// The state of a replication stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamState {
    /// The match point is unknown: one small append at a time.
    #[default]
    Probe,
    /// The match point is known: pipelined, up to the window.
    Replicate,
    /// The follower needs a snapshot.
    Snapshot,
}

impl StreamState {
    /// The word people read in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Replicate => "replicate",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Why a stream sends nothing although there is something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PausedReason {
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

impl PausedReason {
    /// The words people read in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProbeWait => "probe wait",
            Self::WindowFull => "window full",
            Self::NoCredit => "no credit",
            Self::Backoff => "backoff",
            Self::LogRead => "log read",
            Self::Snapshot => "snapshot",
            Self::Disconnected => "disconnected",
        }
    }
}

/// One follower.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Follower {
    /// Its id.
    pub member: Id,
    /// Its name.
    pub name: String,
    /// Whether it votes.
    pub role: FollowerRole,
    /// The state of its stream.
    pub state: StreamState,
    /// Why nothing is being sent; absent when the stream runs.
    #[serde(default)]
    pub paused: Option<PausedReason>,
    /// The last entry it is known to have durable and equal to the leader's.
    pub match_index: u64,
    /// The next entry to send.
    pub next_index: u64,
    /// Its applied index, as last reported.
    pub applied_index: u64,
    /// Entries of the leader's log it has not made durable.
    pub lag_entries: u64,
    /// Their records.
    pub lag_bytes: u64,
    /// The age of the oldest of them; 0 when there is none.
    pub lag_seconds: f64,
    /// Bytes and seconds are estimates: the entries are older than this leader's record of them. Or all three are
    /// upper bounds: the follower has not been heard since the election.
    #[serde(default)]
    pub lag_approximate: bool,
    /// Appends sent and not acknowledged.
    pub in_flight_messages: u64,
    /// Their entries.
    pub in_flight_bytes: u64,
    /// What may be in flight.
    pub window_bytes: u64,
    /// What the follower would still take, as last reported.
    pub credit_bytes: u64,
    /// Smoothed round trip; absent before the first.
    #[serde(default)]
    pub round_trip_seconds: Option<f64>,
    /// Acknowledged per second, smoothed.
    pub ack_bytes_per_second: u64,
    /// Time since anything was heard from it; absent if nothing ever was.
    #[serde(default)]
    pub silent_for_seconds: Option<f64>,
    /// Appends it refused.
    pub rejections: u64,
    /// How often its stream fell back, by reason.
    #[serde(default)]
    pub resets: BTreeMap<String, u64>,
    /// The snapshot it installs; absent when there is none, or it has said nothing of it lately.
    #[serde(default)]
    pub snapshot: Option<SnapshotProgress>,
}

/// How far a follower has come with a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotProgress {
    /// What it does: `locating`, `fetching`, `restoring`, `switching`.
    pub phase: String,
    /// The last entry the snapshot covers; 0 until one was found.
    pub index: u64,
    /// Where its blocks come from: `objects`, or a member's id.
    pub source: String,
    /// Bytes that are there and verified.
    pub have_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
    /// The first of the second, in percent.
    pub percent: f64,
    /// Bytes that arrive.
    pub bytes_per_second: u64,
    /// How often fetching went on from what was there.
    pub resumed: u64,
}

/// The reply to `GET /v1/safe-to-stop`: whether this member may stop without costing the cluster its quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SafeToStop {
    /// It may.
    pub safe: bool,
    /// Why not; empty when it may.
    #[serde(default)]
    pub reasons: Vec<UnsafeReason>,
}

/// Why stopping now would hurt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum UnsafeReason {
    /// It leads: transfer leadership first.
    IsLeader,
    /// It knows no leader, so it cannot tell.
    NoLeader,
    /// Without it fewer voters than a quorum would be caught up.
    QuorumWouldBeLost {
        /// Voters that would be caught up without it.
        caught_up: u32,
        /// Voters that must be.
        required: u32,
    },
    /// A change of membership is under way.
    MembershipChanging,
    /// A voter is still catching up.
    CatchingUp {
        /// Which.
        member: Id,
        /// How far it is behind.
        lag_entries: u64,
    },
}
