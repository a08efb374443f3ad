//! What catching up may cost the leader, over all its streams: so many bytes in memory at once, so many a second.
//! The hot quorum keeps the disk, the processor and the network.
//!
//! * Each stream says what it holds, as a whole, after every step; nothing is added and subtracted, so nothing leaks.
//! * The pace protects clients that write. While none does, or while commit itself waits for a follower that is
//!   behind, thrift would only prolong the time without redundancy: the pace is off, and nothing is owed for it later.

use crate::types::{MemberId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// A follower this far behind is caught up within the budget: by then its entries have left the memory of whoever
/// holds the hot set, and its traffic is no longer what commit waits for.
pub(crate) const CATCH_UP_BYTES: u64 = 16 << 20;
/// One read: large enough that a disk reads at its full rate.
pub(crate) const READ_BYTES: u64 = 1 << 20;
/// All reads under way or waiting to be sent: four streams at once keep a disk busy.
const HELD_BYTES_MAX: u64 = 4 * READ_BYTES;
/// About half of what a gigabit link carries.
const BYTES_PER_SECOND: u64 = 64 << 20;
/// What may be sent at once after a pause, so that the pace is smooth.
const BURST_BYTES: u64 = 2 * READ_BYTES;
/// With no write for so long there is nobody for the pace to protect. A client that waits for each of its writes makes
/// shorter pauses on any disk that is fit for a quorum.
const QUIET_AFTER: Duration = Duration::from_millis(100);

/// The budget of one leader.
#[derive(Debug)]
pub(crate) struct Recovery {
    held: BTreeMap<MemberId, u64>,
    /// When everything sent so far has been paid for.
    paid_at: Time,
    urgent: bool,
    /// The pace is on until then, for the last write of a client.
    quiet_at: Time,
}

impl Recovery {
    pub(crate) fn new() -> Self {
        Self { held: BTreeMap::new(), paid_at: Time::default(), urgent: false, quiet_at: Time::default() }
    }

    /// Whether commit waits for a follower that is behind.
    pub(crate) fn set_urgent(&mut self, urgent: bool) {
        self.urgent = urgent;
    }

    /// A client has written.
    pub(crate) fn written(&mut self, now: Time) {
        self.quiet_at = now.after(QUIET_AFTER);
    }

    /// This stream now holds so many bytes of reads.
    pub(super) fn hold(&mut self, peer: MemberId, bytes: u64) {
        if bytes == 0 {
            self.held.remove(&peer);
        } else {
            self.held.insert(peer, bytes);
        }
    }

    /// The stream is closed.
    pub(crate) fn forget(&mut self, peer: MemberId) {
        self.held.remove(&peer);
    }

    /// Whether one more read fits.
    pub(super) fn has_room(&self) -> bool {
        self.held.values().sum::<u64>() + READ_BYTES <= HELD_BYTES_MAX
    }

    /// When the next append of a follower that catches up may leave; the past means at once.
    pub(super) fn open_at(&self) -> Time {
        if self.urgent { Time::default() } else { self.paid_at.before(cost(BURST_BYTES)).min(self.quiet_at) }
    }

    /// So many bytes were sent to a follower that catches up.
    pub(super) fn pay(&mut self, now: Time, bytes: u64) {
        if !self.urgent && now < self.quiet_at {
            self.paid_at = self.paid_at.max(now).after(cost(bytes));
        }
    }
}

/// How long so many bytes take at the pace.
fn cost(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_all_streams_share_one_budget() {
        let mut recovery = Recovery::new();
        for peer in 1..=4 {
            assert!(recovery.has_room());
            recovery.hold(MemberId(peer), READ_BYTES);
        }
        assert!(!recovery.has_room());
        recovery.hold(MemberId(2), READ_BYTES);
        recovery.hold(MemberId(1), 0);
        assert!(recovery.has_room());
        recovery.hold(MemberId(5), READ_BYTES);
        recovery.forget(MemberId(3));
        assert!(recovery.has_room());
    }

    #[test]
    fn the_pace_holds_over_time_and_a_pause_earns_one_burst() {
        let mut recovery = Recovery::new();
        let mut now = Time(3_600_000_000);
        let start = now;
        let mut sent = 0;
        while now.since(start) < Duration::from_secs(10) {
            recovery.written(now);
            if recovery.open_at() <= now {
                recovery.pay(now, READ_BYTES);
                sent += READ_BYTES;
            } else {
                now = recovery.open_at();
            }
        }
        assert!(sent <= 10 * BYTES_PER_SECOND + BURST_BYTES + READ_BYTES, "{sent}");
        assert!(sent >= 10 * BYTES_PER_SECOND, "{sent}");
    }

    #[test]
    fn urgency_lifts_the_pace() {
        let mut recovery = Recovery::new();
        recovery.written(Time(0));
        recovery.pay(Time(0), 100 * READ_BYTES);
        assert!(recovery.open_at() > Time(0));
        recovery.set_urgent(true);
        assert!(recovery.open_at() <= Time(0));
    }

    #[test]
    fn silence_of_clients_lifts_the_pace_and_leaves_no_debt() {
        let (mut recovery, start) = (Recovery::new(), Time(3_600_000_000));
        recovery.written(start);
        recovery.pay(start, 100 * READ_BYTES);
        let quiet = start.after(QUIET_AFTER);
        assert_eq!(recovery.open_at(), quiet);
        recovery.pay(quiet, 10_000 * READ_BYTES);
        let later = start.after(Duration::from_secs(2));
        recovery.written(later);
        assert!(recovery.open_at() <= later, "what was sent in silence is owed");
    }
}
