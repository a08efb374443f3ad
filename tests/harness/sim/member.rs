//! One member of the simulated cluster: the daemon's loop, and around it what its threads and sockets would be.

use super::clock::Clock;
use super::disk::{Disk, draw_options};
use super::joins::Joining;
use super::lost::{Lost, storage_of};
use super::machine::{Machine, Snapshot};
use super::network::Kind;
use super::queue::Micros;
use super::rng::Rng;
use bytes::Bytes;
use quorate::bootstrap::StorageId;
use quorate::node::driven::Driven;
use raft::{Index, LinkId, LogId, LogRead, MemberId, Membership, Now, ReadRound, RoleName, Term, Time, Token};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// Something that happens to one member.
#[derive(Debug)]
pub enum What {
    /// A frame has crossed the network; from which slot, on which connection.
    Deliver(Bytes, usize, u64, Kind),
    /// The loop may have something to do by now.
    Tick,
    /// The loop takes its turn.
    Turn,
    /// A flush has ended.
    Flushed(u64),
    /// The state machine has applied the oldest slice handed to it.
    Applied(u64),
    /// The state machine is to be switched to a snapshot.
    Switch(u64),
    /// Entries have been read back.
    ReadBack(LogRead),
    /// A snapshot is looked for.
    Fetch,
    /// A snapshot is here, all of it.
    Ready(Box<Snapshot>),
    /// It calls another one, by slot, if they are still connected in the same way.
    Dial(usize, u64),
    /// A connection is gone, by the slot of the peer.
    LinkDown(usize, LinkId),
    /// The disk announces that it has no room.
    Full,
    /// The disk has room again.
    RoomAgain,
    /// What has found no room on the disk is tried again.
    Retry,
}

/// Says that somebody who waits for an answer of a member has it.
#[derive(Debug, Default)]
pub struct Answered(AtomicBool);

impl Wake for Answered {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Answered {
    /// Whether somebody has, since this was asked last.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// One member.
pub struct Member {
    /// Its name.
    pub id: MemberId,
    /// The loop, while its process runs.
    pub node: Option<Driven>,
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
    /// Its state machine waits for room on its disk, with as much applied as may be without being flushed.
    pub stalled: bool,
    /// How many times slower than usual its state machine is.
    pub apply_slowness: u64,
    /// How far it was last told that its store is durable.
    pub flushed: Index,
    /// What it is, from its own events.
    pub role: RoleName,
    /// The term it leads in.
    pub leading: Option<Term>,
    /// When it was elected, by its own clocks.
    pub elected: Now,
    /// The term of each entry that came to its log in this life, and when it came by its own clock.
    pub appended: BTreeMap<Index, (Term, Time)>,
    /// How far it has ever said that entries are committed, in this life.
    pub claimed: Index,
    /// As leader: the read round whose heartbeats it sends, and the step in which it sent the first of them.
    pub round: (ReadRound, u64),
    /// The step before each read that its engine was asked for.
    pub asked: BTreeMap<Token, u64>,
    /// How far members are, by what the last leader it followed in this life told it.
    pub told: BTreeMap<MemberId, Index>,
    /// When a tick is scheduled.
    pub tick_at: Option<Micros>,
    /// A turn is scheduled.
    pub turn_due: bool,
    /// It stands still.
    pub paused: bool,
    /// What waits for it to go on.
    pub deferred: VecDeque<What>,
    /// The snapshot it needs covers at least this entry.
    pub wanted: Index,
    /// A snapshot is being fetched, or is to be switched to.
    pub fetching: bool,
    /// Set when one of its clients has its answer.
    pub answered: Arc<Answered>,
    /// Its disks have lied, and it has forgotten that its log went on to here. Cleared once it is back there.
    pub forgot: Option<LogId>,
    /// The disk that is bound to it.
    pub storage: StorageId,
    /// That disk is gone, and what has come of it. What it held stays in `disk` and `machine`, for who counts on it.
    pub lost: Option<Lost>,
    /// The processes that ask to be this member, if it was not bound to its disk from the beginning.
    pub joining: Option<Joining>,
    /// It will not start again.
    pub dead: bool,
    /// It has learned that it is not a member any more.
    pub removed: bool,
    /// How many times it has ended because of that.
    pub sent_away: u32,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id).field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl Member {
    /// A member with an empty disk, not yet started; of the first configuration, or of none. `on_disk` says whether its
    /// store is a file.
    #[must_use]
    pub fn format(id: MemberId, clock: Clock, first: Option<Arc<Membership>>, on_disk: bool, rng: &mut Rng) -> Self {
        Self {
            id,
            node: None,
            life: 0,
            clock,
            disk: Disk::format(id, first.clone(), draw_options(rng)),
            machine: Machine::format(id, first, on_disk),
            applying: 0,
            stalled: false,
            apply_slowness: 1,
            flushed: Index::ZERO,
            role: RoleName::Follower,
            leading: None,
            elected: Now { mono: Time(0), wall_us: 0 },
            appended: BTreeMap::new(),
            claimed: Index::ZERO,
            round: (ReadRound(0), 0),
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            tick_at: None,
            turn_due: false,
            paused: false,
            deferred: VecDeque::new(),
            wanted: Index::ZERO,
            fetching: false,
            answered: Arc::default(),
            forgot: None,
            storage: storage_of(id),
            lost: None,
            joining: None,
            dead: false,
            removed: false,
            sent_away: 0,
        }
    }

    /// Begins anew with an empty disk, whatever it has promised: only where a bug is planted.
    pub fn begin_anew(&mut self, storage: StorageId, on_disk: bool, rng: &mut Rng) {
        self.disk = Disk::format(self.id, None, draw_options(rng));
        self.machine = Machine::format(self.id, None, on_disk);
        (self.storage, self.lost) = (storage, None);
    }

    /// Whether its process exists.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.node.is_some()
    }

    /// The disk that it is known to be bound to; none while processes ask for that.
    #[must_use]
    pub fn known_storage(&self) -> Option<StorageId> {
        let open = self.joining.as_ref().is_some_and(Joining::is_open);
        (!open).then_some(self.storage)
    }

    /// It switches to a snapshot and does nothing else.
    #[must_use]
    pub fn is_switching(&self) -> bool {
        self.node.as_ref().is_some_and(Driven::is_switching)
    }

    /// Forgets everything that is not on a disk.
    pub fn forget(&mut self) {
        self.node = None;
        self.life += 1;
        self.applying += 1;
        (self.stalled, self.machine.told_full) = (false, false);
        (self.role, self.leading, self.claimed) = (RoleName::Follower, None, Index::ZERO);
        (self.tick_at, self.turn_due, self.paused, self.fetching) = (None, false, false, false);
        (self.flushed, self.wanted) = (Index::ZERO, Index::ZERO);
        self.appended.clear();
        self.asked.clear();
        self.told.clear();
        self.deferred.clear();
    }
}
