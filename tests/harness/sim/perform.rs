//! Performs what a member's loop wants done, as its threads would, and checks on the way what passes the doors.

use super::checks::configs::{Proposed, is_quorum};
use super::checks::retention::{self, Cut};
use super::checks::{Verdict, Violation, ensure};
use super::disk::Flushed;
use super::frames;
use super::image::{Base, LogImage};
use super::medium::End;
use super::member::{Member, What};
use super::network::{Fate, Kind};
use super::queue::{MILLI, Micros};
use super::swarm::Fault;
use super::words::{describe_write, role_mark};
use super::world::{Event as Happening, World, broken};
use bytes::Bytes;
use quorate::node::driven::{Beat, Effect};
use quorate::transport::hello::Lane;
use quorate::wal::{Completion, Room, WalRequest};
use raft::{
    Brief, Entry, Envelope, Event, Index, LogId, MemberId, Membership, Message, Persist, ReadRound, RoleName, Term,
    Token,
};
use std::sync::Arc;

/// How soon what has found no room is tried again, as the daemon does.
pub(super) const ROOM_RETRY: Micros = 500 * MILLI;

/// One step of an engine, as far as it has been seen.
#[derive(Default)]
struct Step {
    /// The configuration in force before.
    before: Option<(Index, Arc<Membership>)>,
    /// What it was told of how far members are.
    beat: Option<Beat>,
    /// Where the engine stands after it.
    brief: Option<Brief>,
    /// Reads it has confirmed.
    reads: Vec<Token>,
}

impl World {
    /// Everything that one turn of a loop has come to.
    pub(super) fn perform(&mut self, slot: usize, effects: &mut Vec<Effect>) -> Verdict {
        let mut step = Step::default();
        // Only then is what the engine says now what the loop decided by.
        let untold = !effects.iter().any(|effect| matches!(effect, Effect::Told { .. }));
        for effect in effects.drain(..) {
            match effect {
                Effect::Told { number, words, read, beat } => {
                    self.step_ends(slot, std::mem::take(&mut step))?;
                    let member = &mut self.members[slot];
                    let id = member.id;
                    self.trace.note(self.now, id.0 << 16 ^ number, || format!("{id} ← {words}"));
                    member.asked.extend(read.map(|token| (token, self.report.steps)));
                    self.report.steps += 1;
                    step.beat = beat;
                    step.before = member.disk.live.memberships().last().cloned();
                }
                Effect::Said { brief, events, reads, round } => {
                    self.note_round(slot, round);
                    events.iter().try_for_each(|event| self.event(slot, event))?;
                    (step.brief, step.reads) = (Some(brief), reads);
                }
                Effect::Log(request) => self.write(slot, request, untold)?,
                Effect::Read(ask) => self.ask_log(slot, ask),
                Effect::Apply(entries) => self.hand_over(slot, entries)?,
                Effect::Switch(switch) => self.switch_asked(slot, switch)?,
                Effect::Fetch(at_least) => self.fetch(slot, at_least),
            }
        }
        self.step_ends(slot, step)
    }

    /// What must hold when everything that came of a step is known.
    fn step_ends(&mut self, slot: usize, step: Step) -> Verdict {
        let Some(brief) = step.brief else { return Ok(()) };
        self.claim(slot, brief.commit)?;
        if let Some(beat) = step.beat.filter(|beat| (brief.leader, brief.term) == (Some(beat.from), beat.term)) {
            self.members[slot].told = beat.reached.into_iter().collect();
        }
        if let Some((at, membership)) = &step.before {
            self.reconfigured(slot, (*at, &**membership), brief.commit)?;
            self.heal_for_change(slot, *at);
        }
        step.reads.into_iter().try_for_each(|token| self.check_round(slot, token))
    }

    fn note_round(&mut self, slot: usize, round: Option<ReadRound>) {
        let member = &mut self.members[slot];
        if let Some(round) = round.filter(|round| *round != member.round.0) {
            member.round = (round, self.report.steps);
        }
    }

    /// A leader that confirms a read has begun to ask the others after the read came, unless it decides alone.
    fn check_round(&mut self, slot: usize, token: Token) -> Verdict {
        let member = &mut self.members[slot];
        let Some(asked) = member.asked.remove(&token) else { return Ok(()) };
        let Some((_, membership)) = member.disk.live.memberships().last().filter(|_| member.leading.is_some()) else {
            return Ok(());
        };
        let alone = is_quorum(membership, |voter| voter == member.id);
        let (round, began) = member.round;
        ensure("S9", alone || began > asked, || {
            format!("{} confirms a read that came after step {asked} by {round:?}, begun in step {began}", member.id)
        })
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
                member.elected = member.clock.now(self.now);
                member.round = (ReadRound(0), self.report.steps);
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
            Event::Regressed { peer, .. } if self.has_forgotten(*peer) => {
                self.report.reach("a lying disk was found out");
            }
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
        ledger.elected(id, term, log)
    }

    /// The log is asked for something.
    fn write(&mut self, slot: usize, request: WalRequest, alone: bool) -> Verdict {
        let mut appended: Vec<LogId> = Vec::new();
        let mut following = None;
        match &request {
            WalRequest::Persist(persist) => {
                self.persist(slot, persist)?;
                appended.extend(persist.append.iter().map(Entry::id));
            }
            WalRequest::Compact { through } => self.check_cut(slot, *through, alone)?,
            WalRequest::Reset { .. } => {
                let state = &self.members[slot].machine.state;
                following = Some((state.applied, state.membership.clone()));
            }
        }
        let member = &mut self.members[slot];
        let (id, now) = (member.id, member.clock.now(self.now).mono);
        member.appended.extend(appended.iter().map(|id| (id.index, (id.term, now))));
        member.disk.submit(request, following).map_err(|what| broken(format!("{id}: {what}")))?;
        for LogId { index, .. } in appended {
            self.ledger.appended(id, self.members[slot].disk.live.at(index).expect("just appended"))?;
        }
        self.flush(slot);
        Ok(())
    }

    fn persist(&mut self, slot: usize, persist: &Persist) -> Verdict {
        let member = &self.members[slot];
        let id = member.id;
        self.trace.note(self.now, persist.io.0, || format!("{id} → disk {}", describe_write(persist)));
        if let Some(state) = persist.hard_state {
            self.elections.hard_state(id, state)?;
        }
        self.ledger.write_begins(id, &member.disk.live, persist, member.leading)
    }

    /// What is cut off a log must be of no use any more.
    fn check_cut(&mut self, slot: usize, through: Index, alone: bool) -> Verdict {
        let member = &self.members[slot];
        let id = member.id;
        self.trace.note(self.now, through.0, || format!("{id} lets its log go through {through}"));
        let status = member.node.as_ref().map(|node| node.status(member.clock.now(self.now).mono));
        let status = status.filter(|_| alone && member.leading.is_some());
        retention::check(&Cut {
            member: id,
            through,
            durable: member.machine.checkpoint.applied.last.index,
            anchor: member.disk.reader().tail(self.swarm.retention.anchor_bytes),
            followers: status.as_ref().map(|status| &status.followers[..]).unwrap_or_default(),
            rules: &self.swarm.retention,
        })
    }

    /// A leader may just have appended a configuration.
    fn reconfigured(&self, slot: usize, before: (Index, &Membership), commit: Index) -> Verdict {
        let member = &self.members[slot];
        let Some(term) = member.leading else { return Ok(()) };
        if member.disk.live.memberships().last().is_none_or(|(at, _)| *at <= before.0) {
            return Ok(());
        }
        let Some((at, membership)) = member.disk.live.memberships().last() else { return Ok(()) };
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
        let Flushed { reported, failed, starved } = disk.end_flush();
        let room = if self.chance.disk.coin() || starved { disk.look_after() } else { None };
        if failed {
            self.report.reach("a write or a sync failed, the process ended");
            return self.fall(slot);
        }
        if starved {
            let id = self.members[slot].id;
            self.trace.note(self.now, id.0 << 24, || format!("{id} finds no room in its log, and waits"));
            self.report.reach("a write waited for room");
            self.later(slot, ROOM_RETRY, What::Retry);
        }
        self.flush(slot);
        for completion in reported {
            if let Completion::Compacted { start } = completion {
                let id = self.members[slot].id;
                self.trace.note(self.now, start.index.0, || format!("{id} has cut its log through {start}"));
                self.report.reach("log cut");
            }
            self.node(slot).into_iter().for_each(|node| node.log_done(&completion));
        }
        if let Some(room) = room {
            self.report.reach(if room == Room::Enough { "room again" } else { "no room for a segment" });
            self.node(slot).into_iter().for_each(|node| node.log_done(&Completion::Room(room)));
        }
        self.turn_soon(slot)
    }

    /// What a member takes for committed must be.
    fn claim(&mut self, slot: usize, commit: Index) -> Verdict {
        if commit <= self.members[slot].claimed {
            return Ok(());
        }
        let Self { members, ledger, .. } = self;
        members[slot].claimed = commit;
        let (id, log, leading) = (members[slot].id, &members[slot].disk.live, members[slot].leading);
        // The configuration before the last one may have counted: the last one can be younger than the commit.
        let configurations = || log.memberships().iter().rev().take(2);
        let durable = |base: Base| {
            // What one has forgotten it had when it said so, and its word may still be under way.
            let had = |member: &Member| member.forgot.is_some_and(|last| base.last.index <= last.index);
            let has = |id| by_id(members, id).is_some_and(|m| holds(&m.disk.durable, base) || had(m));
            configurations().any(|(_, membership)| is_quorum(membership, has))
        };
        ledger.claim(id, log, commit, leading, durable)
    }

    /// Sends what the loop has queued for its links.
    pub(super) fn send_all(&mut self, slot: usize) -> Verdict {
        let Some(node) = &self.members[slot].node else { return Ok(()) };
        let mut frames = std::mem::take(&mut self.frames);
        node.departing(|peer, lane, frame| frames.push((peer, lane, frame)));
        for (peer, lane, frame) in frames.drain(..) {
            let message = frames::look(&frame).map_err(|what| Violation { check: "codec", what })?;
            let kind = if message.is_some() { Kind::Consensus } else { Kind::Request };
            match &message {
                Some(envelope) => self.promise(slot, envelope)?,
                None => self.trace.note(self.now, peer.0, || format!("  a request to {peer}, {} bytes", frame.len())),
            }
            self.send(slot, (peer, lane, kind), &frame);
        }
        self.frames = frames;
        Ok(())
    }

    /// A message must not promise what the disk does not hold.
    fn promise(&mut self, slot: usize, envelope: &Envelope) -> Verdict {
        self.trace.note(self.now, envelope.to.0, || format!("  {envelope}"));
        let Member { id, disk, .. } = &self.members[slot];
        if stands_on_term(&envelope.message) {
            let durable = disk.durable.hard_state.term;
            ensure("S7", durable >= envelope.term, || format!("{id} sends {envelope}, its disk holds term {durable}"))?;
        }
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

    fn send(&mut self, slot: usize, (peer, lane, kind): (MemberId, Lane, Kind), frame: &Bytes) {
        let Some(to) = self.slot_of(peer).filter(|to| *to != slot) else { return };
        let Fate { first, again } = self.network.send(&mut self.chance.network, self.now, (slot, to), lane, kind);
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
        let (life, epoch) = (self.members[to].life, self.network.epoch(slot, to));
        for at in [first, again].into_iter().flatten() {
            self.queue
                .push(at, Happening::To { slot: to, life, what: What::Deliver(frame.clone(), slot, epoch, kind) });
        }
    }

    /// A member's disk has failed it: it ends, and starts again.
    pub(super) fn fall(&mut self, slot: usize) -> Verdict {
        self.end(slot, End::Process)?;
        self.restart_soon(slot);
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

/// Whether a message promises that its sender never goes back behind its term.
fn stands_on_term(message: &Message) -> bool {
    match message {
        Message::Vote { .. }
        | Message::VoteReply { .. }
        | Message::AppendAck(_)
        | Message::AppendReject(_)
        | Message::HeartbeatReply { .. }
        | Message::ReadIndexReply { .. } => true,
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::Append { .. }
        | Message::Commit { .. }
        | Message::Heartbeat { .. }
        | Message::ReadIndex { .. }
        | Message::TimeoutNow { .. }
        | Message::Snapshot { .. }
        | Message::Removed { .. } => false,
    }
}
