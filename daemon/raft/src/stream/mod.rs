//! The replication stream: everything about bringing one follower up to date, for one leader in one term.
//!
//! ```text
//!                  Matched                    LogCompacted
//!      ┌─ Probe ───────────────▶ Replicate ───────────────▶ Snapshot ─┐
//!      │   ▲ ▲                     │   ▲                       ▲      │ SnapshotInstalled: the follower
//!      │   │ └─────────────────────┘   └───────────────────────┼──────┘ reported an entry of the log
//!      │   │  Rejected, Stalled, LogUnreadable, Regressed,     │
//!      │   │  Disconnected; Connected starts over              │
//!      └───┴────────────────── LogCompacted ───────────────────┘
//! ```
//!
//! The leader feeds a stream what the follower says, what the link does and what the disk gives back, and then polls
//! it. It polls every stream after the log has grown, commit has moved, entries came back from disk, or a tick.
//!
//! * One [`StreamId`] for each connection: a reply that names another is stale and counts for nothing (D16, P20).
//! * The match point only grows, except when the follower itself shows that it lost what it acknowledged: then it
//!   counts for nothing until it has all of that again (P21). Messages of one connection may overtake each other.
//! * Silence, not size, is what times out: no acknowledgement while something is in flight (D3).
//! * Nothing a peer says can make a stream panic, underflow, or send entries that do not follow their base (D15, P19).
//! * Heartbeats do not pass through a phase, a window or a queue (D4, D12).
//!
//! | seed behaviour | where |
//! | --- | --- |
//! | S1-S3, S6 one stream per term and follower, its identity and state; S29 its end | [`Stream`], [`Stream::closed`] |
//! | S4, S9-S11, S19 the search between two cursors, never below the log | `search` |
//! | S5 order: one probe at a time; then pipelined, in order | `phase`, `inflights` |
//! | S7, S8 the states, the driver, the way back after each error | `phase`, `Stream::enter` |
//! | S12-S15, S20, S23, S26-S28 what is loaded, checked and sent; commit on every append | `send` |
//! | S16 silence instead of a timeout per request | `Stream::tick` |
//! | S17, S21, S22 the match point and news of it | `replies` |
//! | S24 a lag alone asks for no snapshot (D13): it changes the budget | `recovery` |
//! | S25 waiting, for time too | [`Stream::next_deadline`] |
//! | S33, S36, S40 a follower that needs a snapshot; the tail and heartbeats stay fresh | the Snapshot phase |
//! | S35 the eight kinds of error | [`StateReason`], [`CloseReason`], scene `seed_errors` |
//! | S42-S44 metrics, summaries, traces | `status`, [`Event::Stream`] |
//!
//! Defects closed here: D1 D2 `send`, `window`; D3 `Stream::tick`; D4 D12 [`Stream::heartbeat`]; D5 D27 bounded
//! appends and probes; D7 D22 D23 entries and terms out of the leader's one log; D8 D17 cold reads with backoff;
//! D13 D29 the Snapshot phase; D15 D16 D30 `replies`; D24 streams keyed by follower, not by configuration; D25 `lag`,
//! `status`; D28 `recovery`.

mod backoff;
mod inflights;
mod lag;
mod phase;
mod rate;
mod recovery;
mod replies;
mod search;
mod send;
mod status;
mod window;

pub(crate) use lag::LagRing;
pub(crate) use recovery::Recovery;
pub(crate) use replies::Beat;
pub(crate) use send::{StreamOut, View};

use crate::config::Config;
use crate::log::Log;
use crate::message::Message;
use crate::output::{CloseReason, Event, StateReason};
use crate::status::Resets;
use crate::types::{Index, LinkId, LogId, MemberId, ReadRound, StreamId, Time};
use backoff::Backoff;
use phase::Phase;
use rate::{Rate, RoundTrip};
use search::Search;
use std::time::Duration;
use window::Window;

/// The shortest silence that counts as a stall: a flush on a bad disk takes this long.
const STALL_MIN: Duration = Duration::from_secs(1);
/// Silence of this many round trips is a stall.
const STALL_ROUND_TRIPS: u32 = 4;

/// The replication stream to one follower.
#[derive(Debug)]
pub(crate) struct Stream {
    peer: MemberId,
    id: StreamId,
    append_bytes_max: u64,
    phase: Phase,
    link: Option<LinkId>,
    /// The greatest connection seen: an older one that shows up late is ignored.
    link_greatest: LinkId,
    /// The last entry the leader inherited. Nobody has a later one but from this stream.
    inherited: Index,
    /// The last entry known to be durable there and equal to the leader's.
    matched: LogId,
    /// What it had acknowledged when this connection was made: of that alone can a refusal say that it is lost, for
    /// only a restart loses it, and later refusals may be older than the acknowledgement they arrive after.
    held: Index,
    /// What earlier leaders knew it to hold of what is committed: its place until it is heard.
    known: Index,
    /// What it had acknowledged before it lost entries, until it has all of that again.
    regressed: Option<LogId>,
    window: Window,
    /// From sending a heartbeat to its reply.
    beat: RoundTrip,
    /// From sending an append to its acknowledgement: a round trip and a flush.
    delay: RoundTrip,
    rate: Rate,
    backoff: Backoff,
    retry_at: Option<Time>,
    /// The greatest commit index the follower can know from what was sent.
    sent_commit: Index,
    heard_at: Option<Time>,
    applied: Index,
    rejections: u64,
    resets: Resets,
    /// Emitted by the next poll: at most a few for each call.
    events: Vec<Event>,
}

impl Stream {
    /// A stream that knows nothing of its follower yet and has no connection.
    pub(crate) fn new(peer: MemberId, config: &Config, seed: u64) -> Self {
        Self {
            peer,
            id: StreamId::default(),
            append_bytes_max: config.append_bytes_max,
            phase: Phase::probe(Search::open(Index::ZERO)),
            link: None,
            link_greatest: LinkId::default(),
            inherited: Index(u64::MAX),
            matched: LogId::ZERO,
            held: Index::ZERO,
            known: Index::ZERO,
            regressed: None,
            window: Window::new(config),
            beat: RoundTrip::default(),
            delay: RoundTrip::default(),
            rate: Rate::default(),
            backoff: Backoff::new(seed),
            retry_at: None,
            sent_commit: Index::ZERO,
            heard_at: None,
            applied: Index::ZERO,
            rejections: 0,
            resets: Resets::new(),
            events: Vec::new(),
        }
    }

    /// The first search starts at the last entry the leader inherited: asking for the leader's own first one, which it
    /// has just appended, would cost every election a round trip.
    pub(crate) fn inheriting(mut self, last: Index) -> Self {
        self.inherited = last;
        self.phase = Phase::probe(self.search());
        self
    }

    /// What earlier leaders knew the follower to hold of what is committed. It shows; nothing is decided by it.
    pub(crate) fn known_to_hold(mut self, known: Index) -> Self {
        self.known = known;
        self
    }

    /// A search from what the follower acknowledged.
    fn search(&self) -> Search {
        let search = Search::confirm(self.matched.index);
        if self.matched == LogId::ZERO { search.at_most(self.inherited) } else { search }
    }

    /// What counts for commit: the last entry that is durable there. Nothing while the follower lacks entries it
    /// once acknowledged.
    pub(crate) fn matched(&self) -> LogId {
        if self.regressed.is_some() { LogId::ZERO } else { self.matched }
    }

    /// A heartbeat. It says nothing about the follower's log beyond what it acknowledged.
    pub(crate) fn heartbeat(
        &self,
        now: Time,
        commit: Index,
        round: ReadRound,
        reached: Vec<(MemberId, Index)>,
    ) -> Message {
        Message::Heartbeat { stream: self.id, commit: commit.min(self.matched.index), round, sent_at: now, reached }
    }

    /// How far the follower is known to hold what is committed.
    pub(crate) fn reached(&self, commit: Index) -> Index {
        self.matched().index.min(commit).max(self.known)
    }

    /// A connection stands. What was in flight on the one before is unknown: the search starts over from the match
    /// point, under a new name.
    pub(crate) fn on_link_up(&mut self, link: LinkId, id: StreamId) {
        if link <= self.link_greatest {
            return;
        }
        (self.link, self.link_greatest, self.id) = (Some(link), link, id);
        self.held = self.matched.index;
        self.window.reconnected();
        self.retry_at = None;
        match &mut self.phase {
            Phase::Snapshot { offered_at } => *offered_at = None,
            Phase::Probe { .. } | Phase::Replicate(_) => self.search_again(StateReason::Connected),
        }
    }

    /// The connection is gone.
    pub(crate) fn on_link_down(&mut self, link: LinkId) {
        if self.link != Some(link) {
            return;
        }
        self.link = None;
        match self.phase {
            Phase::Snapshot { .. } => {}
            Phase::Probe { .. } | Phase::Replicate(_) => self.search_again(StateReason::Disconnected),
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        if self.stalls_at().is_some_and(|at| at <= now) {
            self.search_again(StateReason::Stalled);
            self.back_off(now);
        }
    }

    /// The stream ends: with the leader's term, or with the follower's membership.
    pub(crate) fn closed(self, reason: CloseReason) -> Event {
        Event::StreamClosed { peer: self.peer, reason }
    }

    /// When a tick or a poll is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.link?;
        // While it backs off, nothing else is sent, so nothing else is due.
        let sends = self.retry_at.or_else(|| self.sends_at());
        sends.into_iter().chain(self.stalls_at()).min()
    }

    /// When the silence has lasted too long.
    fn stalls_at(&self) -> Option<Time> {
        self.link?;
        match &self.phase {
            Phase::Probe { awaiting, .. } => awaiting.map(|awaiting| awaiting.sent_at),
            Phase::Replicate(replicate) => (!replicate.in_flight.is_empty()).then_some(replicate.progress_at),
            Phase::Snapshot { .. } => None,
        }
        .map(|since| since.after(self.stall()))
    }

    fn stall(&self) -> Duration {
        let slowest = self.beat.smoothed().max(self.delay.smoothed()).unwrap_or_default();
        slowest.saturating_mul(STALL_ROUND_TRIPS).max(STALL_MIN)
    }

    /// Back to Probe, from what the follower acknowledged.
    fn search_again(&mut self, reason: StateReason) {
        self.enter(Phase::probe(self.search()), reason);
    }

    /// The only way into a phase.
    fn enter(&mut self, phase: Phase, reason: StateReason) {
        let (from, to) = (self.phase.state(), phase.state());
        self.phase = phase;
        self.sent_commit = Index::ZERO;
        if reason.is_reset() {
            *self.resets.entry(reason).or_default() += 1;
        }
        self.events.push(Event::Stream { peer: self.peer, from, to, reason });
    }

    fn back_off(&mut self, now: Time) {
        self.retry_at = Some(now.after(self.backoff.next()));
    }

    /// A message that makes no sense. It changes nothing.
    fn refuse(&mut self, why: &'static str) {
        self.events.push(Event::Refused { peer: self.peer, why });
    }

    /// Whether the log starts after everything the follower may match.
    fn cut_off(&self, log: &Log) -> bool {
        let start = log.start().index;
        match &self.phase {
            Phase::Probe { search, .. } => search.hi() < start,
            Phase::Replicate(replicate) => replicate.next <= start,
            Phase::Snapshot { .. } => false,
        }
    }
}

#[cfg(test)]
mod scenes;
#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
