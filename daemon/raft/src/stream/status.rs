//! What a stream shows: computed when asked, from what it works with.

use super::Stream;
use super::phase::Phase;
use super::send::View;
use super::window::Limit;
use crate::log::Log;
use crate::planted::{Bug, is_planted};
use crate::status::{FollowerStatus, Lag, PausedReason};
use crate::types::{Index, LogId, Time};

impl Stream {
    /// The follower as the leader sees it; connected or not.
    pub(crate) fn status(&self, now: Time, view: &View<'_>, learner: bool) -> FollowerStatus {
        let (in_flight_messages, in_flight_bytes) = match &self.phase {
            Phase::Replicate(replicate) => (replicate.in_flight.messages() as u64, replicate.in_flight.bytes()),
            Phase::Probe { .. } | Phase::Snapshot { .. } => (0, 0),
        };
        FollowerStatus {
            member: self.peer,
            learner,
            state: self.phase.state(),
            paused: self.paused(now, view.log),
            matched: self.matched,
            next: self.next(),
            lag: self.lag(now, view),
            applied: self.applied,
            in_flight_messages,
            in_flight_bytes,
            window_bytes: self.window.bytes(),
            credit_bytes: self.window.credit(),
            round_trip: self.beat.smoothed(),
            ack_bytes_per_second: self.rate.get(now),
            silent_for: self.heard_at.map(|at| now.since(at)),
            rejections: self.rejections,
            resets: self.resets.clone(),
        }
    }

    /// Until the match point is found, all that is known of what the follower has is what earlier leaders knew, if they
    /// did: that is a bound, no figure.
    fn lag(&self, now: Time, view: &View<'_>) -> Lag {
        let acknowledged = if is_planted(Bug::LagFromSent) { self.next().prev() } else { self.matched.index };
        let reached = acknowledged.max(self.known);
        let lag = view.lag.lag(now, reached);
        let unheard = self.matched == LogId::ZERO && matches!(self.phase, Phase::Probe { .. });
        let unknown = unheard || self.known > self.matched.index;
        Lag { approximate: lag.approximate || (unknown && lag.entries > 0), ..lag }
    }

    fn next(&self) -> Index {
        match &self.phase {
            Phase::Replicate(replicate) => replicate.next,
            Phase::Probe { .. } | Phase::Snapshot { .. } => self.matched.index.next(),
        }
    }

    fn paused(&self, now: Time, log: &Log) -> PausedReason {
        if self.link.is_none() {
            return PausedReason::Disconnected;
        }
        let backoff = self.retry_at.is_some_and(|at| at > now);
        match &self.phase {
            Phase::Snapshot { .. } => PausedReason::Snapshot,
            Phase::Probe { .. } | Phase::Replicate(_) if backoff => PausedReason::Backoff,
            Phase::Probe { awaiting: Some(_), .. } => PausedReason::ProbeWait,
            Phase::Probe { awaiting: None, .. } => PausedReason::None,
            Phase::Replicate(replicate) if replicate.next > log.last().index => PausedReason::None,
            Phase::Replicate(replicate) => match self.window.limit(&replicate.in_flight) {
                Some(Limit::Credit) => PausedReason::NoCredit,
                Some(Limit::Bytes | Limit::Messages) => PausedReason::WindowFull,
                // After a poll an open window is used up, unless the entries are on disk or over the budget.
                None => PausedReason::LogRead,
            },
        }
    }
}
