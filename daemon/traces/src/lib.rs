//! Spans on their way to a collector, by OTLP over gRPC; for the daemon and the operator alike.
//!
//! * Best effort. A collector that is slow or gone costs lost spans and a warning, and at the end at most
//!   [`FLUSH_TIMEOUT`]. The queue to it is bounded.
//! * Spans that are for traces only have the target [`TARGET`] and the level TRACE, which no log takes: without a
//!   collector they are switched off where they stand.

use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
pub use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use std::time::Duration;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

/// The target of spans that are for traces only.
pub const TARGET: &str = "quorate_trace";

/// What the last spans may take to leave. Short: an orchestrator waits for the process to end.
pub const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// What one batch may take to leave before it is dropped.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose spans, and which of them.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The service in every span.
    pub service: &'a str,
    /// The instance in every span.
    pub instance: &'a str,
    /// The share of traces kept, 0 to 1, of those that no caller has decided about.
    pub kept: f64,
}

/// The pipeline: a sampler, a bounded queue with a thread of its own, an exporter.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// To the collector at `address`, `host:port`. Called inside a runtime: the exporter needs it.
    ///
    /// # Errors
    /// The exporter refuses the address.
    pub fn start(address: &str, source: Source<'_>) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(format!("http://{address}"))
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(source.service.to_owned())
            .with_attribute(KeyValue::new("service.instance.id", source.instance.to_owned()))
            .build();
        // A caller that traces decides for its own requests; the share is for the others.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(source.kept)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// Turns spans into traces.
    #[must_use]
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("quorate"))
    }

    /// Lets the last spans leave, for a bounded time.
    pub async fn shutdown(self) {
        let provider = self.provider;
        // On a thread of its own: it waits for work that this runtime does.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        match tokio::time::timeout(FLUSH_TIMEOUT, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were lost"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last traces were lost: the collector did not take them in time"),
        }
    }
}

/// The trace that a span is part of, for people to look up; nothing when nobody keeps it.
#[must_use]
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span();
    let context = context.span_context();
    (context.is_valid() && context.is_sampled()).then(|| context.trace_id().to_string())
}

#[cfg(test)]
mod tests;
