//! Clients: they write and read registers, change the membership and move the leader, and remember what they were
//! told.
//!
//! A client sits at one member and asks its handle, as the services of the daemon do. The member passes on what another
//! one must do. A client whose member stops never learns the outcome.

use super::checks::history::Floor;
use super::checks::lag::Reign;
use super::checks::{Verdict, ensure, lag};
use super::machine::KEYS;
use super::member::{Answered, Member};
use super::perform::by_id;
use super::swarm::Feature;
use super::world::{Event, Repair, World, info_of};
use super::write::{Deed, Write};
use bytes::Bytes;
use mvcc::Revision;
use quorate::node::driven::Driven;
use quorate::node::{Applied, ChangeFailure, Handle, ProposeFailure, ReadFailure, TransferFailure};
use raft::{Change, Index, MemberId, Membership, MembershipError, RoleName, Term, TransferError};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Writes that a client asks for at once, at most.
const BATCH_MAX: u64 = 8;
/// Of a hundred requests, how many go to whom a client takes for the leader.
const TO_LEADER: u64 = 60;
/// What an entry has around the value of a write, or without one: a configuration names a handful of members.
const AROUND_BYTES_MAX: u64 = 8 << 10;

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Write { sequence: u64, floor: Floor },
    Read { key: usize, floor: Floor },
    Change,
    Transfer { from: Option<MemberId> },
}

/// What comes of it.
enum Reply {
    Write(Result<Applied, ProposeFailure>),
    Read(Result<(), ReadFailure>),
    Change(Result<Index, ChangeFailure>),
    Transfer(Result<MemberId, TransferFailure>),
}

/// A request, and the call that will bring its reply.
struct Pending {
    asked: Asked,
    call: Pin<Box<dyn Future<Output = Reply>>>,
}

/// All clients.
#[derive(Default)]
pub struct Clients {
    last: u64,
    /// What has no reply yet, by the slot of the member that was asked.
    pending: BTreeMap<(usize, u64), Pending>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("last", &self.last).field("pending", &self.pending.len()).finish()
    }
}

impl Clients {
    /// A process has ended, and nobody will ever hear of it.
    pub fn forget(&mut self, slot: usize) {
        self.pending.retain(|(at, _), _| *at != slot);
    }

    /// Looks at the calls to one member, and takes out those that have their reply.
    fn replies(&mut self, slot: usize, answered: &Arc<Answered>) -> Vec<(Asked, Reply)> {
        let waker = Waker::from(Arc::clone(answered));
        let mut context = Context::from_waker(&waker);
        let mut ready = Vec::new();
        for (id, Pending { asked, call }) in self.pending.range_mut((slot, 0)..=(slot, u64::MAX)) {
            if let Poll::Ready(reply) = call.as_mut().poll(&mut context) {
                ready.push((*id, *asked, reply));
            }
        }
        ready
            .into_iter()
            .map(|(id, asked, reply)| {
                self.pending.remove(&id);
                (asked, reply)
            })
            .collect()
    }

    fn ask(&mut self, slot: usize, asked: Asked, call: impl Future<Output = Reply> + 'static) {
        self.last += 1;
        self.pending.insert((slot, self.last), Pending { asked, call: Box::pin(call) });
    }
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
            0..60 => self.ask_write(slot)?,
            60..85 if self.swarm.does(Feature::Reads) => self.ask_read()?,
            85..93 if self.swarm.does(Feature::Membership) && !self.calm && !self.is_truce() => {
                self.ask_change(slot)?;
            }
            93..96 if self.swarm.does(Feature::Transfer) && !self.calm && !self.is_truce() => {
                self.ask_transfer(slot)?;
            }
            _ => {}
        }
        self.check_lag()
    }

    /// Whom a client asks: mostly whoever leads in the latest term it can see.
    fn target(&mut self) -> usize {
        let random = self.random_slot();
        self.leader().filter(|_| self.chance.client.below(100) < TO_LEADER).unwrap_or(random)
    }

    /// Whoever leads in the latest term.
    fn leader(&self) -> Option<usize> {
        let leaders = (0..self.members.len()).filter(|slot| self.members[*slot].leading.is_some());
        leaders.max_by_key(|slot| self.members[*slot].leading)
    }

    fn random_slot(&mut self) -> usize {
        usize::try_from(self.chance.client.below(self.members.len() as u64)).expect("below a length")
    }

    /// Lets a client ask the member at a slot, if its process is there.
    fn ask<F>(&mut self, slot: usize, asked: Asked, call: impl FnOnce(Handle) -> F)
    where
        F: Future<Output = Reply> + 'static,
    {
        let Some(handle) = self.node(slot).map(|node| node.handle().clone()) else { return };
        self.clients.ask(slot, asked, call(handle));
        // A call begins when it is looked at.
        self.members[slot].answered.wake_by_ref();
    }

    /// The requests reach the member.
    fn asked(&mut self, slot: usize) -> Verdict {
        self.hear(slot)?;
        self.turn_soon(slot)
    }

    /// One write or a batch of them.
    pub(super) fn ask_write(&mut self, slot: usize) -> Verdict {
        let most = if self.swarm.does(Feature::Batches) { BATCH_MAX } else { 1 };
        for _ in 0..self.chance.client.between(1, most) {
            let Some(sequence) = self.node(slot).map(Driven::next_sequence) else { return Ok(()) };
            let key = u8::try_from(self.chance.client.below(KEYS as u64)).expect("a few keys");
            let padding = usize::try_from(self.chance.client.below(self.swarm.payload_max)).expect("small");
            let write = Write { id: sequence, key, deed: self.draw_deed() };
            // About half of the history stays; what was compacted already is refused, by everybody.
            let oldest = Revision(i64::try_from(self.history.acknowledged() / 2).unwrap_or(i64::MAX));
            let body = write.body(padding, oldest);
            let asked = Asked::Write { sequence, floor: self.history.begin() };
            self.ask(slot, asked, |handle| async move { Reply::Write(handle.propose(body).await) });
            // Its number is taken when it is looked at.
            self.hear(slot)?;
        }
        self.asked(slot)
    }

    fn draw_deed(&mut self) -> Deed {
        match self.chance.client.below(20) {
            0..3 => Deed::Replace,
            3..5 => Deed::Delete,
            5 => Deed::Compact,
            6 => Deed::LookBack,
            _ => Deed::Put,
        }
    }

    fn ask_read(&mut self) -> Verdict {
        let slot = self.random_slot();
        let key = usize::try_from(self.chance.client.below(KEYS as u64)).expect("a few keys");
        let asked = Asked::Read { key, floor: self.history.begin() };
        self.ask(slot, asked, |handle| async move { Reply::Read(handle.linearize().await) });
        self.asked(slot)
    }

    fn ask_transfer(&mut self, slot: usize) -> Verdict {
        let to = self.chance.client.coin().then(|| self.members[self.chance.client.pick_index(&self.members)].id);
        let from = self.leader().map(|leader| self.members[leader].id);
        self.ask(
            slot,
            Asked::Transfer { from },
            |handle| async move { Reply::Transfer(handle.transfer_leader(to).await) },
        );
        self.asked(slot)
    }

    fn ask_change(&mut self, slot: usize) -> Verdict {
        let Some((at, membership)) = self.members[slot].disk.live.memberships().last().cloned() else { return Ok(()) };
        let changes = self.draw_changes(&membership);
        let expected = match self.chance.client.below(10) {
            0 => Some(at.next()),
            1..5 => Some(at),
            _ => None,
        };
        let change = |handle: Handle| async move { Reply::Change(handle.change_membership(expected, changes).await) };
        self.ask(slot, Asked::Change, change);
        self.asked(slot)
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
                let (id, is_new) = self.newcomer(membership)?;
                let votes = !self.chance.client.coin();
                return self.add(id, is_new, votes);
            }
            4..9 => Change::Promote(*self.chance.client.pick(learners)?),
            9..11 => Change::Remove(*self.chance.client.pick(voters)?),
            11 => Change::Remove(*self.chance.client.pick(learners)?),
            12 => {
                let id = *self.chance.client.pick(voters)?;
                Change::AddLearner(id, self.described(id))
            }
            13 => {
                let id = *self.chance.client.pick(learners)?;
                Change::AddVoter(id, self.described(id))
            }
            14 => {
                let id = *self.chance.client.pick(&removed)?;
                Change::AddVoter(id, self.described(id))
            }
            _ => {
                let id = *self.chance.client.pick(voters)?;
                Change::Update(id, self.described(id))
            }
        })
    }

    /// A newcomer that votes from the beginning is bound to its disk from the beginning: it may have to acknowledge its
    /// own addition. One that learns at first asks for that when it is added.
    fn add(&mut self, id: MemberId, is_new: bool, votes: bool) -> Option<Change> {
        let slot = self.slot_of(id)?;
        match votes {
            false if is_new => self.begin_to_join(slot),
            true if is_new => self.queue.push(self.now, Event::Repair(Repair::Start(slot))),
            true if self.members[slot].known_storage().is_none() => return None,
            _ => {}
        }
        let described = self.described(id);
        Some(if votes { Change::AddVoter(id, described) } else { Change::AddLearner(id, described) })
    }

    /// How a configuration describes a member, with the disk that it is known to be bound to.
    fn described(&self, id: MemberId) -> Bytes {
        let storage = self.slot_of(id).and_then(|slot| self.members[slot].known_storage());
        info_of(id, storage).encode()
    }

    /// A member that is not in the configuration yet, and whether it is a new one: if not, it has been prepared for it.
    fn newcomer(&mut self, membership: &Membership) -> Option<(MemberId, bool)> {
        let known = |id| membership.nodes.contains_key(&id) || membership.removed.contains(&id);
        let waiting = self.members.iter().find(|member| !known(member.id) && !member.removed).map(|member| member.id);
        if waiting.is_some() || !self.has_room() {
            return waiting.map(|id| (id, false));
        }
        let slot = self.add_member(None);
        Some((self.members[slot].id, true))
    }

    /// Clients of a member hear what has come of their requests.
    pub(super) fn hear(&mut self, slot: usize) -> Verdict {
        let answered = Arc::clone(&self.members[slot].answered);
        if !answered.take() {
            return Ok(());
        }
        for (asked, reply) in self.clients.replies(slot, &answered) {
            let id = self.members[slot].id;
            self.trace.note(self.now, id.0 << 48, || format!("{id} → client {asked:?}: {}", outcome(asked, &reply)));
            self.report.reach(outcome(asked, &reply));
            self.told(slot, asked, reply)?;
        }
        Ok(())
    }

    fn told(&mut self, slot: usize, asked: Asked, reply: Reply) -> Verdict {
        match (asked, reply) {
            (Asked::Write { sequence, floor }, Reply::Write(Ok(Applied { outcome, index, .. }))) => {
                self.history.written(sequence, floor, index, &self.ledger)?;
                outcome.map_or(Ok(()), |done| self.history.revised(index, done.revision))
            }
            (Asked::Write { sequence, .. }, Reply::Write(Err(failure))) => {
                if is_final(failure) {
                    self.history.refused(sequence);
                }
                Ok(())
            }
            (Asked::Read { key, floor }, Reply::Read(Ok(()))) => {
                let machine = &self.members[slot].machine;
                let at = machine.state.applied.last.index;
                self.history.read(key, machine.read(key)?, floor, at, &self.ledger)
            }
            (Asked::Change, Reply::Change(Ok(at))) => {
                let last = self.ledger.last().last;
                ensure("S8", at <= last.index, || format!("a change at {at} is said to be done, committed is {last}"))
            }
            (Asked::Transfer { .. }, _) => {
                self.transfers_in_calm += u64::from(self.calm);
                Ok(())
            }
            // Nothing has changed, or nobody knows.
            _ => Ok(()),
        }
    }

    /// Nobody who still runs owes an answer.
    pub(super) fn check_answered(&self) -> Verdict {
        let owed = self.clients.pending.iter().find(|((slot, _), _)| self.members[*slot].is_running());
        ensure("answers", owed.is_none(), || {
            format!("a request was never answered: {:?}", owed.map(|(at, pending)| (at, pending.asked)))
        })
    }

    /// Where a leader may take a follower to be that it has not heard.
    pub(super) fn known_of(&self, leader: &Member, follower: MemberId) -> RangeInclusive<Index> {
        leader.told.get(&follower).copied().unwrap_or_default()..=self.ledger.last().last.index
    }

    /// What is known of a leader that leads in `term`.
    fn reign_of<'a>(&self, leader: &'a Member, term: Term) -> Reign<'a> {
        let now = leader.clock.now(self.now).mono;
        Reign { log: &leader.disk.live, term, appended: &leader.appended, elected: leader.elected, now }
    }

    /// What leaders say of their followers, held against the disks and against when entries came.
    pub(super) fn check_lag(&self) -> Verdict {
        let current: Option<Term> = self.members.iter().filter_map(|member| member.leading).max();
        for member in self.members.iter().filter(|member| member.leading.is_some() && member.leading == current) {
            let Some(node) = member.node.as_ref().filter(|_| !member.paused) else { continue };
            let status = node.status(member.clock.now(self.now).mono);
            ensure("S15", status.role == RoleName::Leader, || format!("{} is {:?}", member.id, status.role))?;
            let configurations = member.disk.live.memberships();
            lag::check_complete(member.id, configurations, status.commit, &status.followers)?;
            for said in &status.followers {
                lag::check_age(&self.reign_of(member, status.term), said)?;
                super::checks::bounds::check(&self.swarm.config, self.swarm.payload_max + AROUND_BYTES_MAX, said)?;
                // One that has gone on to a later term may have taken back what it acknowledged.
                let follower = by_id(&self.members, said.member).filter(|follower| follower.forgot.is_none());
                if let Some(follower) = follower.filter(|follower| follower.disk.live.hard_state.term <= status.term) {
                    let known = self.known_of(member, said.member);
                    lag::check(&member.disk.live, &follower.disk.durable, &known, said)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a client that hears this may rely on its write never taking effect.
fn is_final(failure: ProposeFailure) -> bool {
    match failure {
        ProposeFailure::NoLeader
        | ProposeFailure::LeaderChanged
        | ProposeFailure::TooManyRequests
        | ProposeFailure::NoSpace
        | ProposeFailure::TooLarge { .. } => true,
        ProposeFailure::TimedOut | ProposeFailure::TimedOutLeaderChanged | ProposeFailure::Stopped => false,
    }
}

/// The place a reply reaches.
fn outcome(asked: Asked, reply: &Reply) -> &'static str {
    let led = if let Asked::Transfer { from } = asked { from } else { None };
    match reply {
        Reply::Write(Ok(_)) => "written",
        Reply::Write(Err(failure)) => match failure {
            ProposeFailure::NoLeader => "write failed: no leader",
            ProposeFailure::LeaderChanged => "write failed: leader changed",
            ProposeFailure::TooManyRequests => "write failed: too many requests",
            ProposeFailure::NoSpace => "write failed: no space",
            ProposeFailure::TooLarge { .. } => "write failed: too large",
            ProposeFailure::TimedOut => "write failed: timed out",
            ProposeFailure::TimedOutLeaderChanged => "write failed: timed out, leader changed",
            ProposeFailure::Stopped => "write failed: stopped",
        },
        Reply::Read(Ok(())) => "read served",
        Reply::Read(Err(ReadFailure::NoLeader)) => "read failed: no leader",
        Reply::Read(Err(ReadFailure::TimedOut)) => "read failed: timed out",
        Reply::Read(Err(ReadFailure::TooManyRequests | ReadFailure::Stopped)) => "read failed: not taken",
        Reply::Change(Ok(_)) => "membership changed",
        Reply::Change(Err(ChangeFailure::Refused(error))) => refusal(error),
        Reply::Change(Err(ChangeFailure::NoLeader)) => "change failed: no leader",
        Reply::Change(Err(ChangeFailure::TimedOut)) => "change failed: timed out",
        Reply::Change(Err(ChangeFailure::Stopped)) => "change failed: stopped",
        Reply::Transfer(Ok(leader)) if Some(*leader) == led => "transferred to whoever led",
        Reply::Transfer(Ok(_)) => "transferred",
        Reply::Transfer(Err(TransferFailure::Refused(TransferError::NotLeader { .. }))) => {
            "transfer refused: not leader"
        }
        Reply::Transfer(Err(TransferFailure::Refused(TransferError::NotVoter(_)))) => "transfer refused: not a voter",
        Reply::Transfer(Err(TransferFailure::Refused(TransferError::NoTarget))) => "transfer refused: no target",
        Reply::Transfer(Err(TransferFailure::Refused(TransferError::InProgress))) => "transfer refused: in progress",
        Reply::Transfer(Err(TransferFailure::Refused(TransferError::TimedOut))) => "transfer refused: timed out",
        Reply::Transfer(Err(TransferFailure::NoLeader)) => "transfer failed: no leader",
        Reply::Transfer(Err(TransferFailure::TimedOut)) => "transfer failed: timed out",
        Reply::Transfer(Err(TransferFailure::Stopped)) => "transfer failed: stopped",
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
