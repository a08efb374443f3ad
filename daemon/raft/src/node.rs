//! The only door: one member of a cluster, as a value that takes inputs and gives outputs.
//!
//! A step sorts the input by kind, a message also by term; the role handles it and says what becomes of itself; then
//! what has become due is done and the effects are collected. Terms are compared here and nowhere else.

use crate::boot::{Boot, Now};
use crate::config::Config;
use crate::core::Core;
use crate::input::{Input, Proposal, Token};
use crate::membership::Membership;
use crate::message::{Envelope, Message, Reject};
use crate::output::{Answer, Event, MembershipError, Output, ProposeError, ReadError, TransferError};
use crate::role::{Candidate, Follower, Leader, Next, Role};
use crate::status::{RoleName, Status};
use crate::stream::Beat;
use crate::types::{Index, LogId, MemberId, Term, Time};
use std::cmp::Ordering;

/// No peer is honestly that many elections ahead: the number would come from a broken or hostile one, and terms
/// must not run out.
const TERM_JUMP_MAX: u64 = 1 << 32;

/// One member.
#[derive(Debug)]
pub struct Raft {
    core: Core,
    role: Role,
}

impl Raft {
    /// A member as its disk remembers it, before anything has happened.
    ///
    /// # Panics
    /// When the boot image contradicts itself: a log that ends before it starts, an applied index outside of it,
    /// runs of terms that do not reach its end.
    #[must_use]
    pub fn new(config: Config, boot: Boot, now: Now) -> Self {
        let mut core = Core::new(config, boot, now);
        let role = Role::Follower(Follower::at_boot(&mut core));
        Self { core, role }
    }

    /// Takes one input and adds what it wants done to `out`, which the caller performs and empties before the next.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        self.core.now = Now { mono: now.mono.max(self.core.now.mono), wall_us: now.wall_us };
        let next = self.handle(input, out);
        self.enter(next, out);
        let next = match &mut self.role {
            Role::Leader(leader) => leader.settle(&mut self.core, out),
            Role::Follower(_) | Role::Candidate(_) => Next::Stay,
        };
        self.enter(next, out);
        self.settle_handover(out);
        self.core.finish(out);
    }

    fn handle(&mut self, input: Input, out: &mut Output) -> Next {
        let core = &mut self.core;
        match input {
            Input::Tick => match &mut self.role {
                Role::Follower(follower) => follower.on_tick(core, out),
                Role::Candidate(candidate) => candidate.on_tick(core),
                Role::Leader(leader) => leader.on_tick(core),
            },
            Input::Received(envelope) => self.receive(envelope, out),
            Input::Persisted(io) => {
                core.on_persisted(io, out);
                match &mut self.role {
                    Role::Follower(follower) => follower.on_persisted(core, out),
                    Role::Candidate(candidate) => return candidate.on_persisted(core),
                    Role::Leader(leader) => leader.on_persisted(),
                }
                Next::Stay
            }
            Input::Applied(index) => {
                core.applies.on_applied(index);
                Next::Stay
            }
            Input::Propose(proposals) => {
                self.propose(&proposals, out);
                Next::Stay
            }
            Input::Read(token) => {
                match &mut self.role {
                    Role::Follower(follower) => follower.on_read(core, token, out),
                    Role::Candidate(_) => out.answers.push(Answer::Read(token, Err(ReadError::NoLeader))),
                    Role::Leader(leader) => leader.on_read(core, token, out),
                }
                Next::Stay
            }
            Input::ChangeMembership { token, expected, changes } => {
                match &mut self.role {
                    Role::Leader(leader) => leader.on_change(core, token, expected, &changes, out),
                    Role::Follower(_) | Role::Candidate(_) => {
                        let error = MembershipError::NotLeader { leader: self.leader() };
                        out.answers.push(Answer::Membership(token, Err(error)));
                    }
                }
                Next::Stay
            }
            Input::TransferLeader { token, to } => {
                self.transfer(token, to, out);
                Next::Stay
            }
            Input::LinkUp { peer, link } => {
                let known = core.links.entry(peer).or_insert(link);
                *known = link.max(*known);
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_link_up(core, peer, link);
                }
                Next::Stay
            }
            Input::LinkDown { peer, link } => {
                if core.links.get(&peer) == Some(&link) {
                    core.links.remove(&peer);
                }
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_link_down(peer, link);
                }
                Next::Stay
            }
            Input::LogRead { peer, stream, result } => {
                if peer == core.id() {
                    core.applies.on_log_read(stream, result, &core.config, core.now.mono, out);
                } else if let Role::Leader(leader) = &mut self.role {
                    leader.on_log_read(core, peer, stream, result);
                }
                Next::Stay
            }
            Input::Compacted { through } => {
                core.log.compact(through);
                Next::Stay
            }
            Input::Installed { last, membership_at, membership } => {
                self.installed(last, membership_at, membership, out)
            }
            Input::DiskFull(full) => {
                core.disk_full = full;
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_disk_full(core);
                }
                Next::Stay
            }
        }
    }

    fn propose(&mut self, proposals: &[Proposal], out: &mut Output) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_propose(&mut self.core, proposals, out),
            Role::Follower(_) | Role::Candidate(_) => {
                let error = ProposeError::NotLeader { leader: self.leader() };
                out.answers.extend(proposals.iter().map(|p| Answer::Proposed(p.token, Err(error))));
            }
        }
    }

    fn transfer(&mut self, token: Token, to: Option<MemberId>, out: &mut Output) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_transfer(&self.core, token, to, out),
            Role::Follower(_) | Role::Candidate(_) => {
                let error = TransferError::NotLeader { leader: self.leader() };
                out.answers.push(Answer::Transfer(token, Err(error)));
            }
        }
    }

    fn installed(&mut self, last: LogId, at: Index, membership: Membership, out: &mut Output) -> Next {
        match &mut self.role {
            Role::Follower(follower) => {
                self.core.on_installed(last, at, membership, out);
                follower.on_installed(&mut self.core, last, out);
                Next::Stay
            }
            // A log that another leader's snapshot has replaced is no base for leading or standing.
            Role::Candidate(_) | Role::Leader(_) => {
                self.close(out);
                self.core.on_installed(last, at, membership, out);
                Next::Follow(None)
            }
        }
    }

    // Messages.

    fn receive(&mut self, envelope: Envelope, out: &mut Output) -> Next {
        let Envelope { from, to, term, message } = envelope;
        let mine = self.core.term();
        if to != self.core.id() || from == self.core.id() {
            self.core.refuse(from, "the message is addressed to another member", out);
            return Next::Stay;
        }
        if term.0 > mine.0.saturating_add(TERM_JUMP_MAX) {
            self.core.refuse(from, "the term is beyond belief", out);
            return Next::Stay;
        }
        match message {
            // It asks about a term nobody has entered, so terms are no grounds for anything yet.
            Message::PreVote { last } => self.on_pre_vote(from, term, last, out),
            Message::PreVoteReply { granted: true } => self.on_pre_vote_granted(from, term),
            // True in any term.
            Message::Removed { at } => self.on_removed(from, at, out),
            Message::Vote { transfer: false, .. } if term > mine && self.is_loyal() => self.tell_if_removed(from, out),
            message => match term.cmp(&mine) {
                Ordering::Less => self.on_stale(from, &message, out),
                Ordering::Equal => self.on_message(from, message, out),
                Ordering::Greater => {
                    let leader = message.is_from_leader().then_some(from);
                    self.follow(term, leader, out);
                    self.on_message(from, message, out)
                }
            },
        }
    }

    /// A message of an earlier term. Who asks learns the current one; answers to old questions mean nothing.
    fn on_stale(&mut self, from: MemberId, message: &Message, out: &mut Output) -> Next {
        let core = &mut self.core;
        let (applied, credit_bytes) = (core.applies.applied(), core.credit_bytes());
        let answer = match *message {
            Message::Vote { .. } => Message::VoteReply { granted: false },
            Message::ReadIndex { question } => Message::ReadIndexReply { question, index: None },
            Message::Append { stream, prev, .. } => {
                Message::AppendReject(Reject { stream, prev, last: core.log.last(), conflict: None })
            }
            Message::Heartbeat { stream, round, sent_at, .. } => {
                Message::HeartbeatReply { stream, round, echo: sent_at, applied, credit_bytes }
            }
            Message::PreVote { .. }
            | Message::Commit { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::AppendAck(_)
            | Message::AppendReject(_)
            | Message::HeartbeatReply { .. }
            | Message::ReadIndexReply { .. }
            | Message::TimeoutNow { .. }
            | Message::Snapshot { .. }
            | Message::Removed { .. } => return Next::Stay,
        };
        core.reply(from, answer, out);
        Next::Stay
    }

    /// A message of the current term.
    fn on_message(&mut self, from: MemberId, message: Message, out: &mut Output) -> Next {
        if message.is_from_leader() {
            return self.on_leader_message(from, message, out);
        }
        let core = &mut self.core;
        match (message, &mut self.role) {
            (Message::Vote { last, .. }, _) => return self.on_vote(from, last, out),
            (Message::VoteReply { granted }, Role::Candidate(candidate)) if !candidate.is_asking() => {
                return candidate.on_vote(core, from, granted);
            }
            (Message::PreVoteReply { granted }, Role::Candidate(candidate)) if candidate.is_asking() => {
                return candidate.on_vote(core, from, granted);
            }
            // A vote for an election that is over.
            (Message::VoteReply { .. } | Message::PreVoteReply { .. }, _) => {}
            (Message::AppendAck(ack), Role::Leader(leader)) => leader.on_ack(core, from, &ack),
            (Message::AppendReject(reject), Role::Leader(leader)) => leader.on_reject(core, from, &reject),
            (Message::HeartbeatReply { stream, round, echo, applied, credit_bytes }, Role::Leader(leader)) => {
                leader.on_heartbeat_reply(core, from, round, &Beat { stream, echo, applied, credit_bytes });
            }
            // For a leader that has stepped down within its term.
            (Message::AppendAck(_) | Message::AppendReject(_) | Message::HeartbeatReply { .. }, _) => {}
            (Message::ReadIndex { question }, Role::Leader(leader)) => {
                leader.on_read_index(core, from, question, out);
            }
            (Message::ReadIndex { question }, _) => {
                core.reply(from, Message::ReadIndexReply { question, index: None }, out);
            }
            (Message::ReadIndexReply { question, index }, Role::Follower(follower)) => {
                follower.on_read_index(core, question, index, out);
            }
            (Message::ReadIndexReply { .. }, _) => {}
            // Sorted out before: they have arms of their own above or in `receive`.
            (
                Message::PreVote { .. }
                | Message::Append { .. }
                | Message::Commit { .. }
                | Message::Heartbeat { .. }
                | Message::Snapshot { .. }
                | Message::TimeoutNow { .. }
                | Message::Removed { .. },
                _,
            ) => {}
        }
        Next::Stay
    }

    /// What only the leader of the term says. Hearing it makes a follower of anybody.
    fn on_leader_message(&mut self, from: MemberId, message: Message, out: &mut Output) -> Next {
        let known = self.leader();
        if known.is_some_and(|leader| leader != from) {
            self.core.refuse(from, "another member leads in this term", out);
            return Next::Stay;
        }
        if known.is_none() {
            self.follow(self.core.term(), Some(from), out);
        }
        let (core, Role::Follower(follower)) = (&mut self.core, &mut self.role) else { return Next::Stay };
        follower.on_leader(core, message.stream());
        match message {
            Message::Append { prev, entries, commit, .. } => follower.on_append(core, prev, entries, commit, out),
            Message::Commit { commit, .. } => follower.on_commit(core, commit, out),
            Message::Heartbeat { commit, round, sent_at, .. } => {
                follower.on_heartbeat(core, commit, round, sent_at, out);
            }
            Message::Snapshot { offer, .. } => follower.on_snapshot_offer(core, offer, out),
            Message::TimeoutNow { last } => return follower.on_timeout_now(core, last),
            _ => {}
        }
        Next::Stay
    }

    // Elections.

    /// A leader was heard lately, or this is one and it has a quorum: nobody else should be elected.
    fn is_loyal(&self) -> bool {
        match &self.role {
            Role::Follower(follower) => follower.is_loyal(&self.core),
            Role::Candidate(_) => false,
            Role::Leader(leader) => leader.has_quorum(&self.core),
        }
    }

    /// Would this member vote for `from` in `term`? Whoever asks is a voter in its own view, which may be newer than
    /// this member's: learners answer too (etcd #10998).
    fn on_pre_vote(&mut self, from: MemberId, term: Term, last: LogId, out: &mut Output) -> Next {
        self.tell_if_removed(from, out);
        let granted = term > self.core.term() && !self.is_loyal() && last >= self.core.log.last();
        if granted {
            // The reply carries the term asked about: it is a promise about that one only.
            let envelope =
                Envelope { from: self.core.id(), to: from, term, message: Message::PreVoteReply { granted } };
            self.core.writes.send_after_hard_state(envelope, out);
        } else {
            self.core.reply(from, Message::PreVoteReply { granted }, out);
        }
        Next::Stay
    }

    fn on_pre_vote_granted(&mut self, from: MemberId, term: Term) -> Next {
        match &mut self.role {
            Role::Candidate(candidate) if candidate.is_asking() && term == self.core.term().next() => {
                candidate.on_vote(&self.core, from, true)
            }
            // An answer to a question asked in another term.
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => Next::Stay,
        }
    }

    fn on_vote(&mut self, from: MemberId, last: LogId, out: &mut Output) -> Next {
        let core = &mut self.core;
        let free = core.vote().is_none_or(|given| given == from);
        let granted = free && last >= core.log.last() && self.leader().is_none();
        let core = &mut self.core;
        if granted {
            if core.vote().is_none() {
                core.enter_term(core.term(), Some(from));
            }
            if let Role::Follower(follower) = &mut self.role {
                follower.on_vote_granted(core);
            }
        }
        core.reply(from, Message::VoteReply { granted }, out);
        Next::Stay
    }

    fn tell_if_removed(&mut self, from: MemberId, out: &mut Output) -> Next {
        if let Some(at) = self.core.removal_of(from) {
            self.core.reply(from, Message::Removed { at }, out);
        }
        Next::Stay
    }

    fn on_removed(&mut self, from: MemberId, at: Index, out: &mut Output) -> Next {
        if !self.core.membership().is_member(from) && self.leader() != Some(from) {
            self.core.refuse(from, "a stranger speaks of removal", out);
            return Next::Stay;
        }
        self.core.on_removed(at, out);
        match &self.role {
            Role::Candidate(_) if !self.core.may_campaign() => Next::Follow(None),
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => Next::Stay,
        }
    }

    // Changes of role.

    fn enter(&mut self, next: Next, out: &mut Output) {
        let mut next = next;
        // Alone, a member goes from asking to leading without hearing from anybody.
        while next != Next::Stay {
            next = self.enter_once(next, out);
        }
    }

    fn enter_once(&mut self, next: Next, out: &mut Output) -> Next {
        match next {
            Next::Stay => Next::Stay,
            Next::Follow(leader) => {
                self.follow(self.core.term(), leader, out);
                Next::Stay
            }
            Next::PreCampaign => {
                self.close(out);
                out.events.push(Event::PreCandidate { term: self.core.term().next() });
                let (candidate, next) = Candidate::ask(&mut self.core, out);
                self.role = Role::Candidate(candidate);
                next
            }
            Next::Campaign { transfer } => {
                self.close(out);
                let (term, me) = (self.core.term().next(), self.core.id());
                self.core.enter_term(term, Some(me));
                out.events.push(Event::Candidate { term });
                self.role = Role::Candidate(Candidate::stand(&mut self.core, transfer, out));
                Next::Stay
            }
            Next::Lead => {
                self.role = Role::Leader(Box::new(Leader::new(&mut self.core, out)));
                Next::Stay
            }
        }
    }

    /// Becomes a follower, in this term or a later one.
    fn follow(&mut self, term: Term, leader: Option<MemberId>, out: &mut Output) {
        self.close(out);
        let same_term = term == self.core.term();
        if !same_term {
            self.core.enter_term(term, None);
        }
        let mut follower = Follower::new(&mut self.core, leader);
        if let Role::Follower(before) = &self.role {
            follower.keep_from(before, same_term);
        }
        self.role = Role::Follower(follower);
        out.events.push(Event::Following { term, leader });
    }

    /// Whoever waits for something that ends with the role is told.
    fn close(&mut self, out: &mut Output) {
        match &mut self.role {
            Role::Follower(follower) => follower.close(out),
            Role::Candidate(_) => {}
            Role::Leader(leader) => leader.close(&mut self.core, out),
        }
    }

    /// Whoever handed leadership over learns who has it now, or that nobody took it in time.
    fn settle_handover(&mut self, out: &mut Output) {
        let Some((token, until)) = self.core.handover else { return };
        let result = match self.leader() {
            Some(leader) => Ok(leader),
            None if self.core.now.mono >= until => Err(TransferError::TimedOut),
            None => return,
        };
        self.core.handover = None;
        out.answers.push(Answer::Transfer(token, result));
    }

    // What it shows.

    /// When [`Input::Tick`] is due next, if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let role = match &self.role {
            Role::Follower(follower) => follower.deadline(),
            Role::Candidate(candidate) => candidate.deadline(),
            Role::Leader(leader) => leader.deadline(),
        };
        let handover = self.core.handover.map(|(_, until)| until);
        [self.core.applies.deadline(), handover].into_iter().flatten().fold(role, Time::min)
    }

    fn leader(&self) -> Option<MemberId> {
        match &self.role {
            Role::Follower(follower) => follower.leader(),
            Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.core.id()),
        }
    }

    fn role_name(&self) -> RoleName {
        match &self.role {
            Role::Follower(_) if self.core.membership().is_voter(self.core.id()) => RoleName::Follower,
            Role::Follower(_) => RoleName::Learner,
            Role::Candidate(candidate) if candidate.is_asking() => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// The member's view of itself and, while it leads, of its followers.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        let core = &self.core;
        let leading = match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::Candidate(_) => None,
        };
        Status {
            id: core.id(),
            term: core.term(),
            role: self.role_name(),
            leader: self.leader(),
            last: core.log.last(),
            durable: core.log.durable(),
            commit: core.commit(),
            applied: core.applies.applied(),
            first: core.log.first(),
            membership_at: core.memberships.at(),
            membership_committed: core.membership_committed(),
            transferring: leading.is_some_and(|leader| leader.is_transferring()),
            quorum_heard: leading.is_some_and(|leader| leader.has_quorum(core)),
            followers: leading.map_or_else(Vec::new, |leader| leader.followers(core, now)),
        }
    }

    /// The configuration in force and where it stands; it may not be committed yet.
    #[must_use]
    pub fn membership(&self) -> (Index, &Membership) {
        (self.core.memberships.at(), self.core.membership())
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
