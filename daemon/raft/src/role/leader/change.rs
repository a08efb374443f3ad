//! Changing the membership (thesis chapter 4).
//!
//! * One change at a time, and none before an entry of the own term is committed: two leaders could otherwise
//!   decide with quorums that do not overlap (Ongaro, raft-dev 2015).
//! * A configuration is in force when it is appended. A joint one is left as soon as it is committed, by whoever
//!   leads then: that is a rule about the state, not an event that could get lost (etcd #12136).
//! * A leader that a committed configuration leaves out hands over. It has not counted itself since the append.

use super::Leader;
use super::transfer::Transfer;
use crate::core::Core;
use crate::entry::EntryKind;
use crate::input::{Change, Token};
use crate::membership::{self, Membership};
use crate::message::Message;
use crate::output::{Answer, CloseReason, Event, MembershipError, Output};
use crate::planted::{Bug, is_planted};
use crate::role::Next;
use crate::types::{Index, MemberId};

impl Leader {
    pub(crate) fn on_change(
        &mut self,
        core: &mut Core,
        token: Token,
        expected: Option<Index>,
        changes: &[Change],
        out: &mut Output,
    ) {
        match self.plan(core, expected, changes) {
            Ok(next) => {
                self.change = Some(token);
                self.append_membership(core, next, out);
            }
            Err(error) => out.answers.push(Answer::Membership(token, Err(error))),
        }
    }

    fn plan(&self, core: &Core, expected: Option<Index>, changes: &[Change]) -> Result<Membership, MembershipError> {
        let actual = core.memberships.at();
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(MembershipError::Outdated { expected, actual });
        }
        if !core.membership_committed() || core.membership().is_joint() {
            return Err(MembershipError::InProgress { at: actual });
        }
        if !self.has_committed_in_term(core) && !is_planted(Bug::ChangeTooEarly) {
            return Err(MembershipError::TooEarly);
        }
        if self.transfer.is_some() {
            return Err(MembershipError::Transferring);
        }
        let next = membership::plan(core.membership(), changes)?;
        let promoted = next.voters.intersection(&core.membership().learners);
        promoted.into_iter().try_for_each(|member| self.check_lag(core, *member))?;
        Ok(next)
    }

    /// A learner becomes a voter when what it lacks would not hold up a commit for long. One that has never
    /// acknowledged anything lacks everything, however short the log is.
    fn check_lag(&self, core: &Core, member: MemberId) -> Result<(), MembershipError> {
        let matched = self.matched(member);
        let lag = self.lag.lag(core.now.mono, matched.index);
        let config = &core.config;
        let near = lag.entries <= config.promote_lag_entries_max && lag.bytes <= config.promote_lag_bytes_max;
        match matched.index != Index::ZERO && near {
            true => Ok(()),
            false => Err(MembershipError::Lagging { member, lag_entries: lag.entries }),
        }
    }

    fn append_membership(&mut self, core: &mut Core, next: Membership, out: &mut Output) {
        self.append_own(core, EntryKind::Membership, &next.encode());
        let at = core.log.last().index;
        core.memberships.push(at, next);
        out.events.push(Event::MembershipEffective { at });
        self.open_streams(core);
        self.recount = true;
    }

    /// What the committed configuration asks for.
    pub(super) fn settle_membership(&mut self, core: &mut Core, out: &mut Output) -> Next {
        let at = core.memberships.at();
        if !core.membership_committed() || !self.has_committed_in_term(core) {
            return Next::Stay;
        }
        if core.membership().is_joint() {
            // A successor has been told where the log ends: nothing is added while it takes over.
            if core.membership().auto_leave && self.transfer.is_none() {
                let next = core.membership().leave_joint().expect("it is joint");
                self.append_membership(core, next, out);
            }
            return Next::Stay;
        }
        if self.settled_at != Some(at) {
            self.settled_at = Some(at);
            self.settle_departures(core, at, out);
            if let Some(token) = self.change.take() {
                out.answers.push(Answer::Membership(token, Ok(at)));
            }
            return self.settle_own_departure(core);
        }
        Next::Stay
    }

    /// Who is not a member any more is told so, and its stream ends.
    fn settle_departures(&mut self, core: &Core, at: Index, out: &mut Output) {
        let gone: Vec<MemberId> =
            self.peers.keys().copied().filter(|member| !core.membership().is_member(*member)).collect();
        for member in gone {
            core.send(member, Message::Removed { at }, out);
            self.recovery.forget(member);
            if let Some(peer) = self.peers.remove(&member) {
                out.events.push(peer.stream.closed(CloseReason::Removed));
            }
        }
    }

    pub(super) fn is_leaving(&self, core: &Core) -> bool {
        core.membership_committed() && !core.membership().is_voter(core.id())
    }

    fn settle_own_departure(&mut self, core: &Core) -> Next {
        if !self.is_leaving(core) {
            return Next::Stay;
        }
        match self.best_successor(core) {
            // One that somebody has asked for serves as well, and its token is owed an answer.
            Some(_) if self.transfer.is_some() => Next::Stay,
            Some(to) => {
                self.transfer = Some(Transfer::new(core, None, to));
                Next::Stay
            }
            None => Next::Follow(None),
        }
    }

    /// Leadership ends: whether the change survives is for the next leader's log to say.
    pub(super) fn close_change(&mut self, out: &mut Output) {
        if let Some(token) = self.change.take() {
            out.answers.push(Answer::Membership(token, Err(MembershipError::Lost)));
        }
    }
}
