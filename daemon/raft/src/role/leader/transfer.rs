//! Handing over leadership (thesis 3.10): take nothing new, bring the successor up to the last entry, tell it to
//! stand for election at once; carry on if it has not taken over within an election timeout.

use super::Leader;
use crate::core::Core;
use crate::input::Token;
use crate::message::Message;
use crate::output::{Answer, Output, TransferError};
use crate::role::Next;
use crate::types::{MemberId, Time};

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Transfer {
    token: Option<Token>,
    to: MemberId,
    until: Time,
    /// When the successor is told, again: the message may get lost.
    tell_at: Time,
}

impl Transfer {
    pub(super) fn new(core: &Core, token: Option<Token>, to: MemberId) -> Self {
        let now = core.now.mono;
        Self { token, to, until: now.after(core.config.election), tell_at: now }
    }

    pub(super) fn deadline(&self) -> Time {
        self.until
    }
}

impl Leader {
    pub(crate) fn on_transfer(&mut self, core: &Core, token: Token, to: Option<MemberId>, out: &mut Output) {
        match self.successor(core, to) {
            Ok(to) if to == core.id() => out.answers.push(Answer::Transfer(token, Ok(to))),
            Ok(to) => self.transfer = Some(Transfer::new(core, Some(token), to)),
            Err(error) => out.answers.push(Answer::Transfer(token, Err(error))),
        }
    }

    fn successor(&self, core: &Core, to: Option<MemberId>) -> Result<MemberId, TransferError> {
        match to {
            _ if self.transfer.is_some() => Err(TransferError::InProgress),
            Some(to) if core.membership().is_voter(to) => Ok(to),
            Some(to) => Err(TransferError::NotVoter(to)),
            None => self.best_successor(core).ok_or(TransferError::NoTarget),
        }
    }

    /// The voter that stays and is furthest ahead; of equals the one heard last.
    pub(super) fn best_successor(&self, core: &Core) -> Option<MemberId> {
        let others = core.membership().voters.iter().filter(|voter| **voter != core.id());
        others.copied().max_by_key(|voter| (self.matched(*voter), self.peers.get(voter).map(|peer| peer.heard)))
    }

    pub(super) fn settle_transfer(&mut self, core: &mut Core, out: &mut Output) -> Next {
        let now = core.now.mono;
        let Some(transfer) = &mut self.transfer else { return Next::Stay };
        if now >= transfer.until {
            if let Some(token) = transfer.token {
                out.answers.push(Answer::Transfer(token, Err(TransferError::TimedOut)));
            }
            self.transfer = None;
            // A leader that is not a member any more has waited long enough.
            return if self.is_leaving(core) { Next::Follow(None) } else { Next::Stay };
        }
        let last = core.log.last();
        let (to, due) = (transfer.to, now >= transfer.tell_at);
        if due && self.matched(to) == last {
            core.send(to, Message::TimeoutNow { last }, out);
            let again = now.after(core.config.heartbeat * 2);
            self.transfer.iter_mut().for_each(|transfer| transfer.tell_at = again);
        }
        Next::Stay
    }

    /// Leadership ends during a transfer: whoever leads next is the answer.
    pub(super) fn close_transfer(&mut self, core: &mut Core) {
        if let Some(Transfer { token: Some(token), until, .. }) = self.transfer.take() {
            core.handover = Some((token, until));
        }
    }
}
