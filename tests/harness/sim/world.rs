//! The world: members, links and clients, and the loop that lets one thing happen after another.

use super::checks::elections::Elections;
use super::checks::history::History;
use super::checks::ledger::Ledger;
use super::checks::{Verdict, Violation, ensure};
use super::clients::Clients;
use super::clock::Clock;
use super::frames;
use super::medium::End;
use super::member::{Member, What};
use super::network::{Network, SLOTS};
use super::queue::{MILLI, Micros, Queue};
use super::report::Report;
use super::rng::Rng;
use super::swarm::{Cut, Fault, Feature, Swarm};
use super::trace::Trace;
use bytes::Bytes;
use raft::{Config, Input, LinkId, LogRead, LogReadFailure, MemberId, Membership, Output, Raft};
use std::sync::Arc;

/// How long a new connection takes, at most.
const DIAL_MAX: Micros = 200 * MILLI;
/// How long reading entries back takes on average.
const READ_BACK_MEAN: Micros = 2 * MILLI;
/// Millionths of reads from a disk with a bit that is the wrong way round, while there may be one.
const UNREADABLE: u64 = 300_000;

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// To one member, in one of its lives.
    To {
        /// The member's slot.
        slot: usize,
        /// Its life.
        life: u32,
        /// What.
        what: What,
    },
    /// Two members try to connect.
    Connect(usize, usize),
    /// A pair that has been cut off notices it.
    Sever(usize, usize),
    /// Something goes wrong.
    Fault,
    /// Something goes right again.
    Repair(Repair),
    /// A client asks for something.
    Request,
}

/// What goes right again.
#[derive(Clone, Copy, Debug)]
pub enum Repair {
    /// The member starts.
    Start(usize),
    /// The member goes on.
    Resume(usize),
    /// The partition with this number ends.
    Partition(u64),
    /// The disk is fast again and has room.
    Disk(usize),
    /// The state machine is fast again.
    Machine(usize),
}

/// Chance, a stream for each part.
#[derive(Debug)]
pub struct Chances {
    /// For messages.
    pub network: Rng,
    /// For disks and state machines.
    pub disk: Rng,
    /// For faults.
    pub fault: Rng,
    /// For clients.
    pub client: Rng,
    /// For members: clocks and seeds.
    pub member: Rng,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// The true time.
    pub now: Micros,
    /// What comes.
    pub queue: Queue<Event>,
    /// Who is there, by slot.
    pub members: Vec<Member>,
    /// The links.
    pub network: Network,
    /// What is turned on.
    pub swarm: Swarm,
    /// Chance.
    pub chance: Chances,
    /// Who asks.
    pub clients: Clients,
    /// The truth about the log.
    pub ledger: Ledger,
    /// The truth about leaders.
    pub elections: Elections,
    /// What clients saw.
    pub history: History,
    /// What was reached.
    pub report: Report,
    /// What happened.
    pub trace: Trace,
    /// Nothing goes wrong any more.
    pub calm: bool,
    /// Clients ask for nothing any more.
    pub quiet: bool,
    /// The partition in force has this number.
    pub partition: u64,
    /// Leaders since it became calm.
    pub leaders_in_calm: u64,
    /// Emptied after each step and used again.
    pub(super) out: Output,
}

impl World {
    /// The world of a seed before anything has happened.
    #[must_use]
    pub fn new(seed: u64, voters: Option<usize>, cut: &Cut, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let swarm = Swarm::draw(&mut rng, voters).without(cut);
        let chance = Chances {
            network: rng.fork(),
            disk: rng.fork(),
            fault: rng.fork(),
            client: rng.fork(),
            member: rng.fork(),
        };
        Self {
            now: 0,
            queue: Queue::default(),
            members: Vec::new(),
            network: Network::new(swarm.network.clone()),
            swarm,
            chance,
            clients: Clients::default(),
            ledger: Ledger::default(),
            elections: Elections::default(),
            history: History::default(),
            report: Report { seeds: 1, ..Report::default() },
            trace,
            calm: false,
            quiet: false,
            partition: 0,
            leaders_in_calm: 0,
            out: Output::default(),
        }
    }

    /// Lives the whole run: trouble, then peace.
    ///
    /// # Errors
    /// The first rule that did not hold.
    pub fn run(&mut self) -> Verdict {
        let swarm = &self.swarm;
        self.trace.note(0, 0, || format!("{swarm:?}"));
        for fault in [Fault::Reorder, Fault::Drift] {
            if swarm.has(fault) {
                self.report.fault(fault, &["always"]);
            }
        }
        let ids = (1..=self.swarm.voters as u64).map(MemberId);
        let first = Arc::new(Membership::bootstrap(ids.map(|id| (id, node_info(id)))));
        (0..self.swarm.voters).for_each(|_| {
            self.add_member(Some(Arc::clone(&first)));
        });
        for slot in 0..self.members.len() {
            self.start(slot)?;
        }
        self.queue.push(0, Event::Request);
        self.queue.push(self.swarm.fault_mean, Event::Fault);
        self.advance(self.swarm.trouble)?;
        self.settle()?;
        self.history.finish(&self.ledger)?;
        self.report.time = self.now;
        self.report.committed = self.ledger.last().last.index.0;
        self.report.acknowledged = self.history.acknowledged() as u64;
        Ok(())
    }

    /// Lets everything happen that happens until `until`.
    pub(super) fn advance(&mut self, until: Micros) -> Verdict {
        while let Some((at, event)) = self.queue.pop(until) {
            self.now = at;
            match event {
                Event::To { slot, life, what } => self.reach(slot, life, what)?,
                Event::Connect(one, other) => self.connect(one, other)?,
                Event::Sever(one, other) => self.give_up(one, other),
                Event::Fault => self.strike()?,
                Event::Repair(repair) => self.repair(repair)?,
                Event::Request => self.request()?,
            }
        }
        self.now = until;
        Ok(())
    }

    /// A new member with an empty disk; its slot.
    pub(super) fn add_member(&mut self, first: Option<Arc<Membership>>) -> usize {
        let id = MemberId(self.members.len() as u64 + 1);
        let clock = Clock::new(&mut self.chance.member, self.swarm.drift);
        let on_disk = self.swarm.does(Feature::Database);
        self.members.push(Member::format(id, clock, first, on_disk, &mut self.chance.disk));
        self.members.len() - 1
    }

    /// Whether another member can still be added.
    pub(super) fn has_room(&self) -> bool {
        self.members.len() < SLOTS
    }

    /// The slot of a member.
    pub(super) fn slot_of(&self, id: MemberId) -> Option<usize> {
        let slot = usize::try_from(id.0.checked_sub(1)?).ok()?;
        (slot < self.members.len()).then_some(slot)
    }

    /// Starts a member from what its disks hold.
    pub(super) fn start(&mut self, slot: usize) -> Verdict {
        let chance = &mut self.chance.member;
        let member = &mut self.members[slot];
        if member.is_running() || member.dead {
            return Ok(());
        }
        member.clock = Clock::new(chance, self.swarm.drift);
        member.machine.start()?;
        let applied = member.machine.state.applied.last.index;
        let boot = member.disk.start(chance.bits(), applied)?;
        let config = Config { id: member.id, seed: chance.bits(), ..self.swarm.config.clone() };
        self.elections.restarted(member.id, boot.hard_state);
        let held = boot.last.index >= applied;
        ensure("S5", held, || format!("{} has applied {applied}, its log ends at {}", member.id, boot.last))?;
        let (id, last) = (member.id, boot.last);
        self.trace.note(self.now, id.0, || format!("{id} starts, log up to {last}, applied {applied}"));
        member.raft = Some(Raft::new(config, boot, member.clock.now(self.now)));
        self.arm(slot);
        if self.members[slot].disk.full {
            self.happen(slot, What::Ask(Box::new(Input::DiskFull(true))));
        }
        self.reconnect();
        Ok(())
    }

    /// Ends a member's process.
    pub(super) fn end(&mut self, slot: usize, how: End) -> Verdict {
        let member = &mut self.members[slot];
        if !member.is_running() {
            return Ok(());
        }
        member.forget();
        let kept = member.machine.checkpoint.applied.last.index;
        let compacting = (self.swarm.does(Feature::Compaction) && self.chance.disk.coin()).then_some(kept);
        let lost = member.disk.end(how, compacting, &mut self.chance.disk)?;
        member.machine.end(how, &mut self.chance.disk);
        let id = member.id;
        self.trace.note(self.now, id.0 << 8, || format!("{id} ends ({how:?}), {lost} writes lost"));
        if self.swarm.has(Fault::BitRot) {
            let found = self.members[slot].disk.rot(&mut self.chance.disk)?;
            self.report.fault(Fault::BitRot, &["stopped"]);
            self.report.reach(found);
        }
        for peer in (0..self.members.len()).filter(|peer| *peer != slot) {
            self.sever(slot, peer);
        }
        Ok(())
    }

    /// Every pair that is apart tries to connect soon.
    pub(super) fn reconnect(&mut self) {
        for one in 0..self.members.len() {
            for other in one + 1..self.members.len() {
                if !self.network.is_connected(one, other) {
                    let at = self.now + self.chance.network.below(DIAL_MAX);
                    self.queue.push(at, Event::Connect(one, other));
                }
            }
        }
    }

    fn connect(&mut self, one: usize, other: usize) -> Verdict {
        if !self.members[one].is_running() || !self.members[other].is_running() {
            return Ok(());
        }
        let Some((here, there)) = self.network.connect(one, other) else { return Ok(()) };
        let (first, second) = (self.members[one].id, self.members[other].id);
        self.reach(one, self.members[one].life, What::LinkUp(second, here))?;
        self.reach(other, self.members[other].life, What::LinkUp(first, there))
    }

    /// Nothing has come through for a while: the connection ends, if that is still so.
    fn give_up(&mut self, one: usize, other: usize) {
        if self.network.is_blocked(one, other) || self.network.is_blocked(other, one) {
            self.sever(one, other);
        }
    }

    /// Ends the connection of a pair; both sides notice in their own time.
    pub(super) fn sever(&mut self, one: usize, other: usize) {
        for notice in self.network.disconnect(&mut self.chance.network, self.now, one, other) {
            let life = self.members[notice.side].life;
            let what = What::LinkDown(notice.peer, notice.link);
            if self.members[notice.side].is_running() {
                self.queue.push(notice.at, Event::To { slot: notice.side, life, what });
            } else {
                self.network.noticed(notice.side, notice.peer, notice.link);
            }
        }
    }

    /// Something will happen to a member at once, after what is happening now.
    pub(super) fn happen(&mut self, slot: usize, what: What) {
        self.later(slot, 0, what);
    }

    /// Something will happen to a member in `wait`.
    pub(super) fn later(&mut self, slot: usize, wait: Micros, what: What) {
        let life = self.members[slot].life;
        self.queue.push(self.now + wait, Event::To { slot, life, what });
    }

    /// Something reaches a member: if it still lives that life, now or when it goes on.
    fn reach(&mut self, slot: usize, life: u32, what: What) -> Verdict {
        if let What::Deliver(_, from, epoch) = &what
            && !self.network.arrive(*from, slot, *epoch)
        {
            return Ok(());
        }
        if let What::LinkDown(peer, link) = &what {
            self.network.noticed(slot, *peer, *link);
        }
        let member = &mut self.members[slot];
        // A message finds whoever listens at the address by now; everything else belongs to one life.
        let meant = member.life == life || (matches!(what, What::Deliver(..)) && !self.network.options.ordered);
        if !member.is_running() || !meant {
            return Ok(());
        }
        if member.paused {
            member.deferred.push_back(what);
            return Ok(());
        }
        self.handle(slot, what)
    }

    /// Something happens to a member that runs.
    pub(super) fn handle(&mut self, slot: usize, what: What) -> Verdict {
        match what {
            What::Deliver(frame, ..) => {
                self.report.messages += 1;
                let envelope = frames::decode(frame).map_err(|what| Violation { check: "codec", what })?;
                self.input(slot, Input::Received(envelope))
            }
            What::Tick => self.tick(slot),
            What::Flushed(flush) => self.flushed(slot, flush),
            What::Applied(applying) => self.applied(slot, applying),
            What::ReadBack(read) => self.read_back(slot, read),
            What::Fetched(install) => self.fetched(slot, install),
            What::Installed => self.installed(slot),
            What::LinkUp(peer, link) => self.input(slot, Input::LinkUp { peer, link }),
            What::LinkDown(peer, link) => self.link_down(slot, peer, link),
            What::Ask(input) => self.input(slot, *input),
            What::RoomAgain => {
                self.flush(slot);
                self.input(slot, Input::DiskFull(false))
            }
        }
    }

    fn link_down(&mut self, slot: usize, peer: usize, link: LinkId) -> Verdict {
        let peer = self.members[peer].id;
        self.input(slot, Input::LinkDown { peer, link })
    }

    /// The engine takes an input, unless a snapshot is being written.
    pub(super) fn input(&mut self, slot: usize, input: Input) -> Verdict {
        let member = &mut self.members[slot];
        if member.installing.is_some() {
            member.held.push_back(input);
            return Ok(());
        }
        self.step(slot, input)
    }

    fn tick(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        member.tick_at = None;
        let Some(raft) = &member.raft else { return Ok(()) };
        if member.clock.now(self.now).mono >= raft.next_deadline() {
            return self.input(slot, Input::Tick);
        }
        self.arm(slot);
        Ok(())
    }

    /// Schedules a tick for the engine's next deadline, if none comes before.
    pub(super) fn arm(&mut self, slot: usize) {
        let member = &mut self.members[slot];
        let Some(raft) = &member.raft else { return };
        let Some(at) = member.clock.when(raft.next_deadline()) else { return };
        if member.installing.is_none() && member.tick_at.is_none_or(|scheduled| at < scheduled) {
            let at = at.max(self.now);
            member.tick_at = Some(at);
            self.queue.push(at, Event::To { slot, life: member.life, what: What::Tick });
        }
    }

    pub(super) fn ask_log(&mut self, slot: usize, read: LogRead) {
        let wait = self.chance.disk.exponential(READ_BACK_MEAN);
        self.later(slot, wait, What::ReadBack(read));
    }

    fn read_back(&mut self, slot: usize, read: LogRead) -> Verdict {
        let rotten = self.swarm.has(Fault::Unreadable) && !self.calm && self.chance.disk.chance(UNREADABLE);
        if rotten {
            self.report.fault(Fault::Unreadable, &["cold read"]);
        }
        let result = self.members[slot].disk.read(&read, rotten.then_some(&mut self.chance.disk))?;
        self.report.reach(match &result {
            Ok(_) => "log read: entries",
            Err(LogReadFailure::Compacted) => "log read: compacted",
            Err(LogReadFailure::Unreadable) => "log read: unreadable",
        });
        self.input(slot, Input::LogRead { peer: read.peer, stream: read.stream, result })
    }
}

/// What a member's address looks like.
pub(super) fn node_info(id: MemberId) -> Bytes {
    Bytes::from(format!("http://{id}:2380"))
}

/// A rule of the world itself did not hold.
pub(super) fn broken(what: String) -> Violation {
    Violation { check: "engine", what }
}
