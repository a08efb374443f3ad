//! A member that asks for votes: first whether it would get them, which disturbs nobody, then in earnest.
//!
//! * Its own vote counts, and the others are asked, once its term and vote are durable: a candidate that forgot
//!   either could collect votes for a log it no longer has.

use super::Next;
use crate::core::Core;
use crate::message::Message;
use crate::output::Output;
use crate::quorum::Ballot;
use crate::types::{IoId, MemberId, Time};
use std::collections::BTreeMap;

/// What a candidate knows.
#[derive(Debug)]
pub(crate) struct Candidate {
    phase: Phase,
    votes: BTreeMap<MemberId, bool>,
    election_due: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Would they vote for it in the next term?
    Asking,
    /// Its own vote is on its way to disk.
    Deciding(IoId),
    /// Its own vote is given.
    Standing,
}

impl Candidate {
    /// Asks whether it would be elected. Nothing changes by it, here or there.
    pub(crate) fn ask(core: &mut Core, out: &mut Output) -> (Self, Next) {
        let mut candidate = Self::new(core, Phase::Asking);
        let term = core.term().next();
        for voter in candidate.others(core) {
            let message = Message::PreVote { last: core.log.last() };
            out.send.push(crate::message::Envelope { from: core.id(), to: voter, term, message });
        }
        candidate.votes.insert(core.id(), true);
        let next = candidate.count(core);
        (candidate, next)
    }

    /// Stands for election in the term that was just entered.
    pub(crate) fn stand(core: &mut Core, transfer: bool, out: &mut Output) -> Self {
        let candidate = Self::new(core, Phase::Deciding(core.hard_state_io()));
        for voter in candidate.others(core) {
            core.reply(voter, Message::Vote { last: core.log.last(), transfer }, out);
        }
        candidate
    }

    fn new(core: &mut Core, phase: Phase) -> Self {
        Self { phase, votes: BTreeMap::new(), election_due: core.draw_election_due() }
    }

    fn others(&self, core: &Core) -> Vec<MemberId> {
        core.membership().all_voters().filter(|voter| *voter != core.id()).collect()
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.phase == Phase::Asking
    }

    pub(crate) fn deadline(&self) -> Time {
        self.election_due
    }

    pub(crate) fn on_tick(&self, core: &Core) -> Next {
        match () {
            () if core.now.mono < self.election_due => Next::Stay,
            () if core.may_campaign() => Next::PreCampaign,
            () => Next::Follow(None),
        }
    }

    /// The disk has made progress, perhaps with its own vote.
    pub(crate) fn on_persisted(&mut self, core: &Core) -> Next {
        match self.phase {
            Phase::Deciding(io) if core.writes.is_durable(io) => {
                self.phase = Phase::Standing;
                self.votes.insert(core.id(), true);
                self.count(core)
            }
            Phase::Asking | Phase::Deciding(_) | Phase::Standing => Next::Stay,
        }
    }

    /// An answer to the question it asks now; the caller has sorted out the others by their terms.
    pub(crate) fn on_vote(&mut self, core: &Core, from: MemberId, granted: bool) -> Next {
        self.votes.entry(from).or_insert(granted);
        self.count(core)
    }

    fn count(&self, core: &Core) -> Next {
        match (core.membership().ballot(&self.votes), self.phase) {
            (Ballot::Won, Phase::Asking) => Next::Campaign { transfer: false },
            // Its own vote may not be needed for a majority, but a leader without it could vote for another.
            (Ballot::Won, Phase::Standing) => Next::Lead,
            (Ballot::Lost, _) => Next::Follow(None),
            (Ballot::Won | Ballot::Pending, _) => Next::Stay,
        }
    }
}
