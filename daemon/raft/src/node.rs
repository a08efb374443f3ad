//! The only door: one member of a cluster, as a value that takes inputs and gives outputs.

use crate::boot::{Boot, Now};
use crate::config::Config;
use crate::input::Input;
use crate::log::Log;
use crate::membership::{Membership, Memberships};
use crate::output::Output;
use crate::status::{RoleName, Status};
use crate::types::{Index, Time};

/// One member.
#[derive(Debug)]
pub struct Raft {
    config: Config,
    log: Log,
    memberships: Memberships,
}

impl Raft {
    /// A member as its disk remembers it, before anything has happened.
    #[must_use]
    pub fn new(config: Config, boot: Boot, now: Now) -> Self {
        let _ = now;
        let log = Log::new(boot.start, boot.terms, boot.last, boot.recent, config.cache_bytes_max);
        Self { config, log, memberships: Memberships::new(boot.memberships) }
    }

    /// Takes one input and adds what it wants done to `out`, which the caller performs and empties before the next.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        let _ = (now, input, out);
    }

    /// When [`Input::Tick`] is due next, if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        Time(u64::MAX)
    }

    /// The member's view of itself and, while it leads, of its followers.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        let _ = now;
        Status {
            id: self.config.id,
            term: crate::types::Term(0),
            role: RoleName::Follower,
            leader: None,
            last: self.log.last(),
            durable: self.log.durable(),
            commit: Index::ZERO,
            applied: Index::ZERO,
            first: self.log.first(),
            membership_at: self.memberships.at(),
            membership_committed: true,
            transferring: false,
            quorum_heard: false,
            followers: Vec::new(),
        }
    }

    /// The configuration in force and where it stands; it may not be committed yet.
    #[must_use]
    pub fn membership(&self) -> (Index, &Membership) {
        (self.memberships.at(), self.memberships.effective())
    }
}
