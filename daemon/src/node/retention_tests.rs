use super::*;
use raft::{FollowerStatus, Lag, LogId, MemberId, PausedReason};

/// Entries of 1 KiB each, the last one is 10,000.
const LAST: u64 = 10_000;

fn tail(bytes: u64) -> Index {
    Index(LAST + 1 - (bytes >> 10).min(LAST))
}

fn rules() -> Snapshot {
    Snapshot {
        entries: 100,
        catchup_entries: 500,
        segment_bytes: 1 << 20,
        tail_bytes: 1 << 20,
        anchor_bytes: 4 << 20,
        send_bytes_per_second: 0,
        anchor_time: Duration::from_secs(60),
    }
}

fn follower(state: StreamState, matched: u64, silent_secs: Option<u64>) -> FollowerStatus {
    FollowerStatus {
        member: MemberId(2),
        learner: false,
        state,
        paused: PausedReason::None,
        matched: LogId::new(1, matched),
        next: Index(matched + 1),
        lag: Lag::default(),
        applied: Index(matched),
        in_flight_messages: 0,
        in_flight_bytes: 0,
        window_bytes: 0,
        credit_bytes: 0,
        round_trip: None,
        ack_bytes_per_second: 0,
        silent_for: silent_secs.map(Duration::from_secs),
        rejections: 0,
        resets: std::collections::BTreeMap::default(),
    }
}

/// The cut, with the first entry and what is held back.
fn decided(flushed: u64, first: u64, followers: &[FollowerStatus], leading_secs: u64) -> (Option<u64>, u64) {
    let mut retention = Retention::new(rules());
    let leading_for = Duration::from_secs(leading_secs);
    let view = View { flushed: Index(flushed), first: Index(first), followers, leading_for, staged: None };
    let cut = retention.decide(view, tail);
    (cut.map(|index| index.0), retention.held)
}

#[test]
fn the_tail_is_kept_and_what_is_before_it_goes() {
    assert_eq!(decided(9_900, 1, &[], 0), (Some(9_400), 0));
    assert_eq!(decided(400, 1, &[], 0), (Some(400), 0), "nothing beyond what is flushed, though the tail is over");
    assert_eq!(decided(0, 1, &[], 0), (None, 0), "nothing is flushed");
}

#[test]
fn a_cut_of_few_entries_is_not_worth_it() {
    assert_eq!(decided(9_900, 9_302, &[], 0), (None, 0), "99 entries");
    assert_eq!(decided(9_900, 9_301, &[], 0), (Some(9_400), 0), "100 entries");
}

#[test]
fn a_tail_of_large_entries_is_bounded_in_bytes() {
    let large = |bytes: u64| Index(LAST + 1 - (bytes >> 14));
    let mut retention = Retention::new(rules());
    let (flushed, first) = (Index(LAST), Index(9_930));
    let view = View { flushed, first, followers: &[], leading_for: Duration::ZERO, staged: None };
    assert_eq!(retention.decide(view, large), Some(Index(LAST - 64)), "64 entries of 16 KiB, and a small cut");
}

#[test]
fn a_follower_that_is_behind_holds_the_log_within_bounds() {
    let at = |matched| [follower(StreamState::Replicate, matched, Some(1))];
    assert_eq!(decided(9_900, 1, &at(9_800), 9), (Some(9_400), 0), "near enough to live off the tail");
    assert_eq!(decided(9_900, 1, &at(7_000), 9), (Some(7_000), 2_400));
    assert_eq!(decided(9_900, 1, &at(200), 9), (Some(LAST - 4_096), 9_400 - (LAST - 4_096)), "no more than 4 MiB");
    let two = [follower(StreamState::Probe, 7_000, Some(1)), follower(StreamState::Replicate, 8_000, Some(1))];
    assert_eq!(decided(9_900, 1, &two, 9).0, Some(7_000), "the slowest counts");
}

#[test]
fn a_follower_that_is_away_too_long_holds_nothing() {
    let away = |silent| [follower(StreamState::Probe, 7_000, silent)];
    assert_eq!(decided(9_900, 1, &away(Some(60)), 900).0, Some(7_000));
    assert_eq!(decided(9_900, 1, &away(Some(61)), 900).0, Some(9_400));
    assert_eq!(decided(9_900, 1, &away(None), 60).0, Some(7_000), "never heard, and the reign is young");
    assert_eq!(decided(9_900, 1, &away(None), 61).0, Some(9_400));
}

#[test]
fn nothing_is_cut_under_a_follower_that_fetches_a_snapshot_within_bounds() {
    let fetching = [follower(StreamState::Snapshot, 10, Some(1))];
    assert_eq!(decided(9_900, 8_000, &fetching, 9), (None, 1_401));
    assert_eq!(decided(9_900, 2_000, &fetching, 9).0, Some(LAST - 4_096), "but for the bound in bytes");
}

/// The cut, and what is held back for a staged snapshot of so many bytes.
fn decided_with(index: u64, bytes: u64, first: u64, followers: &[FollowerStatus]) -> (Option<u64>, u64) {
    let mut retention = Retention::new(rules());
    let staged = Some(Staged { index: Index(index), bytes });
    let (flushed, leading_for) = (Index(9_900), Duration::from_secs(9));
    let view = View { flushed, first: Index(first), followers, leading_for, staged };
    let cut = retention.decide(view, tail);
    (cut.map(|index| index.0), retention.held_for_staged)
}

#[test]
fn the_log_goes_on_from_the_newest_staged_snapshot() {
    assert_eq!(decided_with(9_100, 0, 1, &[]), (Some(9_100), 300), "within what the tail may be, however small it is");
    assert_eq!(decided_with(7_000, 4 << 20, 1, &[]), (Some(7_000), 2_400), "within what it is large");
    assert_eq!(decided_with(7_000, 4 << 20, 7_001, &[]), (None, 2_400), "nothing is left to cut");
    assert_eq!(decided_with(9_800, 4 << 20, 1, &[]), (Some(9_400), 0), "the tail reaches it");
}

#[test]
fn a_staged_snapshot_that_is_too_far_back_holds_nothing() {
    assert_eq!(decided_with(7_000, 2 << 20, 1, &[]), (Some(9_400), 0), "more log than snapshot");
    assert_eq!(decided_with(200, 1 << 30, 1, &[]), (Some(9_400), 0), "more than 4 MiB");
    assert_eq!(decided_with(7_000, 4 << 20, 7_002, &[]), (Some(9_400), 0), "the log does not connect to it any more");
}

#[test]
fn followers_and_a_staged_snapshot_are_both_thought_of() {
    let behind = [follower(StreamState::Replicate, 7_000, Some(1))];
    assert_eq!(decided_with(8_000, 4 << 20, 1, &behind), (Some(7_000), 0));
    assert_eq!(decided_with(6_500, 4 << 20, 1, &behind), (Some(6_500), 500));
}

#[test]
fn a_reign_is_as_old_as_its_first_decision() {
    let mut retention = Retention::new(rules());
    assert_eq!(retention.leading_for(true, Time(5)), Duration::ZERO);
    assert_eq!(retention.leading_for(true, Time(8)), Duration::from_micros(3));
    assert_eq!(retention.leading_for(false, Time(9)), Duration::ZERO);
    assert_eq!(retention.leading_for(true, Time(10)), Duration::ZERO);
}
