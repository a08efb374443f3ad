//! What the process tells about itself while it runs: log lines, and traces when asked for.
//!
//! * A log line leaves in one write, whole. A place that does not take it loses it: logging never stops the member.
//! * Traces are best effort. A collector that is slow or gone costs lost spans and a warning, and at the end at most
//!   [`TRACES_FLUSH_TIMEOUT`].

mod context;
mod line;
mod log;
mod otlp;
mod request;

pub use context::{TRACE_CONTEXT_BYTES, TraceContext};
pub use request::request;

use crate::config::settings::{Log, Tracing};
use crate::node::TRACE_TARGET;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::path::PathBuf;
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What the last spans may take to leave. Short: an orchestrator waits for the process to end.
pub const TRACES_FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Our own crates: their lines follow the level asked for, those of libraries start at warnings.
const OURS: [&str; 3] = ["quorate", "raft", "mvcc"];

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A log file cannot be opened.
    #[error("--log-outputs: {:?} cannot be opened for appending: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The exporter of traces refuses its settings.
    #[error("--distributed-tracing-address: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Somebody else logs already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Keeps log lines and traces flowing.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts both. Called inside the runtime: the exporter needs it.
    ///
    /// # Errors
    /// A log file cannot be opened, or the exporter cannot be built.
    pub fn start(log: &Log, tracing: Option<&Tracing>) -> Result<Self, TelemetryError> {
        let lines = log::LogLayer::new(log)?.with_filter(targets(log::level(log.level), Level::WARN));
        let provider = tracing.map(otlp::provider).transpose()?;
        let spans = provider.as_ref().map(|provider| otlp::layer::<_>(provider).with_filter(traced()));
        Registry::default().with(lines).with(spans).try_init()?;
        Ok(Self { provider })
    }

    /// Lets the last spans leave, for a bounded time.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        // On a thread of its own: it waits for work that this runtime does.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TRACES_FLUSH_TIMEOUT));
        match tokio::time::timeout(TRACES_FLUSH_TIMEOUT, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were lost"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last traces were lost: the collector did not take them in time"),
        }
    }
}

fn targets(ours: Level, libraries: Level) -> Targets {
    only_ours(ours).with_default(libraries.min(ours))
}

/// What becomes a trace: our own spans, and those that are for traces only.
fn traced() -> Targets {
    only_ours(Level::INFO).with_target(TRACE_TARGET, Level::TRACE)
}

fn only_ours(level: Level) -> Targets {
    Targets::new().with_targets(OURS.map(|target| (target, level)))
}
