//! Snapshots in object storage: what every member knows from the log, and what this one has done.

use super::page::{Page, as_f64};
use crate::node::Handle;
use crate::stage::{self, Activity, Figures, Report};
use mvcc::StagedSnapshot;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use std::collections::HashMap;
use std::sync::Arc;

/// Writes the page for a registry.
pub(crate) struct BackupCollector {
    node: Handle,
    report: Arc<Report>,
    desc: Desc,
}

impl BackupCollector {
    pub(crate) fn new(node: Handle, report: Arc<Report>) -> Self {
        let desc = Desc::new("quorate_backups".into(), "Snapshots in object storage.".into(), vec![], HashMap::new())
            .expect("the name is a constant that is valid");
        Self { node, report, desc }
    }
}

/// The same on every member, so that an alert holds whoever is scraped.
fn write_known(page: &mut Page, staged: &[StagedSnapshot], now_ms: u64) {
    let kept = staged.iter().filter(|snapshot| snapshot.retired_ms.is_none()).count();
    page.gauge("quorate_backups_kept", "Snapshots in object storage that are kept.", as_f64(kept as u64));
    let retired = as_f64((staged.len() - kept) as u64);
    page.gauge("quorate_backups_retired", "Snapshots that wait to be deleted.", retired);
    let Some(newest) = stage::newest(staged) else { return };
    let age = as_f64(now_ms.saturating_sub(newest.staged_ms)) / 1_000.0;
    page.gauge("quorate_backup_age_seconds", "How long ago the newest snapshot was staged.", age);
    page.gauge("quorate_backup_index", "The last log index in the newest snapshot.", as_f64(newest.index));
    let revision = u64::try_from(newest.revision.0).unwrap_or(0);
    page.gauge("quorate_backup_revision", "The newest revision in it.", as_f64(revision));
    page.gauge("quorate_backup_bytes", "What its chunks take, shared ones included.", as_f64(newest.bytes));
}

/// What this member has done.
fn write_done(page: &mut Page, figures: &Figures) {
    let flag = |on: bool| f64::from(u8::from(on));
    let mine = figures.activity != Activity::Elsewhere;
    page.gauge("quorate_backup_stager", "Whether this member stages.", flag(mine));
    let busy = figures.activity == Activity::Staging;
    page.gauge("quorate_backup_in_progress", "Whether it is staging a snapshot now.", flag(busy));
    let failing = figures.problem.is_some();
    page.gauge("quorate_backup_failing", "Whether its last try failed.", flag(failing));
    if let Some(took) = figures.last_duration {
        page.gauge("quorate_backup_last_duration_seconds", "How long its last snapshot took.", took.as_secs_f64());
    }
    let counters = [
        ("quorate_backups_staged_total", "Snapshots that this member has staged.", figures.staged),
        ("quorate_backup_uploaded_bytes_total", "Bytes of chunks it has uploaded.", figures.uploaded_bytes),
        ("quorate_backup_shared_bytes_total", "Bytes of chunks that were there already.", figures.shared_bytes),
        ("quorate_backups_deleted_total", "Snapshots it has deleted.", figures.deleted),
        ("quorate_backup_deleted_bytes_total", "Bytes of chunks it has deleted.", figures.deleted_bytes),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value);
    }
    let failures = figures.failures.iter().map(|(reason, count)| (vec![(*reason).to_owned()], as_f64(*count)));
    let help = "Tries of this member that failed, by reason.";
    page.counters("quorate_backup_failures_total", help, &["reason"], failures.collect());
}

impl Collector for BackupCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut page = Page::default();
        write_known(&mut page, &self.node.store().staged(), stage::now_ms());
        write_done(&mut page, &self.report.figures());
        page.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mvcc::Revision;
    use prometheus::TextEncoder;

    #[test]
    fn the_age_is_that_of_the_newest_kept_snapshot() {
        let staged = |index, staged_ms, retired_ms| StagedSnapshot {
            id: [0; 32],
            index,
            revision: Revision(7),
            bytes: 5,
            staged_ms,
            retired_ms,
        };
        let mut page = Page::default();
        let all = [staged(3, 1_000, None), staged(5, 4_000, None), staged(9, 9_000, Some(9_500))];
        write_known(&mut page, &all, 10_500);
        let text = TextEncoder::new().encode_to_string(&page.finish()).expect("a page");
        for line in ["quorate_backup_age_seconds 6.5", "quorate_backup_index 5", "quorate_backups_kept 2"] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn without_a_snapshot_there_is_no_age() {
        let mut page = Page::default();
        write_known(&mut page, &[], 1_000);
        let text = TextEncoder::new().encode_to_string(&page.finish()).expect("a page");
        assert!(!text.contains("quorate_backup_age_seconds") && text.contains("quorate_backups_kept 0"));
    }
}
