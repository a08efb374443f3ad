//! Where log lines go.

use super::TelemetryError;
use super::line::line;
use crate::config::settings::{Log, LogFormat, LogLevel, LogOutput};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Turns events into lines.
pub(super) struct LogLayer {
    format: LogFormat,
    sinks: Vec<Sink>,
}

enum Sink {
    Stdout,
    Stderr,
    /// Opened for appending: every write is one line at the end, whoever else writes.
    File(File),
}

impl LogLayer {
    pub(super) fn new(log: &Log) -> Result<Self, TelemetryError> {
        let sinks = log.outputs.iter().map(Sink::open).collect::<Result<_, _>>()?;
        Ok(Self { format: log.format, sinks })
    }
}

impl Sink {
    fn open(output: &LogOutput) -> Result<Self, TelemetryError> {
        match output {
            LogOutput::Stdout => Ok(Self::Stdout),
            LogOutput::Stderr => Ok(Self::Stderr),
            LogOutput::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                file.map(Self::File).map_err(|error| TelemetryError::File { path: path.clone(), error })
            }
        }
    }

    fn write(&self, line: &str) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().write_all(line.as_bytes()),
            Self::Stderr => io::stderr().write_all(line.as_bytes()),
            Self::File(file) => {
                let mut file: &File = file;
                file.write_all(line.as_bytes())
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let line = line(self.format, event, jiff::Timestamp::now());
        for sink in &self.sinks {
            // A full disk or a closed pipe loses the line; there is nowhere left to say so.
            let _lost = sink.write(&line);
        }
    }
}

pub(super) fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn lines_are_appended_to_a_file_from_the_level_asked_for_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.log");
        std::fs::write(&path, "before\n").unwrap();
        let log = Log { level: LogLevel::Info, format: LogFormat::Json, outputs: vec![LogOutput::File(path.clone())] };
        let layer = LogLayer::new(&log).unwrap().with_filter(super::super::targets(level(log.level), Level::WARN));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::debug!("too quiet");
            tracing::info!("ours");
            tracing::info!(target: "h2", "a library's");
            tracing::warn!(target: "h2", "a library's warning");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let messages: Vec<_> = text.lines().map(|line| line.split("\"msg\":").last().unwrap()).collect();
        assert_eq!(messages, ["before", "\"ours\"}", "\"a library's warning\"}"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let log = Log {
            level: LogLevel::Info,
            format: LogFormat::Json,
            outputs: vec![LogOutput::File("/none/q.log".into())],
        };
        let refused = LogLayer::new(&log).err().unwrap().to_string();
        assert!(
            refused.starts_with(r#"--log-outputs: "/none/q.log" cannot be opened for appending: No such file"#),
            "{refused}"
        );
    }
}
