//! How far each follower is behind, as the leader sees it: the reason this product exists.
//!
//! A follower has its series for as long as it is a member, connected or not; they are gone with the first page after
//! it has left, and with the leader's reign.

use super::page::{Page, as_f64};
use crate::node::MembersView;
use admin_api::Id;
use raft::{FollowerStatus, PausedReason, StateReason, StreamState};

/// The labels of every follower's series.
const WHO: [&str; 2] = ["member", "name"];

type Number = fn(&FollowerStatus) -> f64;

/// One gauge for each number.
const GAUGES: [(&str, &str, Number); 15] = [
    ("quorate_follower_lag_entries", "Entries of the leader's log the follower has not made durable.", |follower| {
        as_f64(follower.lag.entries)
    }),
    ("quorate_follower_lag_bytes", "The records of those entries.", |follower| as_f64(follower.lag.bytes)),
    ("quorate_follower_lag_seconds", "The age of the oldest of those entries, by the leader's clock.", |follower| {
        follower.lag.age.as_secs_f64()
    }),
    (
        "quorate_follower_lag_approximate",
        "Whether bytes and seconds are estimates, or the whole lag an upper bound: the follower has not been heard since the election.",
        |follower| f64::from(u8::from(follower.lag.approximate)),
    ),
    ("quorate_follower_match_index", "The last entry the follower is known to share, durably.", |follower| {
        as_f64(follower.matched.index.0)
    }),
    ("quorate_follower_next_index", "The next entry to send.", |follower| as_f64(follower.next.0)),
    ("quorate_follower_applied_index", "The follower's applied index, as last reported.", |follower| {
        as_f64(follower.applied.0)
    }),
    ("quorate_follower_in_flight_messages", "Appends sent and not acknowledged.", |follower| {
        as_f64(follower.in_flight_messages)
    }),
    ("quorate_follower_in_flight_bytes", "The entries of those appends.", |follower| as_f64(follower.in_flight_bytes)),
    ("quorate_follower_window_bytes", "What may be in flight.", |follower| as_f64(follower.window_bytes)),
    ("quorate_follower_credit_bytes", "What the follower would still take, as last reported.", |follower| {
        as_f64(follower.credit_bytes)
    }),
    ("quorate_follower_round_trip_seconds", "Smoothed round trip of heartbeats; NaN before the first.", |follower| {
        follower.round_trip.map_or(f64::NAN, |time| time.as_secs_f64())
    }),
    ("quorate_follower_silent_seconds", "Since when nothing was heard; +Inf if nothing ever was.", |follower| {
        follower.silent_for.map_or(f64::INFINITY, |time| time.as_secs_f64())
    }),
    ("quorate_follower_ack_bytes_per_second", "What the follower makes durable, smoothed.", |follower| {
        as_f64(follower.ack_bytes_per_second)
    }),
    ("quorate_follower_learner", "Whether the follower does not vote.", |follower| {
        f64::from(u8::from(follower.learner))
    }),
];

/// Writes the series of every follower.
pub(super) fn write(page: &mut Page, followers: &[FollowerStatus], members: &MembersView) {
    let who = |follower: &FollowerStatus| {
        let member = members.get(follower.member);
        vec![Id(follower.member.0).to_string(), member.map(|member| member.info.name.clone()).unwrap_or_default()]
    };
    for (name, help, number) in GAUGES {
        let rows = followers.iter().map(|follower| (who(follower), number(follower))).collect();
        page.gauges(name, help, &WHO, rows);
    }
    let with = |follower, more: &str| [who(follower), vec![more.to_owned()]].concat();
    let states = followers.iter().map(|follower| (with(follower, state(follower.state)), 1.0)).collect();
    page.gauges("quorate_follower_state", "The state of the replication stream.", &["member", "name", "state"], states);
    let paused = followers.iter().map(|follower| (with(follower, paused(follower.paused)), 1.0)).collect();
    let help = "Why the stream sends nothing although there is something to send.";
    page.gauges("quorate_follower_paused", help, &["member", "name", "reason"], paused);
    let rejections = followers.iter().map(|follower| (who(follower), as_f64(follower.rejections))).collect();
    page.counters("quorate_follower_rejections_total", "Appends the follower refused.", &WHO, rejections);
    let resets = followers.iter().flat_map(|follower| {
        // From the first page on: a series that begins with its first reset hides that one from every rate.
        let count = |why| follower.resets.get(&why).copied().unwrap_or_default();
        StateReason::RESETS.map(|why| (with(follower, reason(why)), as_f64(count(why))))
    });
    let help = "How often the stream fell back, by reason.";
    page.counters("quorate_stream_resets_total", help, &["member", "name", "reason"], resets.collect());
}

fn state(state: StreamState) -> &'static str {
    match state {
        StreamState::Probe => "probe",
        StreamState::Replicate => "replicate",
        StreamState::Snapshot => "snapshot",
    }
}

fn paused(reason: PausedReason) -> &'static str {
    match reason {
        PausedReason::None => "none",
        PausedReason::ProbeWait => "probe_wait",
        PausedReason::WindowFull => "window_full",
        PausedReason::NoCredit => "no_credit",
        PausedReason::Backoff => "backoff",
        PausedReason::LogRead => "log_read",
        PausedReason::Snapshot => "snapshot",
        PausedReason::Disconnected => "disconnected",
    }
}

pub(crate) fn reason(reason: StateReason) -> &'static str {
    match reason {
        StateReason::Matched => "matched",
        StateReason::Rejected => "rejected",
        StateReason::Connected => "connected",
        StateReason::Disconnected => "disconnected",
        StateReason::Stalled => "stalled",
        StateReason::LogCompacted => "log_compacted",
        StateReason::SnapshotInstalled => "snapshot_installed",
        StateReason::LogUnreadable => "log_unreadable",
        StateReason::Regressed => "regressed",
    }
}
