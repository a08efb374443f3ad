//! The member that leads: takes proposals, sends them to every follower while its own disk writes them, and commits
//! what is durable on a quorum.
//!
//! * Its own log counts as far as it is durable, and only while it votes.
//! * Only an entry of its own term is committed by counting; everything before it follows (paper, figure 8).
//! * What it decides is level-triggered: [`Leader::settle`] looks at the state after every step and does what is due,
//!   so nothing is lost when a step ends early or leadership changes hands.

mod change;
mod transfer;
mod uncommitted;

use super::Next;
use crate::core::Core;
use crate::entry::{Entry, EntryKind};
use crate::input::{LogReadFailure, Proposal, Token};
use crate::message::{Ack, Reject};
use crate::output::{Answer, CloseReason, Event, Output, ProposeError, ReadError};
use crate::planted::{Bug, is_planted};
use crate::read::{self, Reader, Rounds};
use crate::status::{FollowerStatus, PausedReason};
use crate::stream::{Beat, LagRing, Recovery, Stream, StreamOut, View};
use crate::types::{Index, LinkId, LogId, MemberId, ReadRound, StreamId, Time};
use std::collections::BTreeMap;
use transfer::Transfer;
use uncommitted::Uncommitted;

/// Commit waits for a follower that is so far behind: catching up is then not thrifty.
const URGENT_BYTES: u64 = 16 << 20;

/// What a leader knows.
#[derive(Debug)]
pub(crate) struct Leader {
    peers: BTreeMap<MemberId, Peer>,
    lag: LagRing,
    recovery: Recovery,
    /// The first entry of its own term. Until it is committed, nothing inherited is known to be.
    noop: Index,
    uncommitted: Uncommitted,
    rounds: Rounds,
    /// Who waits for the change of membership under way.
    change: Option<Token>,
    /// The last configuration whose commit has been acted upon.
    settled_at: Option<Index>,
    transfer: Option<Transfer>,
    heartbeat_due: Time,
    /// A match point, the own disk or the membership has moved since commit was last counted.
    recount: bool,
    stream_out: StreamOut,
}

/// One follower.
#[derive(Debug)]
struct Peer {
    stream: Stream,
    /// When anything of this term came from it.
    heard: Time,
    /// The last read round it has answered.
    round: ReadRound,
}

impl Leader {
    /// A leader in the current term, at the moment it is elected.
    pub(crate) fn new(core: &mut Core, out: &mut Output) -> Self {
        let now = core.now;
        let lag = LagRing::new(core.log.last().index, core.log.recent(), now.mono, now.wall_us);
        let mut leader = Self {
            peers: BTreeMap::new(),
            lag,
            recovery: Recovery::new(),
            noop: core.log.last().index.next(),
            uncommitted: Uncommitted::default(),
            rounds: Rounds::default(),
            change: None,
            settled_at: None,
            transfer: None,
            heartbeat_due: now.mono,
            recount: true,
            stream_out: StreamOut::default(),
        };
        leader.append_own(core, EntryKind::Noop, &[]);
        leader.open_streams(core);
        out.events.push(Event::Leading { term: core.term() });
        leader
    }

    fn append_own(&mut self, core: &mut Core, kind: EntryKind, payload: &[u8]) {
        let entries = core.encode_own(kind, payload);
        self.append(core, entries);
    }

    fn append(&mut self, core: &mut Core, entries: Vec<Entry>) {
        self.lag.append(core.now.mono, &entries);
        let last = entries.last().map_or(core.log.last().index, Entry::index);
        self.uncommitted.add(last, entries.iter().map(Entry::bytes).sum());
        core.append_own(entries);
    }

    /// One stream for every member in force. Streams of members that are leaving stay until that is committed.
    fn open_streams(&mut self, core: &mut Core) {
        let members: Vec<_> = core.membership().members().filter(|member| *member != core.id()).collect();
        for member in members {
            if self.peers.contains_key(&member) {
                continue;
            }
            let known = core.reached.get(&member).copied().unwrap_or_default();
            let stream = Stream::new(member, &core.config, core.chance.next());
            let mut stream = stream.inheriting(self.noop.prev()).known_to_hold(known);
            if let Some(link) = core.links.get(&member).copied() {
                stream.on_link_up(link, core.next_stream());
            }
            // A new follower gets an election timeout to be heard before it is missed.
            self.peers.insert(member, Peer { stream, heard: core.now.mono, round: ReadRound(0) });
        }
    }

    // Requests.

    pub(crate) fn on_propose(&mut self, core: &mut Core, proposals: &[Proposal], out: &mut Output) {
        let before = core.log.last().index;
        let result = self.take(core, proposals);
        let places = (before.next().0..).map(Index);
        let term = core.term();
        out.answers.extend(
            proposals
                .iter()
                .zip(places)
                .map(|(proposal, index)| Answer::Proposed(proposal.token, result.map(|()| LogId { term, index }))),
        );
    }

    fn take(&mut self, core: &mut Core, proposals: &[Proposal]) -> Result<(), ProposeError> {
        if core.disk_full {
            return Err(ProposeError::DiskFull);
        }
        if self.transfer.is_some() {
            return Err(ProposeError::Transferring);
        }
        if !self.has_quorum(core) {
            return Err(ProposeError::NoQuorum);
        }
        let payloads = || proposals.iter().map(|proposal| &proposal.payload[..]);
        let bytes = payloads().map(|payload| Entry::bytes_with(payload) as u64).sum();
        if !self.uncommitted.has_room(bytes, core.config.uncommitted_bytes_max) {
            return Err(ProposeError::Busy);
        }
        if !proposals.is_empty() {
            let entries = core.encode_commands(payloads());
            self.append(core, entries);
            self.recovery.written(core.now.mono);
        }
        Ok(())
    }

    pub(crate) fn on_read(&mut self, core: &mut Core, token: Token, out: &mut Output) {
        if is_planted(Bug::UnboundedLease) && self.has_committed_in_term(core) {
            return out.answers.push(Answer::Read(token, Ok(core.commit())));
        }
        if !self.has_quorum(core) || !self.rounds.gather(Reader::Here(token)) {
            out.answers.push(Answer::Read(token, Err(ReadError::Unconfirmed)));
        }
    }

    /// A follower asks for a read index.
    pub(crate) fn on_read_index(&mut self, core: &mut Core, from: MemberId, question: u64, out: &mut Output) {
        let reader = Reader::There(from, question);
        if !self.has_quorum(core) || !self.rounds.gather(reader) {
            read::answer(core, reader, None, out);
        }
    }

    /// The disk has filled up or has room again. A leader without room hands over once; whoever follows may be no
    /// better off, and then there is no point in going round in circles.
    pub(crate) fn on_disk_full(&mut self, core: &Core) {
        if core.disk_full && self.transfer.is_none() {
            self.transfer = self.best_successor(core).map(|to| Transfer::new(core, None, to));
        }
    }

    // What followers say.

    /// Anything of this term from a follower is a sign of life. None for a stranger.
    fn hear(&mut self, core: &Core, from: MemberId) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(&from)?;
        peer.heard = core.now.mono;
        Some(peer)
    }

    pub(crate) fn on_ack(&mut self, core: &Core, from: MemberId, ack: &Ack) {
        let Some(peer) = self.hear(core, from) else { return };
        let advanced = peer.stream.on_ack(core.now.mono, ack, &core.log).is_some();
        self.recount |= advanced;
    }

    pub(crate) fn on_reject(&mut self, core: &Core, from: MemberId, reject: &Reject) {
        let Some(peer) = self.hear(core, from) else { return };
        peer.stream.on_reject(core.now.mono, reject, &core.log);
    }

    pub(crate) fn on_heartbeat_reply(&mut self, core: &Core, from: MemberId, round: ReadRound, beat: &Beat) {
        let current = self.rounds.current();
        let Some(peer) = self.hear(core, from) else { return };
        peer.round = peer.round.max(round.min(current));
        peer.stream.on_heartbeat_reply(core.now.mono, beat);
    }

    // What the driver says.

    pub(crate) fn on_persisted(&mut self) {
        self.recount = true;
    }

    pub(crate) fn on_link_up(&mut self, core: &mut Core, peer: MemberId, link: LinkId) {
        let stream = core.next_stream();
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.stream.on_link_up(link, stream);
        }
    }

    pub(crate) fn on_link_down(&mut self, peer: MemberId, link: LinkId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.stream.on_link_down(link);
        }
    }

    pub(crate) fn on_log_read(
        &mut self,
        core: &Core,
        peer: MemberId,
        stream: StreamId,
        result: Result<Vec<Entry>, LogReadFailure>,
    ) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.stream.on_log_read(core.now.mono, stream, result);
        }
    }

    /// Time has passed. A leader that has not heard from a quorum for long gives up: a better connected member may
    /// be able to lead (Cloudflare 2020).
    pub(crate) fn on_tick(&mut self, core: &Core) -> Next {
        let now = core.now.mono;
        self.peers.values_mut().for_each(|peer| peer.stream.tick(now));
        self.recovery.set_urgent(self.lag.bytes_after(self.quorum_reached(core)) > URGENT_BYTES);
        match now.since(self.quorum_heard_at(core)) >= core.config.step_down_after() {
            true => Next::Follow(None),
            false => Next::Stay,
        }
    }

    // What is due.

    /// When a quorum had last been heard from. The leader hears itself.
    fn quorum_heard_at(&self, core: &Core) -> Time {
        let (me, now) = (core.id(), core.now.mono);
        let heard = |id| if id == me { now } else { self.peers.get(&id).map_or(Time(0), |peer| peer.heard) };
        core.membership().quorum_of(heard).unwrap_or(now)
    }

    pub(crate) fn has_quorum(&self, core: &Core) -> bool {
        core.now.mono.since(self.quorum_heard_at(core)) < core.config.election
    }

    /// Does what is due after a step.
    pub(crate) fn settle(&mut self, core: &mut Core, out: &mut Output) -> Next {
        self.settle_commit(core, out);
        let next = self.settle_membership(core, out);
        if next != Next::Stay {
            return next;
        }
        self.settle_commit(core, out);
        let next = self.settle_transfer(core, out);
        if next != Next::Stay {
            return next;
        }
        self.settle_reads(core, out);
        if core.now.mono >= self.heartbeat_due {
            self.beat(core, out);
        }
        self.poll_streams(core, out);
        Next::Stay
    }

    fn settle_commit(&mut self, core: &mut Core, out: &mut Output) {
        if !std::mem::take(&mut self.recount) {
            return;
        }
        let reached = self.quorum_reached(core);
        let own = core.log.term_at(reached) == Some(core.term()) || is_planted(Bug::OldTermCounted);
        if own && core.advance_commit(reached, out) {
            self.uncommitted.committed(reached);
        }
    }

    /// The greatest index that is durable on a quorum. It is below the commit index while the followers that a new
    /// leader depends on catch up.
    fn quorum_reached(&self, core: &Core) -> Index {
        let own = if is_planted(Bug::AckBeforeSync) { core.log.last() } else { core.log.durable() };
        let (me, durable) = (core.id(), own.index);
        let matched = |id| if id == me { durable } else { self.matched(id).index };
        core.membership().quorum_of(matched).unwrap_or_default()
    }

    fn matched(&self, id: MemberId) -> LogId {
        self.peers.get(&id).map_or(LogId::ZERO, |peer| peer.stream.matched())
    }

    fn has_committed_in_term(&self, core: &Core) -> bool {
        core.commit() >= self.noop
    }

    fn settle_reads(&mut self, core: &mut Core, out: &mut Output) {
        self.confirm_reads(core, out);
        if self.rounds.is_due() && self.has_committed_in_term(core) {
            self.rounds.start(core.commit());
            self.beat(core, out);
            // Alone, it needs nobody's answer.
            self.confirm_reads(core, out);
        }
    }

    fn confirm_reads(&mut self, core: &mut Core, out: &mut Output) {
        if !self.rounds.is_under_way() {
            return;
        }
        let (me, current) = (core.id(), self.rounds.current());
        let answered =
            |id| if id == me { current } else { self.peers.get(&id).map_or(ReadRound(0), |peer| peer.round) };
        let round = core.membership().quorum_of(answered).unwrap_or_default();
        if let Some((index, readers)) = self.rounds.confirm(round) {
            readers.into_iter().for_each(|reader| read::answer(core, reader, Some(index), out));
        }
    }

    fn beat(&mut self, core: &Core, out: &mut Output) {
        self.heartbeat_due = core.now.mono.after(core.config.heartbeat);
        let reached: Vec<_> = self.reached(core).collect();
        for (member, peer) in &self.peers {
            let (commit, round) = (core.commit(), self.rounds.current());
            core.send(*member, peer.stream.heartbeat(core.now.mono, commit, round, reached.clone()), out);
        }
    }

    /// How far each member is known to hold what is committed.
    fn reached(&self, core: &Core) -> impl Iterator<Item = (MemberId, Index)> {
        let commit = core.commit();
        let own = (core.id(), core.log.durable().index.min(commit));
        self.peers.iter().map(move |(member, peer)| (*member, peer.stream.reached(commit))).chain([own])
    }

    fn poll_streams(&mut self, core: &Core, out: &mut Output) {
        let view = View { log: &core.log, lag: &self.lag, commit: core.commit() };
        for peer in self.peers.values_mut() {
            peer.stream.poll(core.now.mono, &view, &mut self.recovery, &mut self.stream_out);
        }
        for (to, message) in self.stream_out.send.drain(..) {
            core.send(to, message, out);
        }
        out.log_reads.append(&mut self.stream_out.log_reads);
        out.events.append(&mut self.stream_out.events);
    }

    pub(crate) fn deadline(&self) -> Time {
        let streams = self.peers.values().filter_map(|peer| peer.stream.next_deadline());
        let transfer = self.transfer.as_ref().map(Transfer::deadline);
        streams.chain(transfer).min().map_or(self.heartbeat_due, |due| due.min(self.heartbeat_due))
    }

    /// Leadership ends, while the term is still its own: whoever waits for it is told.
    pub(crate) fn close(&mut self, core: &mut Core, out: &mut Output) {
        for reader in self.rounds.abandon() {
            read::answer(core, reader, None, out);
        }
        self.close_change(out);
        self.close_transfer(core);
        core.reached = self.reached(core).collect();
        for (_, peer) in std::mem::take(&mut self.peers) {
            out.events.push(peer.stream.closed(CloseReason::TermOver));
        }
    }

    pub(crate) fn is_transferring(&self) -> bool {
        self.transfer.is_some()
    }

    /// What it knows of each follower.
    pub(crate) fn followers(&self, core: &Core, now: Time) -> Vec<FollowerStatus> {
        let view = View { log: &core.log, lag: &self.lag, commit: core.commit() };
        let learner = |member| !core.membership().is_voter(member);
        let all = self.peers.iter().map(|(member, peer)| peer.stream.status(now, &view, learner(*member)));
        let hidden = |follower: &FollowerStatus| {
            follower.paused == PausedReason::Disconnected && is_planted(Bug::AbsentUnreported)
        };
        all.filter(|follower| !hidden(follower)).collect()
    }
}
