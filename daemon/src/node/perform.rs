//! Performing what the engine wants done, in one visible order: send, persist, apply, read back, answer, tell.
//! Whoever asks "when does it sync?" finds the answer here: after it has been sent to the followers.

use super::waiters::Place;
use super::{Applied, Node, ProposeFailure};
use crate::transport::{CallReply, NotTaken, NotTakenReason};
use crate::wal::WalRequest;
use admin_api::Id;
use mvcc::{Done, Reply, Revision};
use raft::planted::{Bug, is_planted};
use raft::{Answer, Event, Input, LogId, MemberId, ProposeError, Term, Token};
use std::collections::BTreeMap;
use tracing::{debug, info, warn};

/// Tokens from here on number the commands of a peer's batch; below are this member's own sequences.
pub(super) const PEER_TOKENS: u64 = 1 << 63;

impl Node {
    /// One input, and everything it leads to.
    pub(super) fn step(&mut self, input: Input) {
        if let Some(witness) = &mut self.witness {
            witness.told(&input);
        }
        self.raft.step(self.now, input, &mut self.out);
        if let Some(witness) = &mut self.witness {
            witness.said(&self.raft.brief(), &self.out);
        }
        self.perform();
    }

    fn perform(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for envelope in out.send.drain(..) {
            self.peers.send(&envelope);
        }
        if let Some(persist) = out.persist.take() {
            self.last_io = persist.io;
            self.log.submit(WalRequest::Persist(persist));
        }
        if let Some(last) = out.apply.last() {
            let through = last.index();
            self.spans.committed(through, self.now.mono, &self.stages);
            self.waiters.trace_all(|trace| trace.committed(through));
            self.foreign.committed(through);
            self.store.apply(&mut out.apply);
        }
        for ask in out.log_reads.drain(..) {
            self.log.read(ask);
        }
        if let Some(install) = out.install.take() {
            self.on_install(install);
        }
        for answer in out.answers.drain(..) {
            self.on_answer(answer);
        }
        for event in out.events.drain(..) {
            self.on_event(&event);
        }
        // Keeps what it has allocated.
        self.out = out;
    }

    fn on_install(&mut self, install: raft::Install) {
        if self.install_wanted.replace(install.offer.last) != Some(install.offer.last) {
            warn!(from = %Id(install.from.0), last = %install.offer.last, "the leader's log no longer reaches back to this member's: a snapshot is needed");
        }
        self.fetcher.want(install.offer.last.index, &self.company.everybody());
    }

    fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Proposed(Token(token), result) if token >= PEER_TOKENS => {
                self.on_peer_command(token - PEER_TOKENS, result);
            }
            Answer::Proposed(Token(sequence), result) => self.on_proposed(sequence, result),
            Answer::Read(token, result) => {
                let applied = self.raft.brief().applied;
                if result.is_err() {
                    self.pause();
                }
                self.reads.answered(token, result, applied);
            }
            Answer::Membership(token, result) => self.on_call_answered(token, CallReply::Membership(result)),
            Answer::Transfer(token, result) => self.on_call_answered(token, CallReply::Transfer(result)),
        }
    }

    fn on_proposed(&mut self, sequence: u64, result: Result<LogId, ProposeError>) {
        match result {
            Ok(id) => {
                if is_planted(Bug::AnsweredEarly) {
                    let outcome = Ok(Done { revision: Revision(1), reply: Reply::Noop });
                    return self.waiters.finish(sequence, Applied { outcome, index: id.index, term: id.term });
                }
                self.waiters.moved(sequence, Place::With(self.shared.identity().member, id.term));
                let io = self.last_io;
                self.waiters.trace(sequence, |trace| trace.appended(id.index, io));
            }
            Err(ProposeError::Busy) => self.waiters.fail(sequence, ProposeFailure::TooManyRequests),
            Err(ProposeError::DiskFull) => self.waiters.fail(sequence, ProposeFailure::NoSpace),
            // It is in no log; somebody will lead, or lead again.
            Err(ProposeError::NotLeader { .. } | ProposeError::Transferring | ProposeError::NoQuorum) => {
                self.waiters.moved(sequence, Place::Held);
                self.pause();
            }
        }
    }

    fn on_peer_command(&mut self, at: u64, result: Result<LogId, ProposeError>) {
        match result {
            Ok(id) => self.foreign.appended(at, id.index, self.last_io),
            Err(ProposeError::Busy) => self.foreign.refused(at, NotTakenReason::Busy),
            Err(ProposeError::DiskFull) => self.foreign.refused(at, NotTakenReason::NoSpace),
            Err(ProposeError::NotLeader { .. } | ProposeError::Transferring | ProposeError::NoQuorum) => {
                self.foreign.refused(at, NotTakenReason::NotLeader);
            }
        }
    }

    /// Tells a peer which of its commands are in no log.
    pub(super) fn tell_not_taken(&mut self, peer: MemberId, term: Term, not_taken: BTreeMap<NotTakenReason, Vec<u64>>) {
        for (reason, sequences) in not_taken {
            // If this is lost, its clients wait until their time runs out; nothing is proposed twice.
            self.peers.not_taken(peer, &NotTaken { reason, term, sequences });
        }
    }

    pub(super) fn on_call_answered(&mut self, token: Token, reply: CallReply) {
        if let Some(told) = self.calls.answered(token, reply) {
            self.peers.reply(told.peer, told.id, &told.reply);
        }
        if self.calls.has_held() {
            self.pause();
        }
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Following { term, leader } => {
                self.leader_changed();
                match leader {
                    Some(leader) => info!(%term, leader = %Id(leader.0), "following"),
                    None => info!(%term, "no leader"),
                }
            }
            Event::Leading { term } => {
                self.leader_changed();
                info!(%term, "leading");
            }
            Event::PreCandidate { term } => info!(%term, "asking whether it would be elected"),
            Event::Candidate { term } => info!(%term, "standing for election"),
            Event::MembershipEffective { at } => {
                info!(%at, "a configuration is in force");
                self.membership_changed = true;
            }
            Event::MembershipCommitted { at } => {
                info!(%at, "the configuration is committed");
                self.membership_changed = true;
            }
            Event::Removed { at } => {
                warn!(%at, "this member has been removed from the cluster");
                self.depart();
            }
            Event::Stream { peer, from, to, reason } => info!(peer = %Id(peer.0), ?from, ?to, ?reason, "stream"),
            Event::StreamClosed { peer, reason } => debug!(peer = %Id(peer.0), ?reason, "stream closed"),
            Event::Regressed { peer, acknowledged, found } => {
                warn!(peer = %Id(peer.0), %acknowledged, %found, "a peer lacks entries it acknowledged");
            }
            Event::Refused { peer, why } => {
                self.refused_messages += 1;
                debug!(peer = %Id(peer.0), why, "dropped a message");
            }
        }
    }

    fn leader_changed(&mut self) {
        self.leader_changes += 1;
        self.waiters.leader_changed();
        self.foreign.leader_changed();
        self.paused_until = None;
    }
}
