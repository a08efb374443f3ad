//! What a stream sends: probes, appends as long as the window is open, commit news, snapshot offers.

use super::Stream;
use super::inflights::Sent;
use super::lag::LagRing;
use super::phase::{Awaiting, Cold, Phase};
use super::recovery::{CATCH_UP_BYTES, READ_BYTES, Recovery};
use super::window::Evidence;
use crate::entry::Entry;
use crate::log::{Log, Slice};
use crate::message::{Message, SnapshotOffer};
use crate::output::{Event, LogRead, StateReason};
use crate::types::{Index, LogId, MemberId, Time};
use std::time::Duration;

/// A probe that is likely to match carries a few entries: the first flush then need not wait for the answer, and
/// little is wasted if it is refused (openraft #2074).
const PROBE_ENTRIES: u64 = 8;
/// And never more bytes than this.
const PROBE_BYTES: u64 = 64 << 10;
/// While appends are in flight, commit news waits this long for one that would carry it.
const COMMIT_NEWS_WAIT: Duration = Duration::from_millis(1);
/// The pause between two offers of a snapshot; the follower's answer ends the phase.
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// Appends unanswered for so many round trips are asked about with the next heartbeat reply, not before this time:
/// a lost tail of the pipeline is then noticed long before the stall.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
const PATIENCE_ROUND_TRIPS: u32 = 4;

/// What a stream sees of its leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) log: &'a Log,
    pub(crate) lag: &'a LagRing,
    pub(crate) commit: Index,
}

/// What streams want done.
#[derive(Debug, Default)]
pub(crate) struct StreamOut {
    pub(crate) send: Vec<(MemberId, Message)>,
    pub(crate) log_reads: Vec<LogRead>,
    pub(crate) events: Vec<Event>,
}

/// What there is to send next.
enum Next {
    Entries(Vec<Entry>),
    Wait,
}

impl Stream {
    /// Sends what may be sent now.
    pub(crate) fn poll(&mut self, now: Time, view: &View<'_>, recovery: &mut Recovery, out: &mut StreamOut) {
        if self.cut_off(view.log) {
            self.enter(Phase::Snapshot { offered_at: None }, StateReason::LogCompacted);
        }
        if self.link.is_some() && self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = None;
            self.send(now, view, recovery, out);
        }
        recovery.hold(self.peer, self.cold_bytes());
        out.events.append(&mut self.events);
    }

    fn send(&mut self, now: Time, view: &View<'_>, recovery: &mut Recovery, out: &mut StreamOut) {
        match &self.phase {
            Phase::Probe { .. } => self.send_probe(now, view, out),
            Phase::Replicate(_) => {
                self.send_appends(now, view, recovery, out);
                self.send_news(now, view, out);
            }
            Phase::Snapshot { .. } => self.send_offer(now, view, out),
        }
    }

    /// One small append, then silence until it is answered.
    fn send_probe(&mut self, now: Time, view: &View<'_>, out: &mut StreamOut) {
        let Phase::Probe { search, awaiting: awaiting @ None } = &mut self.phase else { return };
        let Some(prev) = search.probe(view.log) else {
            self.enter(Phase::Snapshot { offered_at: None }, StateReason::LogCompacted);
            return self.send_offer(now, view, out);
        };
        let likely = !search.halving();
        search.probed();
        *awaiting = Some(Awaiting { prev, sent_at: now });
        let from = prev.index.next();
        let through = Index(prev.index.0 + PROBE_ENTRIES).min(view.log.last().index);
        let entries = match view.log.slice(from, through, PROBE_BYTES) {
            Slice::Cached(entries) if likely && from <= through => small(entries),
            Slice::Cached(_) | Slice::Cold | Slice::Compacted => Vec::new(),
        };
        self.append(prev, entries, view.commit, out);
    }

    /// Appends until the tail is reached or something keeps the next one back.
    fn send_appends(&mut self, now: Time, view: &View<'_>, recovery: &mut Recovery, out: &mut StreamOut) {
        let behind = view.lag.bytes_after(self.matched.index);
        self.window.judge(now, &Evidence { delay: &self.delay, rate: self.rate.get(now), behind });
        while let Next::Entries(entries) = self.next_entries(now, view, recovery, out) {
            let Phase::Replicate(replicate) = &mut self.phase else { return };
            let (first, last) = (entries.first().map(Entry::index), entries.last().map(Entry::index));
            let (Some(last), Some(prev)) = (last, view.log.id_at(replicate.next.prev())) else { return };
            if first != Some(replicate.next) {
                // Whatever went wrong while reading, it never becomes a gap in the follower's log (openraft #1795).
                self.search_again(StateReason::LogUnreadable);
                return self.back_off(now);
            }
            if replicate.in_flight.is_empty() {
                replicate.progress_at = now;
            }
            let bytes = entries.iter().map(Entry::bytes).sum();
            replicate.in_flight.push(Sent { last, bytes, at: now });
            replicate.next = last.next();
            self.append(prev, entries, view.commit, out);
        }
    }

    /// What to send next, or nothing: because all is sent, the window is full, the recovery budget is spent, or the
    /// entries are still on disk.
    fn next_entries(&mut self, now: Time, view: &View<'_>, recovery: &mut Recovery, out: &mut StreamOut) -> Next {
        let Phase::Replicate(replicate) = &mut self.phase else { return Next::Wait };
        replicate.paced_until = None;
        if replicate.next > view.log.last().index {
            return Next::Wait;
        }
        if let Some(limit) = self.window.limit(&replicate.in_flight) {
            self.window.held_back_by(limit);
            return Next::Wait;
        }
        let catching_up = view.lag.bytes_after(replicate.next.prev()) > CATCH_UP_BYTES;
        if catching_up && recovery.open_at() > now {
            replicate.paced_until = Some(recovery.open_at());
            return Next::Wait;
        }
        let Some(entries) = self.load(view.log, recovery, out) else { return Next::Wait };
        if catching_up {
            recovery.pay(now, entries.iter().map(Entry::bytes).sum());
        }
        Next::Entries(entries)
    }

    /// The entries from `next` on: from memory, or from what was read back; if they are in neither, they are asked
    /// for.
    fn load(&mut self, log: &Log, recovery: &mut Recovery, out: &mut StreamOut) -> Option<Vec<Entry>> {
        let Phase::Replicate(replicate) = &mut self.phase else { return None };
        if let Some(entries) = replicate.cold.take(replicate.next, self.append_bytes_max) {
            return Some(entries);
        }
        match log.slice(replicate.next, log.last().index, self.append_bytes_max) {
            Slice::Cached(entries) => return Some(entries),
            Slice::Compacted => return None,
            Slice::Cold => {}
        }
        recovery.hold(self.peer, replicate.cold.bytes());
        let (from, through) = (replicate.next, log.durable().index);
        if matches!(replicate.cold, Cold::Idle) && from <= through && recovery.has_room() {
            replicate.cold = Cold::Reading { from, bytes: READ_BYTES };
            out.log_reads.push(LogRead { peer: self.peer, stream: self.id, from, through, bytes_max: READ_BYTES });
        }
        None
    }

    /// An empty append to ask what the follower has, or the commit index if no append is about to carry it.
    fn send_news(&mut self, now: Time, view: &View<'_>, out: &mut StreamOut) {
        let Phase::Replicate(replicate) = &mut self.phase else { return };
        let sent = replicate.next.prev();
        let news = sent == view.log.last().index && view.commit.min(sent) > self.sent_commit;
        let waited = if news {
            let since = *replicate.commit_since.get_or_insert(now);
            replicate.in_flight.is_empty() || since.after(COMMIT_NEWS_WAIT) <= now
        } else {
            replicate.commit_since = None;
            false
        };
        if std::mem::take(&mut replicate.nudge) {
            replicate.commit_since = None;
            if let Some(prev) = view.log.id_at(sent) {
                self.append(prev, Vec::new(), view.commit, out);
            }
        } else if waited {
            replicate.commit_since = None;
            self.sent_commit = view.commit.min(sent);
            let news = Message::Commit { stream: self.id, commit: self.sent_commit };
            out.send.push((self.peer, news));
        }
    }

    /// The snapshot that the log goes on from, and an empty append behind it: the follower acknowledges that as soon
    /// as it reaches the log, by whatever way.
    fn send_offer(&mut self, now: Time, view: &View<'_>, out: &mut StreamOut) {
        let Phase::Snapshot { offered_at } = &mut self.phase else { return };
        if offered_at.is_some_and(|at| at.after(OFFER_EVERY) > now) {
            return;
        }
        *offered_at = Some(now);
        let last = view.log.start();
        out.send.push((self.peer, Message::Snapshot { stream: self.id, offer: SnapshotOffer { last } }));
        self.append(last, Vec::new(), view.commit, out);
    }

    fn append(&mut self, prev: LogId, entries: Vec<Entry>, commit: Index, out: &mut StreamOut) {
        let through = entries.last().map_or(prev.index, Entry::index);
        self.sent_commit = self.sent_commit.max(commit.min(through));
        out.send.push((self.peer, Message::Append { stream: self.id, prev, entries, commit }));
    }

    /// When something waits to be sent for time alone.
    pub(super) fn sends_at(&self) -> Option<Time> {
        match &self.phase {
            Phase::Probe { .. } => None,
            Phase::Replicate(replicate) => {
                let news = replicate.commit_since.map(|since| since.after(COMMIT_NEWS_WAIT));
                news.into_iter().chain(replicate.paced_until).min()
            }
            Phase::Snapshot { offered_at } => offered_at.map(|at| at.after(OFFER_EVERY)),
        }
    }

    /// How long an append may be unanswered before a heartbeat reply makes the stream ask.
    pub(super) fn patience(&self) -> Duration {
        let slowest = self.beat.smoothed().max(self.delay.smoothed()).unwrap_or_default();
        slowest.saturating_mul(PATIENCE_ROUND_TRIPS).max(PATIENCE_MIN)
    }

    fn cold_bytes(&self) -> u64 {
        match &self.phase {
            Phase::Replicate(replicate) => replicate.cold.bytes(),
            Phase::Probe { .. } | Phase::Snapshot { .. } => 0,
        }
    }
}

/// Without the one large entry that a slice gives at least.
fn small(mut entries: Vec<Entry>) -> Vec<Entry> {
    if entries.iter().map(Entry::bytes).sum::<u64>() > PROBE_BYTES {
        entries.clear();
    }
    entries
}
