//! What the operator counts.

use crate::calls::Call;
use crate::look::SideLook;
use jiff::Timestamp;
use plan::{Decision, Plan, Rotation};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// From a look that finds nothing to one that waits for a transfer of leadership.
const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// What the operator counts. A cheap clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    passes: HistogramVec,
    failures: IntCounterVec,
    actions: IntCounterVec,
    calls: IntCounterVec,
    refused: IntCounterVec,
    available: IntGaugeVec,
    operation: IntGaugeVec,
    unreadable: IntGaugeVec,
    /// The field that does not read, by cluster: its series goes when another one takes its place.
    fields: Mutex<BTreeMap<String, String>>,
    ends: IntGaugeVec,
    changing: IntGaugeVec,
    /// The Secrets that have series, by cluster: they go when the cluster goes, or has others.
    secrets: Mutex<BTreeMap<String, Vec<String>>>,
    leading: IntGauge,
}

impl Metrics {
    /// In a registry of their own.
    ///
    /// # Errors
    /// Two have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let passes = HistogramOpts::new("quorate_operator_reconcile_seconds", "How long a pass over a cluster took.");
        let inner = Inner {
            passes: HistogramVec::new(passes.buckets(SECONDS.to_vec()), &["result"])?,
            failures: IntCounterVec::new(
                Opts::new("quorate_operator_reconcile_failures_total", "Passes that failed, by what failed."),
                &["error"],
            )?,
            actions: IntCounterVec::new(
                Opts::new("quorate_operator_actions_total", "Steps that were taken."),
                &["action", "result"],
            )?,
            calls: IntCounterVec::new(
                Opts::new("quorate_operator_api_requests_total", "Calls of the Kubernetes API."),
                &["verb", "group", "resource"],
            )?,
            refused: IntCounterVec::new(
                Opts::new(
                    "quorate_operator_api_refusals_total",
                    "Calls of the Kubernetes API that were answered by an error. 403 is a permission that lacks.",
                ),
                &["verb", "group", "resource", "code"],
            )?,
            available: IntGaugeVec::new(
                Opts::new("quorate_operator_cluster_available", "1 while a leader hears its quorum."),
                &["cluster"],
            )?,
            operation: IntGaugeVec::new(
                Opts::new("quorate_operator_cluster_settled", "1 while a cluster is as asked for."),
                &["cluster"],
            )?,
            unreadable: IntGaugeVec::new(
                Opts::new(
                    "quorate_operator_cluster_unreadable",
                    "1 while a stored cluster does not read, by its field.",
                ),
                &["cluster", "field"],
            )?,
            fields: Mutex::default(),
            ends: IntGaugeVec::new(
                Opts::new(
                    "quorate_operator_certificate_not_after_timestamp_seconds",
                    "When a certificate or authority of the operator's own making ends.",
                ),
                &["cluster", "secret"],
            )?,
            changing: IntGaugeVec::new(
                Opts::new("quorate_operator_authority_changing", "1 while an authority gives way to the next one."),
                &["cluster", "secret"],
            )?,
            secrets: Mutex::default(),
            leading: IntGauge::new("quorate_operator_leader", "1 while this operator holds the lease.")?,
            registry,
        };
        inner.registry.register(Box::new(inner.passes.clone()))?;
        inner.registry.register(Box::new(inner.failures.clone()))?;
        inner.registry.register(Box::new(inner.actions.clone()))?;
        inner.registry.register(Box::new(inner.calls.clone()))?;
        inner.registry.register(Box::new(inner.refused.clone()))?;
        inner.registry.register(Box::new(inner.available.clone()))?;
        inner.registry.register(Box::new(inner.operation.clone()))?;
        inner.registry.register(Box::new(inner.unreadable.clone()))?;
        inner.registry.register(Box::new(inner.ends.clone()))?;
        inner.registry.register(Box::new(inner.changing.clone()))?;
        inner.registry.register(Box::new(inner.leading.clone()))?;
        Ok(Self(Arc::new(inner)))
    }

    /// A pass is over.
    pub fn reconciled(&self, took: Duration, error: Option<&str>) {
        let result = if error.is_none() { "ok" } else { "error" };
        self.0.passes.with_label_values(&[result]).observe(took.as_secs_f64());
        if let Some(error) = error {
            self.0.failures.with_label_values(&[error]).inc();
        }
    }

    /// A step was taken, or was not.
    pub fn acted(&self, action: &str, done: bool) {
        self.0.actions.with_label_values(&[action, if done { "ok" } else { "error" }]).inc();
    }

    /// The API server is called.
    pub fn called(&self, call: &Call) {
        self.0.calls.with_label_values(&[call.verb, &call.group, &call.resource]).inc();
    }

    /// The API server has answered by an error.
    pub fn refused(&self, call: &Call, code: u16) {
        self.0.refused.with_label_values(&[call.verb, &call.group, &call.resource, &code.to_string()]).inc();
    }

    /// How a cluster is.
    pub fn planned(&self, cluster: &str, planned: &Plan, available: bool) {
        let settled = matches!(planned.decision, Decision::Settled);
        self.0.available.with_label_values(&[cluster]).set(available.into());
        self.0.operation.with_label_values(&[cluster]).set(settled.into());
    }

    /// How the certificates of a cluster are that are the operator's own.
    pub fn certificates(&self, cluster: &str, sides: &[SideLook]) {
        let mut secrets = Vec::new();
        let mut ends = |secret: &str, end: Option<Timestamp>| {
            secrets.push(secret.to_owned());
            if let Some(end) = end {
                self.0.ends.with_label_values(&[cluster, secret]).set(end.as_second());
            }
        };
        for side in sides {
            if let Some(authorities) = &side.authorities {
                ends(&side.plan.authority, authorities.active().ends());
                let changing = authorities.planned().rotation != Rotation::Settled;
                self.0.changing.with_label_values(&[cluster, &side.plan.authority]).set(changing.into());
            }
            side.leaves.iter().for_each(|leaf| ends(&leaf.plan.name, leaf.not_after));
        }
        self.keep_certificates(cluster, &secrets);
    }

    /// The series of these Secrets stay, those of others go.
    fn keep_certificates(&self, cluster: &str, secrets: &[String]) {
        let before = self.secrets().insert(cluster.to_owned(), secrets.to_owned());
        for gone in before.into_iter().flatten().filter(|secret| !secrets.contains(secret)) {
            // Not every Secret has both.
            let _ = self.0.ends.remove_label_values(&[cluster, &gone]);
            let _ = self.0.changing.remove_label_values(&[cluster, &gone]);
        }
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stored cluster does not read. How it is cannot be known then, and is not told.
    pub fn unreadable(&self, cluster: &str, field: &str) {
        self.forget(cluster);
        self.0.unreadable.with_label_values(&[cluster, field]).set(1);
        self.fields().insert(cluster.to_owned(), field.to_owned());
    }

    /// A stored cluster reads.
    pub fn readable(&self, cluster: &str) {
        if let Some(field) = self.fields().remove(cluster) {
            let _ = self.0.unreadable.remove_label_values(&[cluster, &field]);
        }
    }

    fn fields(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cluster is gone; its series go with it.
    pub fn forget(&self, cluster: &str) {
        self.readable(cluster);
        self.keep_certificates(cluster, &[]);
        self.secrets().remove(cluster);
        // One that was never counted has none.
        let _ = self.0.available.remove_label_values(&[cluster]);
        let _ = self.0.operation.remove_label_values(&[cluster]);
    }

    /// Whether this operator holds the lease.
    pub fn leading(&self, leading: bool) {
        self.0.leading.set(leading.into());
    }

    /// As Prometheus reads them.
    ///
    /// # Errors
    /// One does not print.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        Ok(text)
    }
}
