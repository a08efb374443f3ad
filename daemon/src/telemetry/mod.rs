//! What the process tells about itself while it runs: log lines, and traces when asked for.
//!
//! * A log line leaves in one write, whole. A place that does not take it loses it: logging never stops the member.
//! * Traces are best effort: what is lost on the way to the collector is only told ([`traces`]).

mod context;
mod line;
mod log;
mod request;

pub use context::{TRACE_CONTEXT_BYTES, TraceContext};
pub use request::request;

use crate::config::settings::{Log, Tracing};
use crate::node::TRACE_TARGET;
use std::path::PathBuf;
use traces::{Source, Traces};
use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

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
    Exporter(#[from] traces::ExporterBuildError),
    /// Somebody else logs already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Keeps log lines and traces flowing.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<Traces>,
}

impl Telemetry {
    /// Starts both. Called inside the runtime: the exporter needs it.
    ///
    /// # Errors
    /// A log file cannot be opened, or the exporter cannot be built.
    pub fn start(log: &Log, tracing: Option<&Tracing>) -> Result<Self, TelemetryError> {
        let lines = log::LogLayer::new(log)?.with_filter(targets(log::level(log.level), Level::WARN));
        let traces = tracing.map(start).transpose()?;
        let spans = traces.as_ref().map(|traces| traces.layer().with_filter(traced()));
        Registry::default().with(lines).with(spans).try_init()?;
        Ok(Self { traces })
    }

    /// Lets the last spans leave, for a bounded time.
    pub async fn shutdown(self) {
        if let Some(traces) = self.traces {
            traces.shutdown().await;
        }
    }
}

fn start(tracing: &Tracing) -> Result<Traces, TelemetryError> {
    let Tracing { address, service_name, instance_id, sampling_ratio } = tracing;
    let source = Source { service: service_name, instance: instance_id, kept: *sampling_ratio };
    Ok(Traces::start(address, source)?)
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
