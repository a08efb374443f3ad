//! A member that follows: appends what the leader sends, acknowledges what is durable, votes, and looks for a new
//! leader when the old one falls silent.
//!
//! * An entry that is here already is skipped; the log is cut only at the first entry that really differs, and never
//!   at or below the commit index.
//! * An acknowledgement names the last entry that is both durable and known to agree with this leader's log. That
//!   also holds for a request that appended nothing.

use super::Next;
use crate::core::Core;
use crate::entry::{Entry, EntryKind};
use crate::input::Token;
use crate::membership::Membership;
use crate::message::{Ack, Message, Reject, SnapshotOffer};
use crate::output::{Install, Output};
use crate::planted::{Bug, is_planted};
use crate::read::Questions;
use crate::types::{Index, LogId, MemberId, ReadRound, StreamId, Term, Time};

/// What a follower knows.
#[derive(Debug)]
pub(crate) struct Follower {
    leader: Option<MemberId>,
    /// When the leader was last heard, or another reason not to elect anybody else yet.
    heard: Option<Time>,
    election_due: Time,
    /// The leader's stream.
    stream: StreamId,
    /// The last entry known to agree with the leader's log, once the leader has asked.
    accepted: Option<LogId>,
    /// What was last acknowledged in this stream.
    acked: Option<LogId>,
    questions: Questions,
}

impl Follower {
    pub(crate) fn new(core: &mut Core, leader: Option<MemberId>) -> Self {
        Self {
            leader,
            heard: leader.map(|_| core.now.mono),
            election_due: core.draw_election_due(),
            stream: StreamId::NONE,
            accepted: None,
            acked: None,
            questions: Questions::default(),
        }
    }

    /// A member that starts. With a past it behaves for one election timeout as if it had just heard a leader:
    /// the one it followed may be well. Alone, it has nobody to wait for.
    pub(crate) fn at_boot(core: &mut Core) -> Self {
        let mut follower = Self::new(core, None);
        if core.term() > Term(0) {
            follower.heard = Some(core.now.mono);
        }
        if core.membership().is_sole_voter(core.id()) {
            follower.election_due = core.now.mono;
        }
        follower
    }

    pub(crate) fn leader(&self) -> Option<MemberId> {
        self.leader
    }

    /// Whether a leader was heard so lately that nobody else should be elected (thesis 4.2.3).
    pub(crate) fn is_loyal(&self, core: &Core) -> bool {
        self.heard.is_some_and(|heard| core.now.mono.since(heard) < core.config.election)
    }

    /// A vote was given: whoever has it gets time to win.
    pub(crate) fn on_vote_granted(&mut self, core: &mut Core) {
        self.election_due = core.draw_election_due();
    }

    pub(crate) fn deadline(&self) -> Time {
        self.questions.deadline().map_or(self.election_due, |due| due.min(self.election_due))
    }

    pub(crate) fn on_tick(&mut self, core: &mut Core, out: &mut Output) -> Next {
        self.questions.on_tick(core, self.leader, out);
        if core.now.mono < self.election_due {
            return Next::Stay;
        }
        self.election_due = core.draw_election_due();
        if is_planted(Bug::CampaignAlways) {
            return Next::Campaign { transfer: false };
        }
        if core.may_campaign() { Next::PreCampaign } else { self.forget_leader(core, out) }
    }

    /// One that cannot stand for election only stops believing in a silent leader.
    fn forget_leader(&mut self, core: &Core, out: &mut Output) -> Next {
        if self.leader.is_none() || self.is_loyal(core) {
            return Next::Stay;
        }
        self.close(out);
        Next::Follow(None)
    }

    /// Requests that wait for this leader's answer learn that it will not come.
    pub(crate) fn close(&mut self, out: &mut Output) {
        self.questions.close(out);
    }

    /// The current leader spoke.
    pub(crate) fn on_leader(&mut self, core: &mut Core, stream: Option<StreamId>) {
        self.heard = Some(core.now.mono);
        self.election_due = core.draw_election_due();
        if let Some(stream) = stream.filter(|stream| *stream != self.stream) {
            self.stream = stream;
            self.acked = None;
        }
    }

    /// What stays true when a follower follows anew: it has just voted or started, and within a term, what it has of
    /// the leader's log.
    pub(crate) fn keep_from(&mut self, before: &Self, same_term: bool) {
        self.heard = self.heard.max(before.heard);
        if same_term {
            (self.accepted, self.election_due) = (before.accepted, before.election_due);
        }
    }

    pub(crate) fn on_append(
        &mut self,
        core: &mut Core,
        prev: LogId,
        mut entries: Vec<Entry>,
        commit: Index,
        out: &mut Output,
    ) {
        let leader = self.leader.expect("set before its messages are handled");
        if !core.log.contains(prev) {
            return self.reject(core, prev, out);
        }
        if let Err(why) = check_consecutive(prev, &entries, core.term()) {
            return core.refuse(leader, why, out);
        }
        let last = entries.last().map_or(prev, Entry::id);
        let known = entries.iter().position(|entry| !core.log.contains(entry.id())).unwrap_or(entries.len());
        entries.drain(..known);
        if let Some(first) = entries.first().map(Entry::index) {
            let Some(memberships) = memberships_in(&entries) else {
                return core.refuse(leader, "a membership entry cannot be read", out);
            };
            if first <= core.commit() {
                return core.refuse(leader, "an append contradicts committed entries", out);
            }
            if first <= core.log.last().index {
                core.truncate(first, out);
            }
            core.append(entries, memberships, out);
        }
        self.accept(core.log.start().max_by_index(last));
        core.advance_commit(commit.min(last.index), out);
        self.ack_if_durable(core, out);
    }

    fn accept(&mut self, last: LogId) {
        self.accepted = Some(self.accepted.map_or(last, |accepted| accepted.max_by_index(last)));
    }

    fn reject(&self, core: &mut Core, prev: LogId, out: &mut Output) {
        let conflict = core.log.run_at(prev.index);
        let reject = Reject { stream: self.stream, prev, last: core.log.last(), conflict };
        self.reply(core, Message::AppendReject(reject), out);
    }

    /// Answers a request whose entries are all on disk already; for others the disk's completion answers.
    fn ack_if_durable(&mut self, core: &mut Core, out: &mut Output) {
        if self.accepted.is_some_and(|accepted| accepted.index <= core.log.durable().index) {
            self.ack(core, out);
        }
    }

    /// The disk has made progress: acknowledge all of it at once.
    pub(crate) fn on_persisted(&mut self, core: &mut Core, out: &mut Output) {
        let durable = self.accepted.map(|accepted| accepted.min_by_index(core.log.durable()));
        if durable > self.acked {
            self.ack(core, out);
        }
    }

    fn ack(&mut self, core: &mut Core, out: &mut Output) {
        let Some(accepted) = self.accepted else { return };
        let durable = accepted.min_by_index(core.log.durable());
        self.acked = Some(durable);
        let applied = core.applies.applied();
        let ack = Ack { stream: self.stream, durable, applied, credit_bytes: core.credit_bytes() };
        self.reply(core, Message::AppendAck(ack), out);
    }

    fn reply(&self, core: &mut Core, message: Message, out: &mut Output) {
        if let Some(leader) = self.leader {
            core.reply(leader, message, out);
        }
    }

    /// Entries known to agree with the leader's log are committed as far as it says; what lies behind them may not be
    /// the leader's at all.
    pub(crate) fn on_commit(&mut self, core: &mut Core, commit: Index, out: &mut Output) {
        core.advance_commit(commit.min(self.accepted.unwrap_or_default().index), out);
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        core: &mut Core,
        commit: Index,
        round: ReadRound,
        sent_at: Time,
        reached: Vec<(MemberId, Index)>,
        out: &mut Output,
    ) {
        self.on_commit(core, commit, out);
        if !is_planted(Bug::LagForgotten) {
            core.reached = reached.into_iter().collect();
        }
        let (stream, applied, credit_bytes) = (self.stream, core.applies.applied(), core.credit_bytes());
        self.reply(core, Message::HeartbeatReply { stream, round, echo: sent_at, applied, credit_bytes }, out);
    }

    pub(crate) fn on_snapshot_offer(&mut self, core: &mut Core, offer: SnapshotOffer, out: &mut Output) {
        if offer.last.index > core.commit() {
            out.install = self.leader.map(|from| Install { from, offer });
        } else {
            // What it offers is here: tell the leader where the logs agree.
            self.accept(offer.last);
            self.ack_if_durable(core, out);
        }
    }

    /// A snapshot has been installed: everything it covers agrees with any leader's log.
    pub(crate) fn on_installed(&mut self, core: &mut Core, last: LogId, out: &mut Output) {
        self.accept(last);
        self.ack_if_durable(core, out);
    }

    /// The leader hands over to this member.
    pub(crate) fn on_timeout_now(&self, core: &Core, last: LogId) -> Next {
        let ready = core.may_campaign() && core.log.last() >= last;
        if ready { Next::Campaign { transfer: true } } else { Next::Stay }
    }

    pub(crate) fn on_read(&mut self, core: &mut Core, token: Token, out: &mut Output) {
        self.questions.ask(core, self.leader, token, out);
    }

    pub(crate) fn on_read_index(&mut self, core: &mut Core, question: u64, index: Option<Index>, out: &mut Output) {
        self.questions.on_answer(core, self.leader, question, index, out);
    }
}

/// A leader's entries follow `prev` without a gap, and their terms grow up to its own.
fn check_consecutive(prev: LogId, entries: &[Entry], term: Term) -> Result<(), &'static str> {
    let mut before = prev;
    for entry in entries {
        if entry.index() != before.index.next() {
            return Err("the entries of an append are not consecutive");
        }
        if entry.term() < before.term || entry.term() > term {
            return Err("the terms of an append do not grow up to the leader's");
        }
        before = entry.id();
    }
    Ok(())
}

/// The configurations among `entries`, or none if one cannot be read.
fn memberships_in(entries: &[Entry]) -> Option<Vec<(Index, Membership)>> {
    entries
        .iter()
        .filter(|entry| entry.kind() == EntryKind::Membership)
        .map(|entry| Some((entry.index(), Membership::decode(entry.payload()).ok()?)))
        .collect()
}
