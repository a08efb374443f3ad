//! The checks of `/livez` and `/readyz`, each with a name to ask for it or to leave it out.

use super::{Query, Shared, text};
use crate::etcd::grpc::Body;
use crate::etcd::status::Refusal;
use http::StatusCode;
use hyper::Response;
use mvcc::{AlarmKind, KeyRange, RangeRequest};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::time::Duration;
use tracing::warn;

/// Between two looks whether the store can be read: shorter than anybody waits for the page.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// One thing that is right or wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// No member's data is known to differ.
    DataCorruption,
    /// The store of this member can be read.
    SerializableRead,
    /// The cluster confirms a read.
    LinearizableRead,
    /// This member votes.
    NonLearner,
}

impl Check {
    /// What a live process passes: it is of no use to restart it for what its cluster suffers.
    pub(super) const LIVE: [Self; 1] = [Self::SerializableRead];

    /// What a member passes that should be sent requests.
    pub(super) const READY: [Self; 4] =
        [Self::DataCorruption, Self::SerializableRead, Self::LinearizableRead, Self::NonLearner];

    /// As in paths and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }
}

/// How the checks came out.
pub(super) struct CheckMetrics {
    latest: IntGaugeVec,
    outcomes: IntCounterVec,
    pub(super) health_success: IntCounter,
    pub(super) health_failures: IntCounter,
}

impl CheckMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let latest = Opts::new("etcd_server_healthcheck", "The result of each kind of healthcheck, 1 for good");
        let outcomes = Opts::new("etcd_server_healthchecks_total", "The number of each kind of healthcheck by result");
        let metrics = Self {
            latest: IntGaugeVec::new(latest, &["type", "name"])?,
            outcomes: IntCounterVec::new(outcomes, &["type", "name", "status"])?,
            health_success: IntCounter::new("etcd_server_health_success", "The number of good answers of /health")?,
            health_failures: IntCounter::new("etcd_server_health_failures", "The number of bad answers of /health")?,
        };
        registry.register(Box::new(metrics.latest.clone()))?;
        registry.register(Box::new(metrics.outcomes.clone()))?;
        registry.register(Box::new(metrics.health_success.clone()))?;
        registry.register(Box::new(metrics.health_failures.clone()))?;
        Ok(metrics)
    }

    fn count(&self, page: &str, check: Check, good: bool) {
        self.latest.with_label_values(&[page, check.name()]).set(good.into());
        let status = if good { "success" } else { "error" };
        self.outcomes.with_label_values(&[page, check.name(), status]).inc();
    }
}

impl Shared {
    /// Runs the checks that are not left out; a failure is always told in full, a success only when asked.
    pub(super) async fn checks(&self, page: &'static str, checks: &[Check], query: Query<'_>) -> Response<Body> {
        let (mut lines, mut good) = (String::new(), true);
        for check in checks.iter().filter(|check| !query.values("exclude").any(|name| name == check.name())) {
            let outcome = self.run(*check).await;
            self.metrics.count(page, *check, outcome.is_ok());
            good &= outcome.is_ok();
            lines += &match outcome {
                Ok(()) => format!("[+]{} ok\n", check.name()),
                Err(why) => format!("[-]{} failed: {why}\n", check.name()),
            };
        }
        if !good {
            warn!(page, outcome = %lines.replace('\n', " "), "a health check failed");
            return text(StatusCode::SERVICE_UNAVAILABLE, lines);
        }
        let told = if query.has("verbose") { lines } else { String::new() };
        text(StatusCode::OK, told + "ok\n")
    }

    async fn run(&self, check: Check) -> Result<(), String> {
        let range_error = |refusal: Refusal| format!("range error: {}", refusal.text());
        match check {
            Check::DataCorruption => refuse_if(self.is_corrupt(), "alarm activated: CORRUPT"),
            Check::SerializableRead => self.read().await.map_err(range_error),
            Check::LinearizableRead => self.linearizable_read().await.map_err(range_error),
            Check::NonLearner => refuse_if(self.node.status().is_learner(), "learner"),
        }
    }

    fn is_corrupt(&self) -> bool {
        self.node.store().alarms().iter().any(|alarm| alarm.kind == AlarmKind::Corrupt)
    }

    /// Reads one key, whether it is there or not. Waits for commands that are being applied, and holds up nobody by that.
    pub(super) async fn read(&self) -> Result<(), Refusal> {
        let one = RangeRequest { range: KeyRange::one("health"), keys_only: true, limit: 1, ..RangeRequest::default() };
        loop {
            if let Some(read) = self.node.store().range_now(&one, &mut |_| true) {
                read?;
                return Ok(());
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }

    pub(super) async fn linearizable_read(&self) -> Result<(), Refusal> {
        self.node.linearize().await?;
        self.read().await
    }
}

fn refuse_if(wrong: bool, why: &str) -> Result<(), String> {
    if wrong { Err(why.into()) } else { Ok(()) }
}
