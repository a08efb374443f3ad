//! How much may be in flight: in messages and in bytes, never more than the follower has credit for.
//!
//! The window follows the pipe: twice what the follower makes durable during its least round trip. It moves only
//! while it is what holds the stream back. It shrinks when the follower's durable lag grows while its
//! acknowledgements slow down: a deeper queue in front of a slow disk adds delay and nothing else
//! (hashicorp/raft #541). The bound in messages never shrinks: small writes make no deep queue, and while they wait
//! for it they form larger appends.

use super::inflights::Inflights;
use super::rate::RoundTrip;
use crate::config::Config;
use crate::planted::{Bug, is_planted};
use crate::types::Time;
use std::time::Duration;

/// Messages a window starts with.
const MESSAGES_START: usize = 64;
/// What a window never shrinks below: one full append at its default size keeps any disk busy.
const BYTES_MIN: u64 = 1 << 20;
/// The window is judged at most this often, or once in a round trip if that is longer.
const JUDGED_EVERY: Duration = Duration::from_millis(10);
/// Acknowledgements slower than the least by this factor say that there is a queue.
const QUEUE_FACTOR: u32 = 2;

/// What the window may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    bytes_start: u64,
    bytes_max: u64,
    messages_max: usize,
}

/// The window of one stream.
#[derive(Debug)]
pub(super) struct Window {
    bounds: Bounds,
    bytes: u64,
    messages: usize,
    /// What the follower would still take, as last reported on this connection.
    credit: Option<u64>,
    limited: Option<Limit>,
    judged_at: Time,
    behind: u64,
}

/// What keeps the next append back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Bytes,
    Messages,
    Credit,
}

/// What the window is judged by.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// From sending an append to its acknowledgement.
    pub(super) delay: &'a RoundTrip,
    /// Bytes made durable per second.
    pub(super) rate: u64,
    /// Bytes the follower has not made durable.
    pub(super) behind: u64,
}

impl Window {
    pub(super) fn new(config: &Config) -> Self {
        let bounds = Bounds {
            bytes_start: config.inflight_bytes_start.min(config.inflight_bytes_max),
            bytes_max: config.inflight_bytes_max,
            messages_max: config.inflight_messages_max.max(1),
        };
        Self {
            bounds,
            bytes: bounds.bytes_start,
            messages: MESSAGES_START.min(bounds.messages_max),
            credit: None,
            limited: None,
            judged_at: Time::default(),
            behind: 0,
        }
    }

    /// A new connection: the follower's credit is not known yet.
    pub(super) fn reconnected(&mut self) {
        *self = Self {
            bytes: self.bounds.bytes_start,
            messages: MESSAGES_START.min(self.bounds.messages_max),
            credit: None,
            limited: None,
            behind: 0,
            ..*self
        };
    }

    pub(super) fn set_credit(&mut self, bytes: u64) {
        self.credit = Some(bytes);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the follower would still take; everything while it has not said.
    pub(super) fn credit(&self) -> u64 {
        self.credit.unwrap_or(u64::MAX)
    }

    /// What keeps the next append back, if anything. The bounds are soft by one append, so a single entry larger
    /// than the window still passes.
    pub(super) fn limit(&self, in_flight: &Inflights) -> Option<Limit> {
        if is_planted(Bug::WindowIgnored) {
            None
        } else if in_flight.bytes() >= self.credit() {
            Some(Limit::Credit)
        } else if in_flight.bytes() >= self.bytes {
            Some(Limit::Bytes)
        } else if in_flight.messages() >= self.messages {
            Some(Limit::Messages)
        } else {
            None
        }
    }

    /// The stream had something to send and the window kept it back.
    pub(super) fn held_back_by(&mut self, limit: Limit) {
        self.limited = Some(limit);
    }

    /// Fits the window to the pipe.
    pub(super) fn judge(&mut self, now: Time, evidence: &Evidence<'_>) {
        let (Some(smoothed), Some(least)) = (evidence.delay.smoothed(), evidence.delay.least()) else {
            return;
        };
        if now.since(self.judged_at) < smoothed.max(JUDGED_EVERY) {
            return;
        }
        let queueing = smoothed > least * QUEUE_FACTOR;
        match self.limited {
            Some(Limit::Bytes) if queueing && evidence.behind > self.behind => self.shrink(),
            Some(Limit::Bytes) => self.grow_bytes(evidence.rate, least),
            Some(Limit::Messages) if !queueing => self.messages = (self.messages * 2).min(self.bounds.messages_max),
            Some(Limit::Messages | Limit::Credit) | None => {}
        }
        (self.limited, self.judged_at, self.behind) = (None, now, evidence.behind);
    }

    fn shrink(&mut self) {
        self.bytes = (self.bytes / 8 * 7).max(BYTES_MIN.min(self.bounds.bytes_start));
    }

    fn grow_bytes(&mut self, rate: u64, least: Duration) {
        let pipe = u128::from(rate) * least.as_micros() * 2 / 1_000_000;
        let pipe = u64::try_from(pipe).unwrap_or(u64::MAX);
        let wanted = pipe.max(self.bounds.bytes_start).min(self.bounds.bytes_max);
        self.bytes = self.bytes.max(wanted.min(self.bytes * 2));
    }
}

#[cfg(test)]
mod tests {
    use super::super::inflights::Sent;
    use super::*;
    use crate::types::{Index, MemberId};

    const MIB: u64 = 1 << 20;

    fn window() -> Window {
        Window::new(&Config::new(MemberId(1), 1))
    }

    fn delay(least: u64, now: u64) -> RoundTrip {
        let mut trip = RoundTrip::default();
        trip.sample(Time(0), Duration::from_millis(least));
        (0..50).for_each(|_| trip.sample(Time(1), Duration::from_millis(now)));
        trip
    }

    fn in_flight(messages: u64, bytes: u64) -> Inflights {
        let mut inflights = Inflights::default();
        (1..=messages).for_each(|n| inflights.push(Sent { last: Index(n), bytes, at: Time(0) }));
        inflights
    }

    #[test]
    fn it_is_bounded_in_messages_in_bytes_and_by_credit() {
        let mut window = window();
        assert_eq!(window.limit(&in_flight(63, 1)), None);
        assert_eq!(window.limit(&in_flight(64, 1)), Some(Limit::Messages));
        assert_eq!(window.limit(&in_flight(4, MIB)), Some(Limit::Bytes));
        window.set_credit(2 * MIB);
        assert_eq!(window.limit(&in_flight(2, MIB)), Some(Limit::Credit));
        window.set_credit(0);
        assert_eq!(window.limit(&in_flight(0, 0)), Some(Limit::Credit));
        window.reconnected();
        assert_eq!(window.limit(&in_flight(0, 0)), None);
    }

    #[test]
    fn it_grows_to_twice_the_pipe_while_it_is_the_limit() {
        let mut window = window();
        let (delay, rate) = (delay(100, 100), 100 * MIB);
        for round in 1..10 {
            window.held_back_by(Limit::Bytes);
            window.judge(Time(round * 1_000_000), &Evidence { delay: &delay, rate, behind: 8 * MIB });
        }
        assert_eq!(window.bytes(), 20 * MIB);
    }

    #[test]
    fn it_never_outgrows_its_cap() {
        let mut window = window();
        let delay = delay(1000, 1000);
        for round in 1..20 {
            window.held_back_by(if round % 2 == 0 { Limit::Bytes } else { Limit::Messages });
            window.judge(Time(round * 10_000_000), &Evidence { delay: &delay, rate: u64::MAX, behind: 0 });
        }
        assert_eq!((window.bytes(), window.messages), (32 * MIB, 256));
    }

    #[test]
    fn it_stays_when_something_else_is_the_limit() {
        let mut window = window();
        window.judge(Time(1_000_000), &Evidence { delay: &delay(100, 100), rate: 100 * MIB, behind: 0 });
        window.judge(Time(2_000_000), &Evidence { delay: &delay(5, 200), rate: MIB, behind: 9 * MIB });
        assert_eq!((window.bytes(), window.messages), (4 * MIB, MESSAGES_START));
    }

    #[test]
    fn it_shrinks_to_a_floor_when_durable_lag_grows_behind_a_queue_and_recovers() {
        let mut window = window();
        let slow = delay(5, 200);
        for round in 1..60 {
            window.held_back_by(Limit::Bytes);
            window.judge(Time(round * 1_000_000), &Evidence { delay: &slow, rate: MIB, behind: round * MIB });
        }
        assert_eq!((window.bytes(), window.messages), (MIB, MESSAGES_START));
        window.held_back_by(Limit::Bytes);
        window.judge(Time(100_000_000), &Evidence { delay: &delay(5, 5), rate: MIB, behind: 0 });
        assert_eq!(window.bytes(), 2 * MIB);
    }
}
