//! Clients: they write and read registers, change the membership and move the leader, and remember what they were
//! told.
//!
//! A client sits at one member, its home, and may send its write to another one, as a follower does that passes a
//! write on; the home answers once it has applied the entry. A client whose home stops never learns the outcome.

use super::checks::configs::is_quorum;
use super::checks::history::Floor;
use super::checks::{Verdict, ensure};
use super::machine::KEYS;
use super::member::What;
use super::perform::by_id;
use super::swarm::Feature;
use super::world::{Event, World, broken, node_info};
use super::write::{Deed, Write};
use quorate::node::Outcome;
use raft::{
    Answer, Change, EntryKind, Input, MemberId, Membership, MembershipError, Proposal, ProposeError, ReadError,
    RoleName, Term, Token, TransferError,
};
use std::collections::BTreeMap;

/// Writes in one proposal, at most.
const BATCH_MAX: u64 = 8;
/// Of a hundred requests, how many go to whom a client takes for the leader.
const TO_LEADER: u64 = 80;

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Write { home: usize, life: u32, floor: Floor },
    Read { key: usize, floor: Floor },
    Change,
    Transfer,
}

/// Whom a request was sent to, in which of its lives; it answers each request once.
#[derive(Clone, Copy, Debug)]
struct Pending {
    slot: usize,
    life: u32,
    /// The step before it was asked.
    step: u64,
    asked: Asked,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    last_token: u64,
    /// Requests the engine has not answered.
    pending: BTreeMap<u64, Pending>,
    /// Writes and reads that have a place in the log and wait for it to be applied.
    placed: BTreeMap<u64, Asked>,
}

impl World {
    /// A client asks for something, and the next one will soon.
    pub(super) fn request(&mut self) -> Verdict {
        if self.quiet {
            return Ok(());
        }
        let wait = 1 + self.chance.client.exponential(self.swarm.request_mean);
        self.queue.push(self.now + wait, Event::Request);
        let slot = self.target();
        match self.chance.client.below(100) {
            0..60 => self.ask_write(slot),
            60..85 if self.swarm.does(Feature::Reads) => self.ask_read(),
            85..93 if self.swarm.does(Feature::Membership) && !self.calm => self.ask_change(slot),
            93..96 if self.swarm.does(Feature::Transfer) && !self.calm => self.ask_transfer(slot),
            _ => {}
        }
        self.check_lag()
    }

    /// Whom a client asks: mostly whoever leads in the latest term it can see.
    fn target(&mut self) -> usize {
        let leader = (0..self.members.len()).filter(|slot| self.members[*slot].leading.is_some());
        let leader = leader.max_by_key(|slot| self.members[*slot].leading);
        let random = self.random_slot();
        leader.filter(|_| self.chance.client.below(100) < TO_LEADER).unwrap_or(random)
    }

    fn random_slot(&mut self) -> usize {
        usize::try_from(self.chance.client.below(self.members.len() as u64)).expect("below a length")
    }

    fn token(&mut self, slot: usize, asked: Asked) -> Token {
        self.clients.last_token += 1;
        let token = self.clients.last_token;
        if self.members[slot].is_running() {
            self.clients
                .pending
                .insert(token, Pending { slot, life: self.members[slot].life, step: self.report.steps, asked });
        }
        Token(token)
    }

    /// One write or a batch of them, from a client at a random member.
    pub(super) fn ask_write(&mut self, slot: usize) {
        let home = if self.chance.client.coin() { slot } else { self.random_slot() };
        let most = if self.swarm.does(Feature::Batches) { BATCH_MAX } else { 1 };
        let count = self.chance.client.between(1, most);
        let asked = Asked::Write { home, life: self.members[home].life, floor: self.history.begin() };
        let proposals = (0..count)
            .map(|_| {
                let token = self.token(slot, asked);
                let key = u8::try_from(self.chance.client.below(KEYS as u64)).expect("a few keys");
                let padding = usize::try_from(self.chance.client.below(self.swarm.payload_max)).expect("small");
                let write = Write { id: token.0, key, deed: self.draw_deed() };
                let payload = write.encode(self.members[home].id, padding);
                Proposal { token, kind: EntryKind::Command, payload }
            })
            .collect();
        self.happen(slot, What::Ask(Box::new(Input::Propose(proposals))));
    }

    fn draw_deed(&mut self) -> Deed {
        match self.chance.client.below(20) {
            0..3 => Deed::Replace,
            3..5 => Deed::Delete,
            5 => Deed::Compact,
            _ => Deed::Put,
        }
    }

    fn ask_read(&mut self) {
        let slot = self.random_slot();
        let key = usize::try_from(self.chance.client.below(KEYS as u64)).expect("a few keys");
        let token = self.token(slot, Asked::Read { key, floor: self.history.begin() });
        self.happen(slot, What::Ask(Box::new(Input::Read(token))));
    }

    fn ask_transfer(&mut self, slot: usize) {
        let to = self.chance.client.coin().then(|| self.members[self.chance.client.pick_index(&self.members)].id);
        let token = self.token(slot, Asked::Transfer);
        self.happen(slot, What::Ask(Box::new(Input::TransferLeader { token, to })));
    }

    fn ask_change(&mut self, slot: usize) {
        let Some((at, membership)) = self.members[slot].disk.live.memberships().last().cloned() else { return };
        let changes = self.draw_changes(&membership);
        let expected = match self.chance.client.below(10) {
            0 => Some(at.next()),
            1..5 => Some(at),
            _ => None,
        };
        let token = self.token(slot, Asked::Change);
        self.happen(slot, What::Ask(Box::new(Input::ChangeMembership { token, expected, changes })));
    }

    fn draw_changes(&mut self, membership: &Membership) -> Vec<Change> {
        let voters: Vec<MemberId> = membership.voters.iter().copied().collect();
        let learners: Vec<MemberId> = membership.learners.iter().copied().collect();
        let count = if self.chance.client.below(4) == 0 { self.chance.client.between(2, 3) } else { 1 };
        (0..count).filter_map(|_| self.draw_change(&voters, &learners, membership)).collect()
    }

    fn draw_change(&mut self, voters: &[MemberId], learners: &[MemberId], membership: &Membership) -> Option<Change> {
        let removed: Vec<MemberId> = membership.removed.iter().copied().collect();
        Some(match self.chance.client.below(16) {
            0..4 => {
                let id = self.newcomer(membership)?;
                if self.chance.client.coin() {
                    Change::AddLearner(id, node_info(id))
                } else {
                    Change::AddVoter(id, node_info(id))
                }
            }
            4..9 => Change::Promote(*self.chance.client.pick(learners)?),
            9..11 => Change::Remove(*self.chance.client.pick(voters)?),
            11 => Change::Remove(*self.chance.client.pick(learners)?),
            12 => {
                let id = *self.chance.client.pick(voters)?;
                Change::AddLearner(id, node_info(id))
            }
            13 => {
                let id = *self.chance.client.pick(learners)?;
                Change::AddVoter(id, node_info(id))
            }
            14 => {
                let id = *self.chance.client.pick(&removed)?;
                Change::AddVoter(id, node_info(id))
            }
            _ => {
                let id = *self.chance.client.pick(voters)?;
                Change::Update(id, node_info(id))
            }
        })
    }

    /// A member that is not in the configuration yet: one that has been prepared for it already, or a new one.
    fn newcomer(&mut self, membership: &Membership) -> Option<MemberId> {
        let known = |id| membership.nodes.contains_key(&id) || membership.removed.contains(&id);
        let waiting = self.members.iter().find(|member| !known(member.id) && !member.removed).map(|member| member.id);
        if waiting.is_some() || !self.has_room() {
            return waiting;
        }
        let slot = self.add_member(None);
        self.queue.push(self.now, Event::Repair(super::world::Repair::Start(slot)));
        Some(self.members[slot].id)
    }

    /// The engine answers a request.
    pub(super) fn answer(&mut self, slot: usize, answer: &Answer) -> Verdict {
        let (Answer::Proposed(token, _)
        | Answer::Read(token, _)
        | Answer::Membership(token, _)
        | Answer::Transfer(token, _)) = answer;
        let member = &self.members[slot];
        let (id, life) = (member.id, member.life);
        self.trace.note(self.now, token.0, || format!("{id} → client {answer:?}"));
        let Some(pending) = self.clients.pending.remove(&token.0).filter(|p| (p.slot, p.life) == (slot, life)) else {
            return Err(broken(format!("{id} answers what it was not asked, or twice: {answer:?}")));
        };
        self.report.reach(outcome(answer));
        match (answer, pending.asked) {
            (Answer::Proposed(_, Ok(_)), asked @ Asked::Write { .. }) => {
                self.clients.placed.insert(token.0, asked);
            }
            (Answer::Proposed(_, Err(_)), Asked::Write { .. }) => self.history.refused(token.0),
            (Answer::Read(_, Ok(index)), asked @ Asked::Read { .. }) => {
                self.check_round(slot, pending.step)?;
                self.clients.placed.insert(token.0, asked);
                self.members[slot].reads.push((*index, token.0));
                self.serve_reads(slot)?;
            }
            (Answer::Read(_, Err(_)), Asked::Read { .. })
            | (Answer::Membership(..), Asked::Change)
            | (Answer::Transfer(..), Asked::Transfer) => {}
            (answer, asked) => return Err(broken(format!("{id} was asked {asked:?} and answers {answer:?}"))),
        }
        Ok(())
    }

    /// A member has applied requests that were made at it; their clients learn of it.
    pub(super) fn acknowledge(&mut self, slot: usize, outcomes: &[Outcome]) -> Verdict {
        let life = self.members[slot].life;
        for Outcome { sequence: id, applied } in outcomes {
            let at_home = |asked: &Asked| matches!(asked, Asked::Write { home, life: then, .. } if (*home, *then) == (slot, life));
            let asked = self.clients.placed.get(id).or(self.clients.pending.get(id).map(|p| &p.asked));
            if let Some(Asked::Write { floor, .. }) = asked.copied().filter(at_home) {
                self.clients.placed.remove(id);
                self.history.written(*id, floor, applied.index, &self.ledger)?;
                if let Ok(done) = &applied.outcome {
                    self.history.revised(applied.index, done.revision)?;
                }
            }
        }
        self.serve_reads(slot)
    }

    /// Reads whose index has been applied see the registers.
    pub(super) fn serve_reads(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        let at = member.machine.state.applied.last.index;
        let ready: Vec<u64> = member.reads.extract_if(.., |(index, _)| *index <= at).map(|(_, token)| token).collect();
        for token in ready {
            if let Some(Asked::Read { key, floor }) = self.clients.placed.remove(&token) {
                let found = self.members[slot].machine.read(key)?;
                self.history.read(key, found, floor, at, &self.ledger)?;
                self.report.reach("read served");
            }
        }
        Ok(())
    }

    /// A leader that confirms a read has begun to ask the others after the read came, unless it decides alone.
    fn check_round(&self, slot: usize, asked: u64) -> Verdict {
        let member = &self.members[slot];
        let Some(raft) = member.raft.as_ref().filter(|_| member.leading.is_some()) else { return Ok(()) };
        let alone = is_quorum(raft.membership().1, |voter| voter == member.id);
        let (round, began) = member.round;
        ensure("S9", alone || began > asked, || {
            format!("{} confirms a read that came after step {asked} by {round:?}, begun in step {began}", member.id)
        })
    }

    /// Nobody who still runs owes an answer.
    pub(super) fn check_answered(&self) -> Verdict {
        let owed = self.clients.pending.iter().find(|(_, pending)| {
            let member = &self.members[pending.slot];
            member.is_running() && member.life == pending.life
        });
        ensure("answers", owed.is_none(), || format!("a request was never answered: {owed:?}"))
    }

    /// What leaders say of their followers, held against the disks.
    pub(super) fn check_lag(&self) -> Verdict {
        let current: Option<Term> = self.members.iter().filter_map(|member| member.leading).max();
        for member in self.members.iter().filter(|member| member.leading.is_some() && member.leading == current) {
            let Some(raft) = member.raft.as_ref().filter(|_| !member.paused && member.installing.is_none()) else {
                continue;
            };
            let status = raft.status(member.clock.now(self.now).mono);
            ensure("S15", status.role == RoleName::Leader, || format!("{} is {:?}", member.id, status.role))?;
            for said in &status.followers {
                // One that has gone on to a later term may have taken back what it acknowledged.
                let follower = by_id(&self.members, said.member);
                if let Some(follower) = follower.filter(|follower| follower.disk.live.hard_state.term <= status.term) {
                    super::checks::lag::check(&member.disk.live, &follower.disk.durable, said)?;
                }
            }
        }
        Ok(())
    }
}

/// The place an answer reaches.
fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Proposed(_, Ok(_)) => "proposed",
        Answer::Proposed(_, Err(ProposeError::NotLeader { .. })) => "propose refused: not leader",
        Answer::Proposed(_, Err(ProposeError::Busy)) => "propose refused: busy",
        Answer::Proposed(_, Err(ProposeError::Transferring)) => "propose refused: transferring",
        Answer::Proposed(_, Err(ProposeError::NoQuorum)) => "propose refused: no quorum",
        Answer::Proposed(_, Err(ProposeError::DiskFull)) => "propose refused: disk full",
        Answer::Read(_, Ok(_)) => "read confirmed",
        Answer::Read(_, Err(ReadError::NoLeader)) => "read refused: no leader",
        Answer::Read(_, Err(ReadError::Unconfirmed)) => "read refused: unconfirmed",
        Answer::Membership(_, Ok(_)) => "membership changed",
        Answer::Membership(_, Err(error)) => refusal(error),
        Answer::Transfer(_, Ok(_)) => "transferred",
        Answer::Transfer(_, Err(TransferError::NotLeader { .. })) => "transfer refused: not leader",
        Answer::Transfer(_, Err(TransferError::NotVoter(_))) => "transfer refused: not a voter",
        Answer::Transfer(_, Err(TransferError::NoTarget)) => "transfer refused: no target",
        Answer::Transfer(_, Err(TransferError::InProgress)) => "transfer refused: in progress",
        Answer::Transfer(_, Err(TransferError::TimedOut)) => "transfer refused: timed out",
    }
}

fn refusal(error: &MembershipError) -> &'static str {
    match error {
        MembershipError::NotLeader { .. } => "change refused: not leader",
        MembershipError::InProgress { .. } => "change refused: in progress",
        MembershipError::Outdated { .. } => "change refused: outdated",
        MembershipError::Transferring => "change refused: transferring",
        MembershipError::TooEarly => "change refused: too early",
        MembershipError::Unknown(_) => "change refused: unknown",
        MembershipError::Exists(_) => "change refused: exists",
        MembershipError::Tombstoned(_) => "change refused: tombstoned",
        MembershipError::NotLearner(_) => "change refused: not a learner",
        MembershipError::Lagging { .. } => "change refused: lagging",
        MembershipError::NoVoters => "change refused: no voters",
        MembershipError::Lost => "change lost",
    }
}
