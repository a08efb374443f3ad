//! What the operator tells of itself while it runs: log lines in JSON, and traces when a collector is named.
//!
//! ```text
//!   reconcile            cluster, action, outcome; its id stands in the pass's log lines as trace_id
//!     observe            the live look
//!       list pods  ...   each call of the Kubernetes API
//!       GET /v1/status   each call of a member's admin endpoint
//!     plan               the decision
//!     record             the status, if it is written
//!     act                the step, if there is one
//! ```
//!
//! Calls that belong to no pass, of watches and of the lease, are no traces: they never end, or never change.

use crate::calls::Call;
use http::StatusCode;
use std::future::Future;
use traces::{Source, TARGET, Traces};
use tracing::field::Empty;
use tracing::{Instrument, Level, Span, Subscriber, trace_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

/// The service in every span.
const SERVICE: &str = "quorate-operator";
/// How a collector's address begins. There is no other way to one: it is a neighbour in the cluster.
const SCHEME: &str = "http://";

/// Reads a collector's address; empty is none.
///
/// # Errors
/// It is none, in words.
pub fn endpoint(text: &str) -> Result<String, String> {
    let reads = |address: &str| {
        let (host, port) = address.strip_suffix('/').unwrap_or(address).rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let plain = host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte));
        (plain && !host.is_empty() && port > 0).then(|| format!("{host}:{port}"))
    };
    if text.is_empty() {
        return Ok(String::new());
    }
    let address = text.strip_prefix(SCHEME).and_then(reads);
    address.ok_or_else(|| format!("{text:?} is no {SCHEME}HOST:PORT, where a collector takes OTLP over gRPC"))
}

/// Starts traces to the collector at `host:port`; nothing when it is empty. Called inside the runtime.
///
/// # Errors
/// The exporter refuses the address.
pub fn traces(address: &str, identity: &str) -> Result<Option<Traces>, traces::ExporterBuildError> {
    // A pass is begun by nobody's request, and there are few: all are kept.
    let source = Source { service: SERVICE, instance: identity, kept: 1.0 };
    (!address.is_empty()).then(|| Traces::start(address, source)).transpose()
}

/// Takes log lines that `filter` lets through, and every span of ours for traces.
pub fn subscriber<W>(filter: EnvFilter, lines: W, traces: Option<&Traces>) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().json().with_writer(lines).with_filter(filter);
    let ours = Targets::new().with_target(TARGET, Level::TRACE);
    Registry::default().with(lines).with(traces.map(|traces| traces.layer().with_filter(ours)))
}

/// The trace of the pass that this is a part of, for its log lines.
#[must_use]
pub(crate) fn trace_id() -> Option<String> {
    traces::trace_id(&Span::current())
}

/// A pass over a cluster. What it did and how it ended are said later.
pub(crate) fn pass(namespace: &str, cluster: &str) -> Span {
    trace_span!(
        target: TARGET,
        parent: None,
        "reconcile",
        k8s.namespace.name = namespace,
        quorate.cluster = cluster,
        quorate.action = Empty,
        quorate.outcome = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// What is done in this pass, or why nothing is.
pub(crate) fn decided(pass: &Span, decision: &str) {
    pass.record("quorate.action", decision);
}

/// How a pass ended.
pub(crate) fn passed(pass: &Span, outcome: &str) {
    pass.record("quorate.outcome", outcome);
}

/// Why it failed.
pub(crate) fn failed(span: &Span, why: &dyn std::fmt::Display) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", tracing::field::display(why));
}

/// The live look.
pub(crate) fn observe() -> Span {
    trace_span!(target: TARGET, "observe")
}

/// The decision.
pub(crate) fn plan() -> Span {
    trace_span!(target: TARGET, "plan")
}

/// The status is written.
pub(crate) fn record() -> Span {
    trace_span!(target: TARGET, "record")
}

/// One step.
pub(crate) fn act(action: &str) -> Span {
    trace_span!(
        target: TARGET,
        "act",
        quorate.action = action,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// A call of the Kubernetes API, if it is part of a pass.
pub(crate) fn call(call: &Call) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    trace_span!(
        target: TARGET,
        "call",
        otel.name = format!("{} {}", call.verb, call.resource),
        otel.kind = "client",
        k8s.group = call.group,
        http.response.status_code = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// It was answered.
pub(crate) fn answered(call: &Span, status: StatusCode) {
    call.record("http.response.status_code", status.as_u16());
}

/// A call of a member's admin endpoint.
pub(crate) async fn member<T, E: std::fmt::Display>(
    name: &str,
    host: &str,
    calling: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let span = trace_span!(
        target: TARGET,
        "member",
        otel.name = name,
        otel.kind = "client",
        server.address = host,
        otel.status_code = Empty,
        otel.status_description = Empty,
    );
    let done = calling.instrument(span.clone()).await;
    if let Err(error) = &done {
        failed(&span, error);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_of_the_cluster() {
        assert_eq!(endpoint(""), Ok(String::new()));
        assert_eq!(endpoint("http://otel.tracing.svc:4317"), Ok("otel.tracing.svc:4317".to_owned()));
        assert_eq!(endpoint("http://[fd00::1]:4317/"), Ok("[fd00::1]:4317".to_owned()));
        for strange in
            ["otel:4317", "https://otel:4317", "http://otel", "http://:4317", "http://otel:0", "http://a/b:1"]
        {
            let refused = endpoint(strange).expect_err(strange);
            assert_eq!(refused, format!("{strange:?} is no http://HOST:PORT, where a collector takes OTLP over gRPC"));
        }
    }
}
