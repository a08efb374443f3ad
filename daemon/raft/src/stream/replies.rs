//! What the follower says, and what the disk gives back.

use super::Stream;
use super::phase::{Cold, Phase, Replicate};
use super::search::Search;
use crate::entry::Entry;
use crate::input::LogReadFailure;
use crate::log::Log;
use crate::message::{Ack, Reject};
use crate::output::{Event, StateReason};
use crate::planted::{Bug, is_planted};
use crate::types::{Index, LogId, StreamId, Time};

/// A heartbeat came back, as far as the stream is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    /// The stream it names.
    pub(crate) stream: StreamId,
    /// When the heartbeat was sent.
    pub(crate) echo: Time,
    /// The follower's applied index.
    pub(crate) applied: Index,
    /// What the follower would still take.
    pub(crate) credit_bytes: u64,
}

impl Stream {
    /// The follower has made entries durable. Returns the new match point if it counts for commit and has advanced.
    pub(crate) fn on_ack(&mut self, now: Time, ack: &Ack, log: &Log) -> Option<LogId> {
        if !self.is_current(ack.stream) {
            return None;
        }
        self.heard(now, ack.applied, ack.credit_bytes);
        let durable = ack.durable;
        if durable.index > log.last().index || !log.contains(durable) {
            self.refuse("acknowledged an entry that is not in the log");
            return None;
        }
        self.backoff.succeeded();
        let advanced = durable.index > self.matched.index;
        if advanced {
            self.matched = durable;
        }
        self.acknowledged(now, durable, log);
        let healed = self.regressed.take_if(|lost| lost.index <= durable.index).is_some();
        (self.regressed.is_none() && (advanced || healed)).then_some(self.matched)
    }

    /// What an acknowledgement means for the phase.
    fn acknowledged(&mut self, now: Time, durable: LogId, log: &Log) {
        match &mut self.phase {
            Phase::Probe { search, awaiting } => {
                search.raise(durable.index);
                // An older acknowledgement says nothing about the probe that is on its way.
                let answered = awaiting.is_none_or(|awaiting| awaiting.prev.index <= durable.index);
                if answered {
                    *awaiting = None;
                }
                if answered && durable.index >= search.lo() && search.settled() {
                    self.retry_at = None;
                    let next = self.matched.index.next();
                    self.enter(Phase::Replicate(Replicate::from(next, now)), StateReason::Matched);
                }
            }
            Phase::Replicate(replicate) => {
                let freed = replicate.in_flight.free_through(durable.index);
                replicate.next = replicate.next.max(durable.index.next());
                if let Some(sent_at) = freed.youngest {
                    replicate.progress_at = now;
                    self.delay.sample(now, now.since(sent_at));
                    self.rate.add(now, freed.bytes);
                }
            }
            // Any entry of the log will do, whatever was offered and wherever it came from (etcd-raft #110).
            Phase::Snapshot { .. } if durable.index >= log.start().index => {
                self.retry_at = None;
                let next = self.matched.index.max(durable.index).next();
                self.enter(Phase::Replicate(Replicate::from(next, now)), StateReason::SnapshotInstalled);
            }
            Phase::Snapshot { .. } => {}
        }
    }

    /// The follower has no entry where an append was to go.
    pub(crate) fn on_reject(&mut self, now: Time, reject: &Reject, log: &Log) {
        if !self.is_current(reject.stream) {
            return;
        }
        self.heard_at = Some(now);
        // What is committed is refused by nobody who has it: its disk was replaced.
        if reject.denies(self.known) {
            self.known = Index::ZERO;
        }
        match &mut self.phase {
            Phase::Probe { awaiting, .. } if awaiting.is_some_and(|awaiting| awaiting.prev == reject.prev) => {
                self.rejections += 1;
                self.probe_refused(now, reject, log);
            }
            Phase::Replicate(replicate) if reject.prev.index < replicate.next => {
                self.rejections += 1;
                let mut search = Search::confirm(self.matched.index);
                // A refusal at the match point itself may be an old one: ask there once more before believing it.
                if reject.prev.index > self.matched.index {
                    search.refused(reject, log);
                }
                self.enter(Phase::probe(search), StateReason::Rejected);
            }
            // It answers a probe or an append that a reset has already written off, or the question that goes with
            // an offer: the follower has not installed the snapshot yet.
            Phase::Probe { .. } | Phase::Replicate(_) | Phase::Snapshot { .. } => {}
        }
    }

    fn probe_refused(&mut self, now: Time, reject: &Reject, log: &Log) {
        if reject.prev.index == Index::ZERO {
            self.refuse("refused the beginning of the log");
            self.search_again(StateReason::Rejected);
            self.back_off(now);
        } else if reject.denies(self.held) {
            self.lost_entries(reject, log);
        } else if reject.denies(self.matched.index) {
            // It left before the acknowledgement that has overtaken it. The probe is still to be answered.
        } else if let Phase::Probe { search, awaiting } = &mut self.phase {
            *awaiting = None;
            search.refused(reject, log);
        }
    }

    /// The follower lacks what it acknowledged: its disk was replaced, or lies.
    fn lost_entries(&mut self, reject: &Reject, log: &Log) {
        if is_planted(Bug::LossOverlooked) {
            return;
        }
        let acknowledged = self.regressed.unwrap_or_default().max(self.matched);
        self.regressed = Some(acknowledged);
        (self.matched, self.held) = (LogId::ZERO, Index::ZERO);
        self.events.push(Event::Regressed { peer: self.peer, acknowledged, found: reject.last });
        let mut search = Search::open(Index::ZERO);
        search.refused(reject, log);
        self.enter(Phase::probe(search), StateReason::Regressed);
    }

    /// A heartbeat came back. Returns whether it belongs to this connection.
    pub(crate) fn on_heartbeat_reply(&mut self, now: Time, beat: &Beat) -> bool {
        if !self.is_current(beat.stream) {
            return false;
        }
        self.heard(now, beat.applied, beat.credit_bytes);
        // The echo is the peer's to invent: one from the future is no measurement.
        if beat.echo <= now {
            self.beat.sample(now, now.since(beat.echo));
        }
        let patience = self.patience();
        if let Phase::Replicate(replicate) = &mut self.phase {
            let stuck = replicate.in_flight.oldest().is_some_and(|oldest| now.since(oldest) > patience);
            replicate.nudge |= stuck || self.window.limit(&replicate.in_flight).is_some();
        }
        true
    }

    /// Entries came back from disk, or did not.
    pub(crate) fn on_log_read(&mut self, now: Time, stream: StreamId, result: Result<Vec<Entry>, LogReadFailure>) {
        let Phase::Replicate(replicate) = &mut self.phase else { return };
        let Cold::Reading { from, .. } = replicate.cold else { return };
        if stream != self.id {
            return;
        }
        replicate.cold = Cold::Idle;
        match result {
            Ok(entries) if follows(from, &entries) => {
                let bytes = entries.iter().map(Entry::bytes).sum();
                replicate.cold = Cold::Ready { entries: entries.into(), bytes };
            }
            // The log was cut meanwhile. The core is told so too, and then the next poll sees it.
            Err(LogReadFailure::Compacted) => self.back_off(now),
            Ok(_) | Err(LogReadFailure::Unreadable) => {
                self.search_again(StateReason::LogUnreadable);
                self.back_off(now);
            }
        }
    }

    fn is_current(&self, stream: StreamId) -> bool {
        self.link.is_some() && stream == self.id
    }

    fn heard(&mut self, now: Time, applied: Index, credit_bytes: u64) {
        self.heard_at = Some(now);
        self.applied = applied;
        self.window.set_credit(credit_bytes);
    }
}

impl Reject {
    /// Whether it says that the follower lacks the entry at `index`.
    fn denies(&self, index: Index) -> bool {
        self.prev.index <= index || self.last.index < index
    }
}

/// Whether these are the entries asked for: consecutive from the first.
fn follows(from: Index, entries: &[Entry]) -> bool {
    !entries.is_empty() && (from.0..).zip(entries).all(|(index, entry)| entry.index().0 == index)
}
