//! One member of the simulated cluster: the real engine, and around it what a daemon would be.

use super::clock::Clock;
use super::disk::{Disk, draw_options};
use super::machine::{Machine, Snapshot};
use super::queue::Micros;
use super::rng::Rng;
use bytes::Bytes;
use raft::{Index, Input, Install, LinkId, LogRead, MemberId, Membership, Raft, ReadRound, RoleName, Term};
use std::collections::VecDeque;
use std::sync::Arc;

/// Something that happens to one member.
#[derive(Debug)]
pub enum What {
    /// A frame has crossed the network; from which slot, on which connection.
    Deliver(Bytes, usize, u64),
    /// A deadline may have come.
    Tick,
    /// A flush has ended.
    Flushed(u64),
    /// The state machine has applied the oldest slice handed to it.
    Applied(u64),
    /// Entries have been read back.
    ReadBack(LogRead),
    /// A snapshot has been fetched.
    Fetched(Install),
    /// A snapshot is on the disk.
    Installed,
    /// A connection stands.
    LinkUp(MemberId, LinkId),
    /// A connection is gone, by the slot of the peer.
    LinkDown(usize, LinkId),
    /// Somebody asks for something.
    Ask(Box<Input>),
    /// The disk has room again.
    RoomAgain,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub id: MemberId,
    /// The engine, while it runs.
    pub raft: Option<Raft>,
    /// Counts its starts: what was meant for an earlier life is lost.
    pub life: u32,
    /// Its clocks.
    pub clock: Clock,
    /// Its log.
    pub disk: Disk,
    /// Its state machine.
    pub machine: Machine,
    /// Tells slices of this state machine from those of one a snapshot has replaced.
    pub applying: u64,
    /// How many times slower than usual its state machine is.
    pub apply_slowness: u64,
    /// What it is, from its own events.
    pub role: RoleName,
    /// The term it leads in.
    pub leading: Option<Term>,
    /// How far it has ever said that entries are committed, in this life.
    pub claimed: Index,
    /// As leader: the read round whose heartbeats it sends, and the step in which it sent the first of them.
    pub round: (ReadRound, u64),
    /// When a tick is scheduled.
    pub tick_at: Option<Micros>,
    /// It stands still.
    pub paused: bool,
    /// What waits for it to go on.
    pub deferred: VecDeque<What>,
    /// A snapshot is being fetched.
    pub fetching: bool,
    /// A snapshot is being written, and nothing else happens meanwhile.
    pub installing: Option<Box<Snapshot>>,
    /// What waits for the snapshot to be written.
    pub held: VecDeque<Input>,
    /// Reads that wait for an index to be applied, by their token.
    pub reads: Vec<(Index, u64)>,
    /// It will not start again.
    pub dead: bool,
    /// It has learned that it is not a member any more.
    pub removed: bool,
}

impl Member {
    /// A member with an empty disk, not yet started; of the first configuration, or of none. `on_disk` says whether its
    /// store is a file.
    #[must_use]
    pub fn format(id: MemberId, clock: Clock, first: Option<Arc<Membership>>, on_disk: bool, rng: &mut Rng) -> Self {
        Self {
            id,
            raft: None,
            life: 0,
            clock,
            disk: Disk::format(id, first.clone(), draw_options(rng)),
            machine: Machine::format(id, first, on_disk),
            applying: 0,
            apply_slowness: 1,
            role: RoleName::Follower,
            leading: None,
            claimed: Index::ZERO,
            round: (ReadRound(0), 0),
            tick_at: None,
            paused: false,
            deferred: VecDeque::new(),
            fetching: false,
            installing: None,
            held: VecDeque::new(),
            reads: Vec::new(),
            dead: false,
            removed: false,
        }
    }

    /// Whether its process exists.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.raft.is_some()
    }

    /// Forgets everything that is not on a disk.
    pub fn forget(&mut self) {
        self.raft = None;
        self.life += 1;
        self.applying += 1;
        (self.role, self.leading, self.claimed) = (RoleName::Follower, None, Index::ZERO);
        (self.tick_at, self.paused, self.fetching, self.installing) = (None, false, false, None);
        self.deferred.clear();
        self.held.clear();
        self.reads.clear();
    }
}
