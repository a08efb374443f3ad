//! Performs what the engine wants done, as a daemon would, and checks it on the way.

use super::checks::configs::{Proposed, is_quorum};
use super::checks::{Verdict, ensure};
use super::frames;
use super::image::{Base, LogImage};
use super::member::{Member, What};
use super::network::Fate;
use super::queue::{MILLI, Micros};
use super::swarm::{Fault, Feature};
use super::world::{Event as Happening, World, broken};
use raft::{
    Entry, EntryKind, Envelope, Event, Index, Input, Install, Membership, Message, Output, Persist, RoleName, Term,
};

/// How long fetching a snapshot takes on average.
const FETCH_MEAN: Micros = 50 * MILLI;
/// How long writing one takes on average.
const INSTALL_MEAN: Micros = 10 * MILLI;
/// Millionths of fetches that fail while they may.
const FETCH_FAILS: u64 = 400_000;

impl World {
    /// One step of one engine, with everything that follows from it.
    pub(super) fn step(&mut self, slot: usize, input: Input) -> Verdict {
        let member = &mut self.members[slot];
        let Some(raft) = &mut member.raft else { return Ok(()) };
        let id = member.id;
        self.report.steps += 1;
        self.trace.note(self.now, id.0 << 16 ^ number_of(&input), || format!("{id} ← {}", describe(&input)));
        let mut out = std::mem::take(&mut self.out);
        raft.step(member.clock.now(self.now), input, &mut out);
        let verdict = self.perform(slot, &mut out);
        clear(&mut out);
        self.out = out;
        self.arm(slot);
        verdict
    }

    fn perform(&mut self, slot: usize, out: &mut Output) -> Verdict {
        for event in out.events.drain(..) {
            self.event(slot, &event)?;
        }
        let before = self.members[slot].disk.live.memberships().last().cloned();
        if let Some(persist) = out.persist.take() {
            self.persist(slot, persist)?;
        }
        self.claim(slot)?;
        self.reconfigured(slot, before.as_ref().map(|(at, membership)| (*at, &**membership)))?;
        for envelope in out.send.drain(..) {
            self.promise(slot, &envelope)?;
            self.send(slot, &envelope);
        }
        if !out.apply.is_empty() {
            self.hand_over(slot, std::mem::take(&mut out.apply))?;
        }
        for answer in out.answers.drain(..) {
            self.answer(slot, &answer)?;
        }
        for read in out.log_reads.drain(..) {
            self.ask_log(slot, read);
        }
        if let Some(install) = out.install.take() {
            self.fetch(slot, install);
        }
        Ok(())
    }

    fn event(&mut self, slot: usize, event: &Event) -> Verdict {
        let id = self.members[slot].id;
        self.trace.note(self.now, id.0 << 24, || format!("{id} : {event:?}"));
        let member = &mut self.members[slot];
        match event {
            Event::Following { .. } => (member.role, member.leading) = (RoleName::Follower, None),
            Event::PreCandidate { .. } => (member.role, member.leading) = (RoleName::PreCandidate, None),
            Event::Candidate { .. } => (member.role, member.leading) = (RoleName::Candidate, None),
            Event::Leading { term } => {
                (member.role, member.leading) = (RoleName::Leader, Some(*term));
                self.elected(slot, *term)?;
            }
            Event::Stream { from, to, reason, .. } => {
                self.report.reach(&format!("stream {from:?} → {to:?} {reason:?}"));
            }
            Event::StreamClosed { reason, .. } => self.report.reach(&format!("stream closed {reason:?}")),
            Event::Refused { why, .. } => self.report.reach(&format!("refused: {why}")),
            Event::Removed { .. } => {
                member.removed = true;
                self.report.reach("removed");
            }
            Event::MembershipEffective { .. } => self.report.reach("membership effective"),
            Event::MembershipCommitted { .. } => self.report.reach("membership committed"),
            Event::Regressed { peer, acknowledged, found } => {
                return Err(broken(format!("{id}: {peer} is said to have lost {acknowledged}, down to {found}")));
            }
        }
        Ok(())
    }

    fn elected(&mut self, slot: usize, term: Term) -> Verdict {
        self.report.reach("elected");
        self.leaders_in_calm += u64::from(self.calm);
        let Self { members, elections, ledger, .. } = self;
        let (id, log) = (members[slot].id, &members[slot].disk.live);
        let Some((_, membership)) = log.membership_at(log.last().last.index) else {
            return Err(broken(format!("{id} leads without a configuration")));
        };
        let voted = |voter| by_id(members, voter).is_some_and(|voter| voter.disk.votes.get(&term) == Some(&id));
        elections.leading(id, term, membership, voted)?;
        ledger.elected(id, log)
    }

    fn persist(&mut self, slot: usize, persist: Persist) -> Verdict {
        let member = &mut self.members[slot];
        let id = member.id;
        self.trace.note(self.now, persist.io.0, || format!("{id} → disk {}", describe_write(&persist)));
        if let Some(state) = persist.hard_state {
            self.elections.hard_state(id, state)?;
        }
        self.ledger.write_begins(id, &member.disk.live, &persist, member.leading)?;
        let appended: Vec<Index> = persist.append.iter().map(Entry::index).collect();
        member.disk.submit(persist).map_err(|what| broken(format!("{id}: {what}")))?;
        for index in appended {
            self.ledger.appended(id, self.members[slot].disk.live.at(index).expect("just appended"))?;
        }
        self.flush(slot);
        Ok(())
    }

    /// A leader may just have appended a configuration.
    fn reconfigured(&self, slot: usize, before: Option<(Index, &Membership)>) -> Verdict {
        let member = &self.members[slot];
        let (Some(term), Some(before), Some(raft)) = (member.leading, before, &member.raft) else { return Ok(()) };
        if member.disk.live.memberships().last().is_none_or(|(at, _)| *at <= before.0) {
            return Ok(());
        }
        let Some((at, membership)) = member.disk.live.memberships().last() else { return Ok(()) };
        let commit = raft.brief().commit;
        // Its own word, now that it has been checked: others may be terms ahead of it.
        let committed = member.disk.live.at(commit).map_or((commit, Term(0)), |base| (commit, base.last.term));
        Proposed { leader: member.id, term, before, after: (*at, membership), committed }.check()
    }

    /// Starts a flush, if there is something to flush.
    pub(super) fn flush(&mut self, slot: usize) {
        let disk = &mut self.members[slot].disk;
        if disk.start_flush() {
            let (flush, slowness) = (disk.flush, disk.slowness);
            let wait = (20 + self.chance.disk.exponential(self.swarm.flush_mean)) * slowness;
            self.later(slot, wait, What::Flushed(flush));
        }
    }

    pub(super) fn flushed(&mut self, slot: usize, flush: u64) -> Verdict {
        let disk = &mut self.members[slot].disk;
        if disk.flush != flush {
            return Ok(());
        }
        let last = disk.end_flush();
        self.flush(slot);
        let member = &self.members[slot];
        if member.installing.is_some() && member.disk.is_idle() {
            self.write_snapshot(slot);
        }
        last.map_or(Ok(()), |io| self.input(slot, Input::Persisted(io)))
    }

    /// What a member takes for committed must be.
    fn claim(&mut self, slot: usize) -> Verdict {
        let member = &self.members[slot];
        let Some(commit) = member.raft.as_ref().map(|raft| raft.brief().commit) else { return Ok(()) };
        if commit <= member.claimed {
            return Ok(());
        }
        let Self { members, ledger, .. } = self;
        members[slot].claimed = commit;
        let (id, log, leading) = (members[slot].id, &members[slot].disk.live, members[slot].leading);
        // The configuration before the last one may have counted: the last one can be younger than the commit.
        let configurations = || log.memberships().iter().rev().take(2);
        let durable = |base: Base| {
            let has = |id| by_id(members, id).is_some_and(|member| holds(&member.disk.durable, base));
            configurations().any(|(_, membership)| is_quorum(membership, has))
        };
        ledger.claim(id, log, commit, leading, durable)
    }

    /// A message must not promise what the disk does not hold.
    fn promise(&mut self, slot: usize, envelope: &Envelope) -> Verdict {
        let Member { id, disk, .. } = &self.members[slot];
        self.trace.note(self.now, envelope.to.0, || format!("  {envelope}"));
        match &envelope.message {
            Message::VoteReply { granted: true } => {
                let durable = disk.votes.get(&envelope.term).copied();
                self.elections.grant(*id, envelope.term, envelope.to, durable)
            }
            Message::AppendAck(ack) => ensure("S7", disk.durable.contains(ack.durable), || {
                format!("{id} acknowledges {}, its disk ends at {}", ack.durable, disk.durable.last().last)
            }),
            _ => Ok(()),
        }
    }

    fn send(&mut self, slot: usize, envelope: &Envelope) {
        let Some(to) = self.slot_of(envelope.to) else { return };
        if to == slot {
            return;
        }
        // As the daemon's transport does it: what belongs to the log on a lane of its own.
        let bulk =
            matches!(envelope.message, Message::Append { .. } | Message::Commit { .. } | Message::Snapshot { .. });
        let Fate { first, again } = self.network.send(&mut self.chance.network, self.now, slot, to, bulk);
        if first.is_none() {
            self.trace.note(self.now, 0, || "    which is lost".to_owned());
        }
        let mark = role_mark(self.members[slot].role);
        let connected = self.network.is_connected(slot, to) && !self.network.is_blocked(slot, to);
        if first.is_none() && connected && self.swarm.has(Fault::Loss) {
            self.report.fault(Fault::Loss, &[mark]);
        }
        if again.is_some() {
            self.report.fault(Fault::Replay, &[mark]);
        }
        if first.is_none() {
            return;
        }
        let (life, epoch, frame) = (self.members[to].life, self.network.epoch(slot, to), frames::encode(envelope));
        for at in [first, again].into_iter().flatten() {
            self.queue.push(at, Happening::To { slot: to, life, what: What::Deliver(frame.clone(), slot, epoch) });
        }
    }

    /// Entries go to the state machine.
    fn hand_over(&mut self, slot: usize, entries: Vec<Entry>) -> Verdict {
        let Member { id, disk, machine, .. } = &mut self.members[slot];
        for entry in &entries {
            ensure("S5", entry.index() == machine.handed.next(), || {
                format!("{id} is to apply {entry} after {}", machine.handed)
            })?;
            ensure("S5", disk.durable.contains(entry.id()), || {
                format!("{id} is to apply {entry}, its disk ends at {}", disk.durable.last().last)
            })?;
            machine.handed = entry.index();
        }
        machine.queue.push_back(entries);
        if machine.queue.len() == 1 {
            self.apply_next(slot);
        }
        Ok(())
    }

    fn apply_next(&mut self, slot: usize) {
        let member = &self.members[slot];
        let (applying, slowness) = (member.applying, member.apply_slowness);
        let wait = (5 + self.chance.disk.exponential(self.swarm.apply_mean)) * slowness;
        self.later(slot, wait, What::Applied(applying));
    }

    /// The state machine has worked through a slice.
    pub(super) fn applied(&mut self, slot: usize, applying: u64) -> Verdict {
        let member = &mut self.members[slot];
        if member.applying != applying {
            return Ok(());
        }
        let Some(entries) = member.machine.queue.pop_front() else { return Ok(()) };
        for entry in &entries {
            let state = &mut member.machine.state;
            let before = state.applied.last.index;
            state.apply(entry);
            self.ledger.applied(member.id, before, state.applied)?;
        }
        let machine = &mut member.machine;
        let (applied, kept) = (machine.state.applied.last, machine.checkpoint.applied.last);
        if applied.index.0 - kept.index.0 >= self.swarm.checkpoint_every {
            machine.checkpoint = machine.state.clone();
        }
        if !machine.queue.is_empty() {
            self.apply_next(slot);
        }
        self.acknowledge(slot, &entries)?;
        self.input(slot, Input::Applied(applied.index))?;
        self.cut_log(slot)
    }

    /// Cuts the log behind the state machine's checkpoint, if it has grown.
    fn cut_log(&mut self, slot: usize) -> Verdict {
        let Member { id, disk, machine, installing, .. } = &mut self.members[slot];
        let (durable, start) = (machine.checkpoint.applied.last.index, disk.durable.base.last.index);
        let retained = durable.0.saturating_sub(start.0);
        if !self.swarm.does(Feature::Compaction) || retained <= self.swarm.keep_entries || installing.is_some() {
            return Ok(());
        }
        let through = Index(durable.0 - self.chance.disk.below(self.swarm.keep_entries.min(retained) + 1));
        let Some(base) = disk.durable.at(through).filter(|_| through > start) else { return Ok(()) };
        disk.durable.compact(through);
        disk.live.compact(through);
        self.trace.note(self.now, through.0, || format!("{id} cuts its log through {}", base.last));
        self.report.reach("log cut");
        self.step(slot, Input::Compacted { through: base.last })
    }

    /// A snapshot is to be fetched.
    fn fetch(&mut self, slot: usize, install: Install) {
        self.report.reach("snapshot offered");
        if !std::mem::replace(&mut self.members[slot].fetching, true) {
            let wait = MILLI + self.chance.disk.exponential(FETCH_MEAN);
            self.later(slot, wait, What::Fetched(install));
        }
    }

    /// A snapshot has been fetched, if its source could be reached all the way.
    pub(super) fn fetched(&mut self, slot: usize, install: Install) -> Verdict {
        self.members[slot].fetching = false;
        let fails = self.swarm.has(Fault::FetchFails) && !self.calm && self.chance.fault.chance(FETCH_FAILS);
        if fails {
            self.report.fault(Fault::FetchFails, &[role_mark(self.members[slot].role)]);
            return Ok(());
        }
        let Some(from) = self.slot_of(install.from).filter(|from| self.network.is_connected(*from, slot)) else {
            return Ok(());
        };
        let state = self.members[from].machine.checkpoint.clone();
        let member = &mut self.members[slot];
        let last = state.applied.last;
        if last.index < install.offer.last.index || last.index <= member.machine.handed || member.installing.is_some() {
            return Ok(());
        }
        member.installing = Some(Box::new(state));
        if member.disk.is_idle() {
            self.write_snapshot(slot);
        }
        Ok(())
    }

    fn write_snapshot(&mut self, slot: usize) {
        let wait = self.chance.disk.exponential(INSTALL_MEAN);
        self.later(slot, wait, What::Installed);
    }

    /// A snapshot is on the disk: state machine and log in one stroke.
    pub(super) fn installed(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        let Some(state) = member.installing.take() else { return Ok(()) };
        let (base, (at, membership)) = (state.applied, state.membership.clone());
        let id = member.id;
        ensure("S5", self.ledger.at(base.last.index) == Some(&base), || {
            format!("{id} installs {}, committed is {:?}", base.last, self.ledger.at(base.last.index))
        })?;
        member.disk.durable.install(base, (at, membership.clone()));
        member.disk.live.install(base, (at, membership.clone()));
        member.machine.install(*state);
        member.applying += 1;
        self.trace.note(self.now, base.hash, || format!("{id} has installed {}", base.last));
        self.report.reach("snapshot installed");
        let membership = Membership::clone(&membership);
        self.serve_reads(slot)?;
        self.step(slot, Input::Installed { last: base.last, membership_at: at, membership })?;
        while let Some(input) = self.members[slot].held.pop_front() {
            self.input(slot, input)?;
        }
        Ok(())
    }
}

/// The member of this name.
pub(super) fn by_id(members: &[Member], id: raft::MemberId) -> Option<&Member> {
    members.get(usize::try_from(id.0.checked_sub(1)?).ok()?)
}

/// Whether a log holds this very log up to its last entry.
fn holds(log: &LogImage, base: Base) -> bool {
    log.at(base.last.index).map_or(log.base.last.index > base.last.index, |at| at == base)
}

fn clear(out: &mut Output) {
    out.send.clear();
    out.apply.clear();
    out.answers.clear();
    out.log_reads.clear();
    out.events.clear();
    (out.persist, out.install) = (None, None);
}

/// The word for a role in the marks.
pub(super) fn role_mark(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "follower",
        RoleName::Learner => "learner",
        RoleName::PreCandidate => "pre-candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    }
}

fn number_of(input: &Input) -> u64 {
    match input {
        Input::Tick => 1,
        Input::Received(envelope) => 2 ^ envelope.from.0 << 8 ^ envelope.term.0 << 16,
        Input::Persisted(io) => 3 ^ io.0 << 8,
        Input::Applied(index) => 4 ^ index.0 << 8,
        Input::Propose(proposals) => 5 ^ (proposals.len() as u64) << 8,
        Input::Read(token) => 6 ^ token.0 << 8,
        Input::ChangeMembership { .. } => 7,
        Input::TransferLeader { .. } => 8,
        Input::LinkUp { link, .. } => 9 ^ link.0 << 8,
        Input::LinkDown { link, .. } => 10 ^ link.0 << 8,
        Input::LogRead { .. } => 11,
        Input::Compacted { through } => 12 ^ through.index.0 << 8,
        Input::Installed { last, .. } => 13 ^ last.index.0 << 8,
        Input::DiskFull(full) => 14 ^ u64::from(*full) << 8,
    }
}

fn describe(input: &Input) -> String {
    match input {
        Input::Received(envelope) => format!("{envelope}"),
        Input::Propose(proposals) => {
            format!("propose {} from {:?}", proposals.len(), proposals.first().map(|p| p.token))
        }
        Input::LogRead { peer, stream, result } => {
            format!("log read for {peer} {stream}: {:?}", result.as_ref().map(Vec::len))
        }
        other => format!("{other:?}"),
    }
}

fn describe_write(persist: &Persist) -> String {
    let Persist { io, hard_state, truncate_from, append } = persist;
    let configurations = append.iter().filter(|entry| entry.kind() == EntryKind::Membership).count();
    format!(
        "{io} state {hard_state:?} cut {truncate_from:?} append {:?}..{:?} ({configurations} configurations)",
        append.first().map(Entry::id),
        append.last().map(Entry::id)
    )
}
