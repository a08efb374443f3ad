//! The world: members, links and clients, and the loop that lets one thing happen after another.

use super::checks::elections::Elections;
use super::checks::history::History;
use super::checks::ledger::Ledger;
use super::checks::{Verdict, Violation, ensure};
use super::clients::Clients;
use super::clock::Clock;
use super::lies::Lie;
use super::lost::storage_of;
use super::machine::CLUSTER;
use super::medium::End;
use super::member::{Member, What};
use super::network::{Kind, Network, SLOTS};
use super::queue::{MILLI, Micros, Queue};
use super::report::Report;
use super::rng::Rng;
use super::swarm::{Cut, Fault, Feature, Swarm};
use super::trace::Trace;
use super::words::{describe, number_of};
use bytes::Bytes;
use quorate::bootstrap::{Identity, NodeInfo, StorageId};
use quorate::node::Stop;
use quorate::node::driven::{Driven, Effect, Start};
use quorate::transport::hello::Lane;
use raft::{Config, LogRead, LogReadFailure, MemberId, Membership};
use std::sync::Arc;

/// How long reading entries back takes on average.
const READ_BACK_MEAN: Micros = 2 * MILLI;
/// Millionths of reads from a disk with a bit that is the wrong way round, while there may be one.
const UNREADABLE: u64 = 300_000;
/// How many times a removed member is told so, start by start, until it is left alone: it would take half of a run.
const SENT_AWAY_MAX: u32 = 3;
/// Turns in which a loop must have done all that is due.
const TURNS_AT_ONCE: usize = 2;

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
    /// Something goes wrong with this member.
    FaultAt(usize),
    /// Something goes right again.
    Repair(Repair),
    /// A lie goes on.
    Lie,
    /// A process with an empty disk asks to be the member at a slot.
    Knock(usize),
    /// One of the processes that want to be the member at a slot asks for that.
    Ask(usize, usize),
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
    /// Somebody's disks lie.
    pub(super) lie: Option<Lie>,
    /// The partition in force has this number.
    pub partition: u64,
    /// Leaders since it became calm.
    pub leaders_in_calm: u64,
    /// Hand-overs that were asked for before that and answered since, done or not.
    pub transfers_in_calm: u64,
    /// Processes that have started. Each start has a number of its own, which keeps requests apart.
    pub starts: u64,
    /// Emptied after each turn and used again.
    pub(super) effects: Vec<Effect>,
    /// As these are.
    pub(super) frames: Vec<(MemberId, Lane, Bytes)>,
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
            lie: None,
            partition: 0,
            leaders_in_calm: 0,
            transfers_in_calm: 0,
            starts: 0,
            effects: Vec::new(),
            frames: Vec::new(),
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
        self.end_of_lies()?;
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
                Event::Connect(one, other) => self.connect(one, other),
                Event::Sever(one, other) => self.give_up(one, other),
                Event::Fault => self.strike()?,
                Event::FaultAt(slot) => self.strike_at(slot)?,
                Event::Repair(repair) => self.repair(repair)?,
                Event::Lie => self.lie_on()?,
                Event::Knock(slot) => self.knock(slot)?,
                Event::Ask(slot, process) => self.ask_to_join(slot, process)?,
                Event::Request => self.request()?,
            }
        }
        self.now = self.now.max(until);
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
        if member.is_running() || member.dead || member.lost.is_some() || member.known_storage().is_none() {
            return Ok(());
        }
        member.clock = Clock::new(chance, self.swarm.drift);
        let intent = member.machine.start()?;
        let state = &member.machine.state;
        let applied = state.applied.last.index;
        let switched = intent.as_ref().map(|intent| (intent, (state.applied, state.membership.clone())));
        let Some(boot) = member.disk.start(chance.bits(), applied, switched)? else { return self.find_no_room(slot) };
        if intent.is_some() {
            member.machine.installed();
            self.report.reach("a switch was finished by the next start");
        }
        let config = Config { id: member.id, seed: chance.bits(), ..self.swarm.config.clone() };
        self.elections.restarted(member.id, boot.hard_state);
        let held = boot.last.index >= applied && boot.start.index <= applied;
        let (start, last) = (boot.start, boot.last);
        ensure("S5", held, || format!("{} has applied {applied}, its log holds {start} to {last}", member.id))?;
        self.starts += 1;
        let id = member.id;
        let (name, storage) = (id.to_string(), member.storage);
        self.trace.note(self.now, id.0, || format!("{id} starts, log up to {last}, applied {applied}"));
        member.node = Some(Driven::start(Start {
            identity: Identity { cluster: CLUSTER, member: id, storage, name, boot: self.starts },
            info: info_of(id, Some(storage)),
            config,
            boot,
            now: member.clock.now(self.now),
            store: Arc::clone(member.machine.open_store()),
            reader: member.disk.reader(),
            retention: self.swarm.retention,
            number: number_of,
            words: self.trace.is_read().then_some(describe),
        }));
        if self.members[slot].disk.full {
            self.happen(slot, What::Full);
        }
        self.reconnect();
        self.turn(slot)
    }

    /// A start has found no room for what it has to write. The process ends, perhaps with the power, and is started again
    /// by whoever watches over it, until somebody has made room.
    fn find_no_room(&mut self, slot: usize) -> Verdict {
        let how = if self.swarm.has(Fault::Crash) && self.chance.disk.coin() { End::Power } else { End::Process };
        let member = &mut self.members[slot];
        let id = member.id;
        member.disk.end(how, &mut self.chance.disk)?;
        member.machine.end(how, &mut self.chance.disk);
        self.trace.note(self.now, id.0 << 12, || format!("{id} finds no room to start in, and ends ({how:?})"));
        self.report.reach("a start found no room");
        self.restart_soon(slot);
        Ok(())
    }

    /// Ends a member's process.
    pub(super) fn end(&mut self, slot: usize, how: End) -> Verdict {
        let member = &mut self.members[slot];
        if !member.is_running() {
            return Ok(());
        }
        member.forget();
        self.clients.forget(slot);
        let lost = member.disk.end(how, &mut self.chance.disk)?;
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
        if let What::Deliver(_, from, epoch, kind) = &what
            && !self.network.arrive(*from, slot, *epoch, *kind)
        {
            return Ok(());
        }
        if let What::LinkDown(peer, link) = &what {
            self.network.noticed(slot, *peer, *link);
        }
        let member = &mut self.members[slot];
        // A message finds whoever listens at the address by now; everything else belongs to one life.
        let outlives = matches!(what, What::Deliver(_, _, _, Kind::Consensus)) && !self.network.options.ordered;
        if !member.is_running() || !(member.life == life || outlives) {
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
            What::Deliver(frame, from, ..) => {
                self.report.messages += 1;
                let peer = self.members[from].id;
                let arrived = self.node(slot).map_or(Ok(()), |node| node.arrived(peer, frame));
                arrived.map_err(|what| Violation { check: "codec", what })?;
                self.turn_soon(slot)
            }
            What::Tick => self.tick(slot),
            What::Turn => {
                self.members[slot].turn_due = false;
                self.turn(slot)
            }
            What::Flushed(flush) => self.flushed(slot, flush),
            What::Applied(applying) => self.applied(slot, applying),
            What::Switch(applying) => self.switch(slot, applying),
            What::ReadBack(read) => self.read_back(slot, &read),
            What::Fetch => self.copy(slot),
            What::Ready(snapshot) => self.ready(slot, *snapshot),
            What::Dial(to, epoch) => self.dial(slot, to, epoch),
            What::LinkDown(peer, link) => self.link_down(slot, peer, link),
            What::Full => self.told_of_room(slot, true),
            What::RoomAgain => {
                self.flush(slot);
                self.told_of_room(slot, false)?;
                self.flush_store(slot)
            }
            What::Retry => {
                self.members[slot].disk.starved = false;
                self.flush(slot);
                Ok(())
            }
        }
    }

    pub(super) fn node(&self, slot: usize) -> Option<&Driven> {
        self.members[slot].node.as_ref()
    }

    fn told_of_room(&mut self, slot: usize, full: bool) -> Verdict {
        if let Some(node) = self.node(slot) {
            node.disk_full(full);
        }
        self.turn_soon(slot)
    }

    /// Something has come: the loop takes its turn, at once or a little later, with what else has come by then.
    pub(super) fn turn_soon(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        if !member.is_running() || member.paused || member.turn_due {
            return Ok(());
        }
        if self.swarm.turn_mean == 0 {
            return self.turn(slot);
        }
        member.turn_due = true;
        let wait = self.chance.member.exponential(self.swarm.turn_mean);
        self.later(slot, wait, What::Turn);
        Ok(())
    }

    /// The loop takes its turn.
    pub(super) fn turn(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        let Some(node) = &mut member.node else { return Ok(()) };
        let mut effects = std::mem::take(&mut self.effects);
        node.turn(member.clock.now(self.now), &mut effects);
        let verdict = self.perform(slot, &mut effects);
        effects.clear();
        self.effects = effects;
        verdict?;
        self.check_told()?;
        self.relink(slot);
        self.send_all(slot)?;
        self.told_of_install(slot);
        self.hear(slot)?;
        self.arm(slot);
        self.stopped(slot)
    }

    /// The loop may have ended.
    fn stopped(&mut self, slot: usize) -> Verdict {
        let Some(stop) = self.node(slot).and_then(Driven::stop).cloned() else { return Ok(()) };
        let id = self.members[slot].id;
        ensure("engine", stop == Stop::Removed, || format!("{id} stops: {stop}"))?;
        // The member itself may not have it.
        let committed = self.committed_membership();
        let (at, membership) = committed.ok_or_else(|| broken("no configuration".to_owned()))?;
        ensure("S8", membership.removed.contains(&id), || {
            format!("{id} stops as removed, the configuration at {at} is {membership:?}")
        })?;
        self.report.reach("a removed member ended");
        self.end(slot, End::Process)?;
        self.members[slot].sent_away += 1;
        if !self.calm && self.members[slot].sent_away < SENT_AWAY_MAX {
            self.restart_soon(slot);
        }
        Ok(())
    }

    fn tick(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        member.tick_at = None;
        let Some(deadline) = member.node.as_ref().and_then(Driven::deadline) else { return Ok(()) };
        let now = member.clock.now(self.now).mono;
        if now < deadline {
            self.arm(slot);
            return Ok(());
        }
        let mut next = Some(deadline);
        // What has come may have made something due at once: a link that turns out to be faster stalls sooner.
        for _ in 0..TURNS_AT_ONCE {
            if next.is_some_and(|next| next <= now) {
                self.turn(slot)?;
                next = self.node(slot).and_then(Driven::deadline);
            }
        }
        ensure("L1", next.is_none_or(|next| next > now), || format!("the loop does not rest: {next:?} at {now:?}"))
    }

    /// Schedules a tick for the loop's next deadline, if none comes before.
    pub(super) fn arm(&mut self, slot: usize) {
        let member = &mut self.members[slot];
        let Some(deadline) = member.node.as_ref().and_then(Driven::deadline) else { return };
        let Some(at) = member.clock.when(deadline) else { return };
        if member.tick_at.is_none_or(|scheduled| at < scheduled) {
            let at = at.max(self.now);
            member.tick_at = Some(at);
            self.queue.push(at, Event::To { slot, life: member.life, what: What::Tick });
        }
    }

    pub(super) fn ask_log(&mut self, slot: usize, read: LogRead) {
        let wait = self.chance.disk.exponential(READ_BACK_MEAN);
        self.later(slot, wait, What::ReadBack(read));
    }

    fn read_back(&mut self, slot: usize, read: &LogRead) -> Verdict {
        let rotten = self.swarm.has(Fault::Unreadable) && !self.calm && self.chance.disk.chance(UNREADABLE);
        if rotten {
            self.report.fault(Fault::Unreadable, &["cold read"]);
        }
        let result = self.members[slot].disk.read(read, rotten.then_some(&mut self.chance.disk))?;
        self.report.reach(match &result {
            Ok(_) => "log read: entries",
            Err(LogReadFailure::Compacted) => "log read: compacted",
            Err(LogReadFailure::Unreadable) => "log read: unreadable",
        });
        if let Some(node) = self.node(slot) {
            node.read_back(read, result);
        }
        self.turn_soon(slot)
    }
}

/// How a member describes itself.
pub(super) fn info_of(id: MemberId, storage: Option<StorageId>) -> NodeInfo {
    let peer_urls = vec![format!("http://{id}:2380")];
    NodeInfo { name: id.to_string(), peer_urls, storage, ..NodeInfo::default() }
}

/// The same for its first disk, as a configuration carries it.
fn node_info(id: MemberId) -> Bytes {
    info_of(id, Some(storage_of(id))).encode()
}

/// A rule of the world itself did not hold.
pub(super) fn broken(what: String) -> Violation {
    Violation { check: "engine", what }
}
