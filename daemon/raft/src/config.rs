//! What can be set, with the reason for each default. Everything else is a named constant beside what it bounds.

use crate::types::MemberId;
use std::time::Duration;

/// The settings of one member. All but `id` and `seed` have defaults that suit three members in one region.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this member is. Never zero, never used by anybody else, not even after a removal.
    pub id: MemberId,
    /// Where this member's chance comes from: two members with equal seeds would time out together.
    pub seed: u64,
    /// The pause between a leader's heartbeats. A tenth of the election timeout, so that a few may get lost.
    pub heartbeat: Duration,
    /// How long a follower waits for its leader before it asks for votes; each wait is drawn anew from
    /// `[election, 2 · election)`. Above the slowest flush of a cloud disk, so that a hiccup elects nobody.
    pub election: Duration,
    /// The bytes one append carries; a single larger entry travels alone.
    pub append_bytes_max: u64,
    /// Unacknowledged bytes a stream may have sent when it starts; the window grows from here.
    pub inflight_bytes_start: u64,
    /// The bytes the window may grow to: what a fast link with a long round trip holds.
    pub inflight_bytes_max: u64,
    /// Unacknowledged appends a stream may have sent.
    pub inflight_messages_max: usize,
    /// Recent entries kept in memory for followers and for apply. More is read back from disk.
    pub cache_bytes_max: u64,
    /// Bytes a leader takes before they are committed; beyond it, proposals are refused as busy.
    pub uncommitted_bytes_max: u64,
    /// Bytes a follower takes before they are durable; what is left of it is the credit in its acknowledgements.
    pub undurable_bytes_max: u64,
    /// Bytes handed to the state machine in one slice.
    pub apply_bytes_max: u64,
    /// Bytes handed to the state machine and not applied yet.
    pub applying_bytes_max: u64,
    /// A learner may be this many entries behind when it is promoted...
    pub promote_lag_entries_max: u64,
    /// ...and this many bytes: what a promoted voter still lacks delays the first commit that needs it.
    pub promote_lag_bytes_max: u64,
}

const MIB: u64 = 1 << 20;

impl Config {
    /// The defaults, for this member.
    #[must_use]
    pub fn new(id: MemberId, seed: u64) -> Self {
        Self {
            id,
            seed,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(1000),
            append_bytes_max: MIB,
            inflight_bytes_start: 4 * MIB,
            inflight_bytes_max: 32 * MIB,
            inflight_messages_max: 256,
            cache_bytes_max: 64 * MIB,
            uncommitted_bytes_max: 64 * MIB,
            undurable_bytes_max: 32 * MIB,
            apply_bytes_max: MIB,
            applying_bytes_max: 8 * MIB,
            promote_lag_entries_max: 1000,
            promote_lag_bytes_max: 4 * MIB,
        }
    }

    /// How long a leader keeps its role without hearing from a quorum. It refuses requests after one election
    /// timeout already; it waits longer before it gives up, because an unneeded election costs more.
    #[must_use]
    pub(crate) fn step_down_after(&self) -> Duration {
        self.election * 3
    }
}
