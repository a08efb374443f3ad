//! What a member keeps through every change of role: term and vote, the log, the configurations, the commit index,
//! and the way of entries to disk and into the state machine.
//!
//! * `commit` never decreases, and nothing at or below it is ever truncated.
//! * The state machine gets `min(commit, durable)`: what is applied survives a restart.

use crate::applies::Applies;
use crate::boot::{Boot, Now};
use crate::chance::Chance;
use crate::config::Config;
use crate::entry::{Entry, EntryKind};
use crate::input::Token;
use crate::log::Log;
use crate::membership::{Membership, Memberships};
use crate::message::{Envelope, Message, QUESTION_COUNT};
use crate::output::{Event, Output};
use crate::types::{HardState, Index, IoId, LinkId, LogId, MemberId, StreamId, Term, Time};
use crate::writes::Writes;
use bytes::BytesMut;
use std::collections::BTreeMap;

/// The lasting part of a member.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) now: Now,
    hard_state: HardState,
    pub(crate) log: Log,
    pub(crate) memberships: Memberships,
    commit: Index,
    pub(crate) writes: Writes,
    pub(crate) applies: Applies,
    pub(crate) chance: Chance,
    pub(crate) disk_full: bool,
    /// The connections that stand.
    pub(crate) links: BTreeMap<MemberId, LinkId>,
    /// How far members are known to hold what is committed, by what the last leader said. Such a thing stays true unless
    /// a disk is lost, so it serves to show the lag of a follower not heard yet, and nothing is committed by it.
    pub(crate) reached: BTreeMap<MemberId, Index>,
    /// Where it was said that this member is one no more.
    removed_at: Option<Index>,
    streams_opened: u64,
    /// The number of the last question put to a leader: a random number for each start of the member above, a count
    /// below. Never used again, so that a late answer cannot pass for that to a later question (etcd-raft #397).
    questions_asked: u64,
    /// Leadership was offered to another member; the caller hears who leads next, or that this moment has passed.
    pub(crate) handover: Option<(Token, Time)>,
}

impl Core {
    pub(crate) fn new(config: Config, boot: Boot, now: Now) -> Self {
        assert!(boot.applied >= boot.start.index, "the state machine covers what the log lost");
        assert!(boot.applied <= boot.last.index, "only durable entries are applied");
        let commit = boot.commit.max(boot.applied).min(boot.last.index);
        let chance = config.seed ^ config.id.0 ^ now.wall_us.rotate_left(32);
        Self {
            now,
            hard_state: boot.hard_state,
            log: Log::new(boot.start, boot.terms, boot.last, boot.recent, config.cache_bytes_max),
            memberships: Memberships::new(boot.start.index, boot.memberships),
            commit,
            writes: Writes::default(),
            applies: Applies::new(boot.applied),
            chance: Chance::new(chance),
            disk_full: false,
            links: BTreeMap::new(),
            reached: BTreeMap::new(),
            removed_at: None,
            streams_opened: 0,
            questions_asked: Chance::new(!chance).next() & !QUESTION_COUNT,
            handover: None,
            config,
        }
    }

    pub(crate) fn id(&self) -> MemberId {
        self.config.id
    }

    pub(crate) fn term(&self) -> Term {
        self.hard_state.term
    }

    pub(crate) fn vote(&self) -> Option<MemberId> {
        self.hard_state.vote
    }

    pub(crate) fn commit(&self) -> Index {
        self.commit
    }

    pub(crate) fn membership(&self) -> &Membership {
        self.memberships.effective()
    }

    /// The configuration in force cannot be rolled back any more.
    pub(crate) fn membership_committed(&self) -> bool {
        self.memberships.at() <= self.commit
    }

    pub(crate) fn enter_term(&mut self, term: Term, vote: Option<MemberId>) {
        debug_assert!(term >= self.term(), "terms only grow");
        debug_assert!(term > self.term() || self.vote().is_none_or(|given| Some(given) == vote), "one vote in a term");
        self.hard_state = HardState { term, vote };
        self.writes.stage_hard_state(self.hard_state);
    }

    /// The write that makes the current term and vote durable.
    pub(crate) fn hard_state_io(&self) -> IoId {
        self.writes.hard_state_io()
    }

    /// A moment between one and two election timeouts from now, drawn anew each time.
    pub(crate) fn draw_election_due(&mut self) -> Time {
        let patience = self.chance.up_to_twice(self.config.election);
        // A member without room leads only when nobody else can.
        let patience = if self.disk_full { patience + self.config.election } else { patience };
        self.now.mono.after(patience)
    }

    /// Whether it may stand for election: it votes in one of the halves in force (scylladb #10618), or does in another
    /// configuration that may be the committed one, and has not been told that it was removed. A member that the newest
    /// configuration leaves out may hold the only log that can be elected until that configuration is committed
    /// (thesis 4.2.2); its own vote then counts for nothing.
    pub(crate) fn may_campaign(&self) -> bool {
        let votes = |membership: &Membership| membership.is_voter(self.id());
        self.removed_at.is_none_or(|at| at < self.memberships.at()) && self.memberships.possible(self.commit).any(votes)
    }

    /// Another member says that this one has been removed.
    pub(crate) fn on_removed(&mut self, at: Index, out: &mut Output) {
        if at >= self.memberships.at() && self.removed_at.is_none_or(|known| known < at) {
            self.removed_at = Some(at);
            out.events.push(Event::Removed { at });
        }
    }

    /// The index of the committed configuration, if it says that `id` has been removed.
    pub(crate) fn removal_of(&self, id: MemberId) -> Option<Index> {
        let (at, membership) = self.memberships.committed(self.commit);
        (membership.removed.contains(&id) && !membership.is_member(id)).then_some(at)
    }

    pub(crate) fn next_question(&mut self) -> u64 {
        self.questions_asked += 1;
        self.questions_asked
    }

    pub(crate) fn next_stream(&mut self) -> StreamId {
        self.streams_opened += 1;
        StreamId(self.streams_opened)
    }

    /// A message that claims nothing about this member's disk.
    pub(crate) fn send(&self, to: MemberId, message: Message, out: &mut Output) {
        out.send.push(self.envelope(to, message));
    }

    /// A message that stands on the term and vote being durable.
    pub(crate) fn reply(&mut self, to: MemberId, message: Message, out: &mut Output) {
        let envelope = self.envelope(to, message);
        self.writes.send_after_hard_state(envelope, out);
    }

    fn envelope(&self, to: MemberId, message: Message) -> Envelope {
        Envelope { from: self.id(), to, term: self.term(), message }
    }

    pub(crate) fn refuse(&self, peer: MemberId, why: &'static str, out: &mut Output) {
        out.events.push(Event::Refused { peer, why });
    }

    /// How many more bytes of appends this member would take.
    pub(crate) fn credit_bytes(&self) -> u64 {
        self.config.undurable_bytes_max.saturating_sub(self.writes.undurable_bytes())
    }

    /// Appends entries that came from a leader, with the configurations found in them.
    pub(crate) fn append(&mut self, entries: Vec<Entry>, memberships: Vec<(Index, Membership)>, out: &mut Output) {
        self.writes.stage_append(&entries);
        self.log.append(entries);
        for (at, membership) in memberships {
            self.memberships.push(at, membership);
            out.events.push(Event::MembershipEffective { at });
        }
    }

    /// One entry of this leader's own, to follow the last one.
    pub(crate) fn encode_own(&self, kind: EntryKind, payload: &[u8]) -> Vec<Entry> {
        let id = LogId { term: self.term(), index: self.log.last().index.next() };
        vec![Entry::new(id, kind, self.now.wall_us, payload)]
    }

    /// Commands to follow the last entry, encoded into one buffer.
    pub(crate) fn encode_commands<'a>(&self, payloads: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> Vec<Entry> {
        let (term, wall_us, first) = (self.term(), self.now.wall_us, self.log.last().index.next());
        let mut slab = BytesMut::with_capacity(payloads.clone().map(Entry::bytes_with).sum());
        let ids = (first.0..).map(|index| LogId { term, index: Index(index) });
        for (payload, id) in payloads.clone().zip(ids.clone()) {
            Entry::encode_into(&mut slab, id, EntryKind::Command, wall_us, payload);
        }
        let mut slab = slab.freeze();
        let split = |(payload, id): (&[u8], LogId)| {
            let length = Entry::bytes_with(payload);
            Entry::split_from(&mut slab, length, id, EntryKind::Command, wall_us, payload.len())
        };
        payloads.zip(ids).map(split).collect()
    }

    /// Appends entries of this leader's own.
    pub(crate) fn append_own(&mut self, entries: Vec<Entry>) {
        self.writes.stage_append(&entries);
        self.log.append(entries);
    }

    /// Removes entries that contradict the leader's, and the configurations among them.
    pub(crate) fn truncate(&mut self, from: Index, out: &mut Output) {
        assert!(from > self.commit, "committed entries stay");
        self.log.truncate(from);
        self.writes.stage_truncate(from, self.log.last());
        if self.memberships.truncate(from) {
            out.events.push(Event::MembershipEffective { at: self.memberships.at() });
        }
    }

    /// Everything up to `index` is committed. True when that is news.
    pub(crate) fn advance_commit(&mut self, index: Index, out: &mut Output) -> bool {
        if index <= self.commit {
            return false;
        }
        assert!(index <= self.log.last().index, "only entries that are here can be known as committed");
        let before = self.memberships.committed(self.commit).0;
        self.commit = index;
        let (at, membership) = self.memberships.committed(index);
        if at > before {
            let gone = membership.removed.contains(&self.config.id) && !membership.is_member(self.config.id);
            out.events.push(Event::MembershipCommitted { at });
            if gone && self.removed_at.is_none_or(|known| known < at) {
                self.removed_at = Some(at);
                out.events.push(Event::Removed { at });
            }
            self.memberships.forget_before(index);
        }
        true
    }

    /// The disk is done with everything up to `io`.
    pub(crate) fn on_persisted(&mut self, io: IoId, out: &mut Output) {
        if let Some(durable) = self.writes.complete(io, out) {
            self.log.set_durable(durable);
        }
    }

    /// A snapshot has replaced the state machine and whatever of the log it covers.
    pub(crate) fn on_installed(&mut self, last: LogId, at: Index, membership: Membership, out: &mut Output) {
        // Also what is committed here already may be news to the state machine, and is gone from the disk.
        if self.log.contains(last) {
            self.advance_commit(last.index, out);
            self.log.compact(last);
            self.log.set_durable(last);
        } else {
            // Nothing in this log is known to agree with what the cluster committed there.
            self.log.reset(last);
            self.writes.log_replaced(last);
            self.memberships = Memberships::new(last.index, vec![(at, membership)]);
            self.commit = last.index;
            out.events.push(Event::MembershipEffective { at });
            out.events.push(Event::MembershipCommitted { at });
        }
        self.applies.on_installed(last.index);
    }

    /// Ends a step: one write, and what the state machine may have.
    pub(crate) fn finish(&mut self, out: &mut Output) {
        out.persist = self.writes.issue(self.log.last(), self.commit);
        let ready = self.commit.min(self.log.durable().index);
        self.applies.hand_over(ready, &self.log, &self.config, self.now.mono, out);
    }
}
