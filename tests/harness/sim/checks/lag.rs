//! S15: what a leader says of its followers, held against the disks.

use super::{Verdict, ensure};
use crate::sim::image::LogImage;
use raft::{FollowerStatus, Index, StreamState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a leader says of one follower while it leads.
///
/// # Errors
/// S15 when it takes for durable what the follower's disk does not hold, or counts the lag wrong. It counts from what the
/// follower acknowledged, or from what earlier leaders `known` to it said: no less than they told it, and nothing beyond
/// what is committed.
pub fn check(leader: &LogImage, follower: &LogImage, known: &RangeInclusive<Index>, said: &FollowerStatus) -> Verdict {
    let matched = said.matched.index;
    ensure("S15", follower.contains(said.matched) || matched == Index::ZERO, || {
        format!("{} is said to match {}, its disk ends at {}", said.member, said.matched, follower.last().last)
    })?;
    let last = leader.last();
    let reached = last.last.index.0.checked_sub(said.lag.entries).map(Index);
    let is_known = said.lag.approximate && reached <= Some(*known.end());
    let is_it = reached == Some(matched) || is_known;
    ensure("S15", is_it && reached >= Some(matched.max(*known.start())), || {
        format!("{} is said to be {:?} behind {}, matches {matched}, {known:?}", said.member, said.lag, last.last)
    })?;
    let Some(from) = reached.and_then(|reached| leader.at(reached)) else { return Ok(()) };
    ensure("S15", follower.contains(from.last) || from.last.index == Index::ZERO, || {
        format!("{} is said to be at {}, its disk ends at {}", said.member, from.last, follower.last().last)
    })?;
    let bytes = last.bytes - from.bytes;
    ensure("S15", said.lag.approximate || said.lag.bytes == bytes, || {
        format!("{} is said to be {:?} behind, it is {bytes} bytes", said.member, said.lag)
    })?;
    ensure("S15", said.lag.entries > 0 || said.lag.age == Duration::ZERO, || {
        format!("{} has everything and is said to be {:?} behind", said.member, said.lag)
    })
}

/// What a leader says of a follower that has had time to catch up.
///
/// # Errors
/// S15 when it is not said to have everything, exactly.
pub fn check_caught_up(leader: &LogImage, said: &FollowerStatus) -> Verdict {
    let lag = said.lag;
    let none = lag.entries == 0 && lag.bytes == 0 && lag.age == Duration::ZERO && !lag.approximate;
    let caught_up = none && said.state == StreamState::Replicate && said.matched == leader.last().last;
    ensure("S15", caught_up && said.in_flight_messages == 0 && said.in_flight_bytes == 0, || {
        format!("{} has caught up with {} and is said to be {said:?}", said.member, leader.last().last)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{assert_refused, follower};
    use super::*;
    use raft::{Entry, EntryKind, IoId, Lag, LogId, Persist};

    const NOTHING: RangeInclusive<Index> = Index(0)..=Index(0);

    fn log_of(last: u64) -> LogImage {
        let append = (1..=last).map(|at| Entry::new(LogId::new(1, at), EntryKind::Command, 0, b"payload")).collect();
        let mut log = LogImage::format(None);
        log.apply(&Persist { io: IoId(1), append, ..Persist::default() }).expect("consecutive");
        log
    }

    fn said(matched: u64, entries: u64) -> FollowerStatus {
        let age = Duration::from_secs(entries);
        follower(matched, Lag { entries, bytes: entries * 48, age, approximate: false })
    }

    #[test]
    fn the_truth_passes() {
        check(&log_of(5), &log_of(3), &NOTHING, &said(3, 2)).expect("true");
        check_caught_up(&log_of(3), &said(3, 0)).expect("true");
    }

    #[test]
    fn a_match_the_disk_does_not_hold_is_refused() {
        assert_refused(check(&log_of(5), &log_of(2), &NOTHING, &said(3, 2)), "S15");
    }

    #[test]
    fn a_lag_counted_wrong_is_refused() {
        assert_refused(check(&log_of(5), &log_of(3), &NOTHING, &said(3, 1)), "S15");
        let wrong_bytes = FollowerStatus { lag: Lag { bytes: 95, ..said(3, 2).lag }, ..said(3, 2) };
        assert_refused(check(&log_of(5), &log_of(3), &NOTHING, &wrong_bytes), "S15");
        let aged = FollowerStatus { lag: Lag { age: Duration::from_secs(1), ..said(3, 0).lag }, ..said(3, 0) };
        assert_refused(check(&log_of(3), &log_of(3), &NOTHING, &aged), "S15");
    }

    #[test]
    fn one_that_was_not_heard_is_where_the_leader_was_told() {
        let unheard = |entries| FollowerStatus { lag: Lag { approximate: true, ..said(0, entries).lag }, ..said(0, 0) };
        check(&log_of(5), &log_of(3), &(Index(3)..=Index(4)), &unheard(2)).expect("as told");
        assert_refused(check(&log_of(5), &log_of(3), &(Index(3)..=Index(4)), &unheard(5)), "S15");
        assert_refused(check(&log_of(5), &log_of(2), &(Index(3)..=Index(4)), &unheard(2)), "S15");
        // It may have the last entry, but nobody can have known.
        assert_refused(check(&log_of(5), &log_of(5), &(Index(3)..=Index(4)), &unheard(0)), "S15");
    }

    #[test]
    fn a_follower_that_has_everything_and_is_said_to_lag_is_refused() {
        assert_refused(check_caught_up(&log_of(3), &said(2, 1)), "S15");
        let probing = FollowerStatus { state: StreamState::Probe, ..said(3, 0) };
        assert_refused(check_caught_up(&log_of(3), &probing), "S15");
    }
}
