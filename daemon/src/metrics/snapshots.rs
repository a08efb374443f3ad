//! Snapshots on their way from member to member.

use super::page::{Page, as_f64};
use crate::install::{ProgressView, SnapshotsView};
use crate::node::MembersView;
use admin_api::Id;
use raft::MemberId;

/// The labels of every follower's series.
const WHO: [&str; 2] = ["member", "name"];

type Number = fn(&ProgressView) -> u64;

/// One gauge for each number of an install.
const GAUGES: [(&str, &str, Number); 4] = [
    ("snapshot_have_bytes", "Bytes of the snapshot that are there and verified.", |view| view.have_bytes),
    ("snapshot_total_bytes", "Bytes of the snapshot that is being installed.", |view| view.total_bytes),
    ("snapshot_bytes_per_second", "Bytes of the snapshot that arrive.", |view| view.bytes_per_second),
    ("snapshot_resumed", "How often fetching it went on from what was there.", |view| view.resumed),
];

/// Writes what this member gives, takes and has taken.
pub(super) fn write(page: &mut Page, view: &SnapshotsView) {
    let totals = view.totals;
    let counters = [
        ("quorate_snapshot_sent_bytes_total", "Bytes of snapshots sent to members.", view.sent_bytes),
        ("quorate_snapshot_installed_total", "Snapshots installed.", totals.installed),
        ("quorate_snapshot_damaged_blocks_total", "Blocks that were not what their digest says.", totals.damaged),
        ("quorate_snapshot_failures_total", "Attempts at an install that failed.", totals.failures),
        ("quorate_snapshot_resumed_total", "Fetches that went on from what was there.", totals.resumed),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value);
    }
    let by_source = [
        ("quorate_snapshot_fetched_bytes_total", "Bytes of snapshots that have arrived.", totals.fetched_bytes),
        (
            "quorate_snapshot_source_failures_total",
            "Sources of snapshots that were left for the next one.",
            totals.source_failures,
        ),
    ];
    for (name, help, numbers) in by_source {
        let rows = numbers.all().map(|(kind, number)| (vec![kind.name().to_owned()], as_f64(number)));
        page.counters(name, help, &["source"], rows.collect());
    }
    for (name, help, number) in GAUGES {
        let value = view.installing.as_ref().map_or(0, number);
        page.gauge(&format!("quorate_{name}"), help, as_f64(value));
    }
}

/// Writes how far followers have come, as they told this leader.
pub(super) fn write_followers(page: &mut Page, view: &SnapshotsView, members: &MembersView) {
    let known = || view.others.iter().filter_map(|(id, view)| members.get(*id).map(|member| (*id, member, view)));
    let who = |id: MemberId, name: &str| vec![Id(id.0).to_string(), name.to_owned()];
    for (name, help, number) in GAUGES {
        let rows = known().map(|(id, member, view)| (who(id, &member.info.name), as_f64(number(view)))).collect();
        page.gauges(&format!("quorate_follower_{name}"), help, &WHO, rows);
    }
    let phases = known().map(|(id, member, view)| {
        let more = vec![view.phase.name().to_owned(), view.source.clone()];
        ([who(id, &member.info.name), more].concat(), 1.0)
    });
    let help = "What the follower does to install a snapshot, and where its blocks come from.";
    page.gauges("quorate_follower_snapshot_phase", help, &["member", "name", "phase", "source"], phases.collect());
}
