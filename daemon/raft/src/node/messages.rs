//! What peers say, sorted by term and then by who it concerns. Terms are compared here and nowhere else.

use super::Raft;
use crate::message::{Envelope, Message, Reject};
use crate::output::Output;
use crate::role::{Next, Role};
use crate::stream::Beat;
use crate::types::{Index, LogId, MemberId, ReadRound, StreamId, Term};
use std::cmp::Ordering;

/// No peer is honestly that many elections ahead: the number would come from a broken or hostile one, and terms
/// must not run out.
const TERM_JUMP_MAX: u64 = 1 << 32;

impl Raft {
    pub(super) fn receive(&mut self, envelope: Envelope, out: &mut Output) -> Next {
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
    ///
    /// An answer carries the current term, which the asker may lead by then: after a restart with streams and rounds that
    /// are numbered as before. It names none of them, or it would pass for the answer to a question that nobody was
    /// asked: a refusal of entries that are here, or the confirmation of a read.
    fn on_stale(&mut self, from: MemberId, message: &Message, out: &mut Output) -> Next {
        let core = &mut self.core;
        let (applied, credit_bytes, stream) = (core.applies.applied(), core.credit_bytes(), StreamId::NONE);
        let answer = match *message {
            Message::Vote { .. } => Message::VoteReply { granted: false },
            Message::ReadIndex { question } => Message::ReadIndexReply { question, index: None },
            Message::Append { prev, .. } => {
                Message::AppendReject(Reject { stream, prev, last: core.log.last(), conflict: None })
            }
            Message::Heartbeat { sent_at, .. } => {
                let round = ReadRound::default();
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
            Message::Heartbeat { commit, round, sent_at, reached, .. } => {
                follower.on_heartbeat(core, commit, round, sent_at, reached, out);
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
}
