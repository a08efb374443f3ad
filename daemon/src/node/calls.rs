//! Requests about the cluster under way: each knows where its answer goes.

use super::request::CallRequest;
use super::{ChangeFailure, TransferFailure};
use crate::transport::hello::BindReply;
use crate::transport::{Call, CallReply};
use admin_api::Id;
use raft::{Index, MemberId, MembershipError, Time, Token, TransferError};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Calls under way. They come from people, operators and joining members.
pub(super) const CALLS_WAITING_MAX: usize = 256;

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Caller {
    /// To a request of this process.
    Change(oneshot::Sender<Result<Index, ChangeFailure>>),
    /// To a request of this process.
    Transfer(oneshot::Sender<Result<MemberId, TransferFailure>>),
    /// To a peer, under its number for the call.
    Peer(MemberId, u64),
    /// To a process that joins as this member.
    Bind(MemberId, oneshot::Sender<BindReply>),
}

#[derive(Debug)]
struct Waiting {
    caller: Caller,
    call: Call,
    deadline: Time,
    /// Nobody has it: no leader is known, or the one that was asked did not lead.
    held: bool,
}

/// The calls under way, by token. Tokens go to peers, and no other run of the process has the same: an answer to a call
/// of an earlier run finds nobody here.
#[derive(Debug)]
pub(super) struct Calls {
    next: u64,
    waiting: BTreeMap<Token, Waiting>,
}

/// What to send to a peer that called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PeerReply {
    pub(super) peer: MemberId,
    pub(super) id: u64,
    pub(super) reply: CallReply,
}

impl Caller {
    /// Splits a request into what is asked and who asks.
    pub(super) fn of(request: CallRequest) -> (Call, Self) {
        match request {
            CallRequest::ChangeMembership { expected, changes, reply } => {
                (Call::ChangeMembership { expected, changes }, Self::Change(reply))
            }
            CallRequest::TransferLeader { to, reply } => (Call::TransferLeader { to }, Self::Transfer(reply)),
        }
    }

    /// Nothing is sent to callers that have gone.
    fn answer(self, reply: CallReply) -> Option<PeerReply> {
        match (self, reply) {
            (Self::Peer(peer, id), reply) => return Some(PeerReply { peer, id, reply }),
            (Self::Change(caller), CallReply::Membership(result)) => drop(caller.send(result.map_err(Into::into))),
            (Self::Transfer(caller), CallReply::Transfer(result)) => drop(caller.send(result.map_err(Into::into))),
            (Self::Bind(member, caller), CallReply::Membership(result)) => {
                drop(caller.send(bind_reply(member, result)));
            }
            // The answer to another question than was asked. A peer's mistake; the call times out.
            (Self::Change(_) | Self::Bind(..), CallReply::Transfer(_))
            | (Self::Transfer(_), CallReply::Membership(_)) => {}
        }
        None
    }

    fn give_up(self, held: bool) {
        match self {
            Self::Change(caller) => {
                drop(caller.send(Err(if held { ChangeFailure::NoLeader } else { ChangeFailure::TimedOut })));
            }
            Self::Transfer(caller) => {
                drop(caller.send(Err(if held { TransferFailure::NoLeader } else { TransferFailure::TimedOut })));
            }
            Self::Bind(_, caller) => drop(caller.send(BindReply::Later { why: "no leader answered in time".into() })),
            // It has its own deadline.
            Self::Peer(..) => {}
        }
    }
}

impl Calls {
    /// None, to be numbered from here on.
    pub(super) fn numbered_from(first: u64) -> Self {
        Self { next: first, waiting: BTreeMap::new() }
    }

    /// Takes a call in, held. False when there are too many.
    pub(super) fn insert(&mut self, call: Call, caller: Caller, deadline: Time) -> bool {
        if self.waiting.len() >= CALLS_WAITING_MAX {
            caller.give_up(false);
            return false;
        }
        self.waiting.insert(Token(self.next), Waiting { caller, call, deadline, held: true });
        self.next += 1;
        true
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn has_held(&self) -> bool {
        self.waiting.values().any(|waiting| waiting.held)
    }

    /// Hands out what is held.
    pub(super) fn take_held(&mut self) -> Vec<(Token, Call)> {
        let held = self.waiting.iter_mut().filter(|(_, waiting)| waiting.held);
        held.map(|(token, waiting)| {
            waiting.held = false;
            (*token, waiting.call.clone())
        })
        .collect()
    }

    /// It could not be handed on after all.
    pub(super) fn hold(&mut self, token: Token) {
        if let Some(waiting) = self.waiting.get_mut(&token) {
            waiting.held = true;
        }
    }

    /// The engine, or the leader, has answered. Returns what a peer that called is to be told.
    pub(super) fn answered(&mut self, token: Token, reply: CallReply) -> Option<PeerReply> {
        let from_here = |waiting: &Waiting| !matches!(waiting.caller, Caller::Peer(..));
        if was_not_done(&reply) && self.waiting.get(&token).is_some_and(from_here) {
            // Whoever was asked does not lead: the call has changed nothing and may be made again.
            self.hold(token);
            return None;
        }
        self.waiting.remove(&token)?.caller.answer(reply)
    }

    /// Tells everybody whose time has run out.
    pub(super) fn sweep(&mut self, now: Time) {
        let late: Vec<Token> =
            self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now).map(|(token, _)| *token).collect();
        for waiting in late.iter().filter_map(|token| self.waiting.remove(token)) {
            waiting.caller.give_up(waiting.held);
        }
    }
}

fn was_not_done(reply: &CallReply) -> bool {
    matches!(
        reply,
        CallReply::Membership(Err(MembershipError::NotLeader { .. }))
            | CallReply::Transfer(Err(TransferError::NotLeader { .. }))
    )
}

fn bind_reply(member: MemberId, result: Result<Index, MembershipError>) -> BindReply {
    match result {
        Ok(_) => BindReply::Bound { member: Id(member.0) },
        Err(error @ (MembershipError::Tombstoned(_) | MembershipError::Unknown(_))) => {
            BindReply::Never { why: error.to_string() }
        }
        Err(error) => BindReply::Later { why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Call {
        Call::ChangeMembership { expected: None, changes: Vec::new() }
    }

    fn hand_out(calls: &mut Calls) -> Token {
        calls.take_held().first().expect("a call is held").0
    }

    #[test]
    fn a_call_is_made_again_until_somebody_leads() {
        let (mut calls, (reply, mut answer)) = (Calls::numbered_from(1), oneshot::channel());
        calls.insert(change(), Caller::Change(reply), Time(100));
        let token = hand_out(&mut calls);
        assert!(!calls.has_held());
        calls.answered(token, CallReply::Membership(Err(MembershipError::NotLeader { leader: None })));
        let token = hand_out(&mut calls);
        calls.answered(token, CallReply::Membership(Ok(Index(7))));
        assert_eq!(answer.try_recv(), Ok(Ok(Index(7))));
    }

    #[test]
    fn a_peer_is_told_that_this_member_does_not_lead() {
        let mut calls = Calls::numbered_from(1);
        calls.insert(change(), Caller::Peer(MemberId(2), 9), Time(100));
        let token = hand_out(&mut calls);
        let reply = CallReply::Membership(Err(MembershipError::NotLeader { leader: None }));
        let told = calls.answered(token, reply.clone());
        assert_eq!(told, Some(PeerReply { peer: MemberId(2), id: 9, reply }));
    }

    #[test]
    fn an_answer_to_a_call_of_an_earlier_run_finds_nobody() {
        let mut before = Calls::numbered_from(1);
        before.insert(change(), Caller::Change(oneshot::channel().0), Time(100));
        let token = hand_out(&mut before);
        let (mut calls, (reply, mut answer)) = (Calls::numbered_from(1 << 40), oneshot::channel());
        calls.insert(change(), Caller::Change(reply), Time(100));
        hand_out(&mut calls);
        assert_eq!(calls.answered(token, CallReply::Membership(Ok(Index(7)))), None);
        assert!(answer.try_recv().is_err(), "its own call is not answered");
    }

    #[test]
    fn time_runs_out() {
        let (mut calls, (reply, mut held), (other, mut asked)) =
            (Calls::numbered_from(1), oneshot::channel(), oneshot::channel());
        calls.insert(change(), Caller::Change(other), Time(100));
        hand_out(&mut calls);
        calls.insert(change(), Caller::Change(reply), Time(100));
        calls.sweep(Time(100));
        assert_eq!(held.try_recv(), Ok(Err(ChangeFailure::NoLeader)));
        assert_eq!(asked.try_recv(), Ok(Err(ChangeFailure::TimedOut)));
    }
}
