//! The task: looks, decides, does one thing, and looks again.

use super::plan::{self, Known, Rules, Step};
use super::report::{Activity, Report};
use super::work::{WorkError, Worker, is_mine, tell};
use super::{bounded, delegate, now_ms};
use crate::config::settings::Backups;
use crate::node::Handle;
use crate::snapshot::{KeyFile, SnapshotStore};
use admin_api::Id;
use mvcc::Staging;
use raft::{MemberId, RoleName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// How often it looks: late by a second at most, and the look costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pause after the first failure; it doubles with each further one.
const FAILED_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause: an outage that ends is noticed within this, and an outage that lasts costs one request in it.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// After so many failures in a row, which is after about two minutes, another member may have more luck: its line, its
/// credentials, its clock.
const FAILURES_MAX: u32 = 8;

/// Stages for as long as the member runs.
pub(crate) async fn run(node: Handle, settings: Backups, report: Arc<Report>) {
    let encrypted = settings.keys.is_some();
    info!(store = %settings.store, encrypted, "snapshots go to object storage");
    if let Some(Err(error)) = settings.keys.as_ref().map(KeyFile::current) {
        warn!(%error, "no snapshot is staged until its keys are there");
    }
    let mut stager = Stager::new(node, settings, report);
    loop {
        sleep(LOOK_EVERY).await;
        stager.delegate().await;
        stager.turn().await;
    }
}

struct Stager {
    node: Handle,
    settings: Backups,
    rules: Rules,
    report: Arc<Report>,
    /// Open since the first time it was needed.
    snapshots: Option<SnapshotStore>,
    /// The log and the store have been compared since this member has the work.
    reconciled: bool,
    /// In a row.
    failures: u32,
    not_before: Instant,
    /// Who stages, and who gave it back, as this leader has seen.
    seen: Option<MemberId>,
    gave_back: Option<MemberId>,
}

impl Stager {
    fn new(node: Handle, settings: Backups, report: Arc<Report>) -> Self {
        let rules = Rules {
            interval: settings.interval,
            count: settings.retention_count,
            age: settings.retention_age,
            grace: settings.delete_grace,
        };
        let not_before = Instant::now();
        Self {
            node,
            settings,
            rules,
            report,
            snapshots: None,
            reconciled: false,
            failures: 0,
            not_before,
            seen: None,
            gave_back: None,
        }
    }

    /// The leader sees to it that one member that is well has the work.
    async fn delegate(&mut self) {
        if !self.node.status().is_leader() {
            return;
        }
        let current = self.node.store().stager().map(MemberId);
        if current.is_none() && self.seen.is_some() {
            self.gave_back = self.seen;
        }
        self.seen = current;
        let Some(seen) = self.node.inspect().await.filter(|seen| seen.raft.role == RoleName::Leader) else { return };
        let me = self.node.identity().member;
        if let Some(member) = delegate::choose(current, me, &seen.raft.followers, self.gave_back) {
            info!(member = %Id(member.0), "stages snapshots from now on");
            self.tell(Staging::Delegated { member: member.0 }).await;
        }
    }

    /// Does what is to be done, if it is this member's.
    async fn turn(&mut self) {
        if !is_mine(&self.node) {
            self.report.doing(Activity::Elsewhere);
            (self.reconciled, self.failures) = (false, 0);
            return;
        }
        if Instant::now() < self.not_before {
            return;
        }
        match self.step().await {
            // Nothing was asked of the store, so nothing is known of it.
            Ok(Activity::Resting) => self.report.doing(Activity::Resting),
            Ok(_) => {
                self.failures = 0;
                if self.report.succeeded() {
                    info!("object storage works again");
                }
            }
            // Not a failure: the other one goes on.
            Err(WorkError::Relieved) => self.report.doing(Activity::Elsewhere),
            Err(error) => self.failed(&error).await,
        }
    }

    /// Does one thing; which.
    async fn step(&mut self) -> Result<Activity, WorkError> {
        let (staged, wanted) = (self.node.store().staged(), self.node.store().snapshot_wanted());
        let step = plan::next(&self.rules, &Known { staged: &staged, wanted, now_ms: now_ms() });
        if step == Step::Rest && self.reconciled {
            return Ok(Activity::Resting);
        }
        let worker = self.worker().await?;
        // The list may be another one afterwards: the next turn decides.
        if !self.reconciled {
            self.report.doing(Activity::Comparing);
            worker.reconcile().await?;
            self.reconciled = true;
            return Ok(Activity::Comparing);
        }
        Ok(match step {
            Step::Rest => Activity::Resting,
            Step::Retire(ids) => {
                for id in ids {
                    worker.retire(id).await?;
                }
                // That went to the log alone.
                Activity::Resting
            }
            Step::Stage => {
                self.report.doing(Activity::Staging);
                worker.reconcile().await?;
                let staged = worker.stage().await?;
                let (uploaded, shared) = self.report.with(|figures| (figures.uploaded_bytes, figures.shared_bytes));
                info!(
                    index = staged.index,
                    revision = staged.revision.0,
                    bytes = staged.bytes,
                    uploaded_bytes_total = uploaded,
                    shared_bytes_total = shared,
                    "staged a snapshot"
                );
                Activity::Staging
            }
            Step::Delete(doomed) => {
                self.report.doing(Activity::Deleting);
                worker.delete(&doomed).await?;
                info!(snapshots = doomed.len(), "deleted snapshots that are not kept");
                Activity::Deleting
            }
        })
    }

    async fn worker(&mut self) -> Result<Worker, WorkError> {
        let snapshots = match &self.snapshots {
            Some(open) => open.clone(),
            None => self.snapshots.insert(bounded::open(&self.settings).await?).clone(),
        };
        Ok(Worker {
            node: self.node.clone(),
            snapshots,
            rules: self.rules,
            report: self.report.clone(),
            parallelism: self.settings.parallelism,
        })
    }

    async fn failed(&mut self, error: &WorkError) {
        self.failures += 1;
        let pause = pause(self.failures);
        self.not_before = Instant::now() + pause;
        if self.report.failed(error.reason(), &error.to_string()) {
            warn!(%error, "could not stage: trying again until it works");
        }
        if self.failures >= FAILURES_MAX {
            self.failures = 0;
            self.tell(Staging::Delegated { member: 0 }).await;
        }
    }

    async fn tell(&self, change: Staging) {
        if let Err(error) = tell(&self.node, change).await {
            warn!(%error, "could not tell the log who stages");
        }
    }
}

/// Drawn from the upper half of the bound, so that members do not come back together.
fn pause(failures: u32) -> Duration {
    let bound = FAILED_PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(FAILED_PAUSE_MAX);
    let chance = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    bound.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
