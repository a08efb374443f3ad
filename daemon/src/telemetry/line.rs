//! One log line, from an event.
//!
//! JSON has the keys of etcd's logs, in its order: `level`, `ts`, `caller`, `msg`, then the event's fields. The console
//! form has the same parts for people.

use crate::config::settings::LogFormat;
use serde_json::Value;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

/// Field names a line has already: an event's field of that name gets a suffix, so that no key comes twice.
const TAKEN: [&str; 4] = ["level", "ts", "caller", "msg"];

/// The line for an event at a moment, with its newline.
pub(super) fn line(format: LogFormat, event: &Event<'_>, now: jiff::Timestamp) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let (level, caller) = (level(*event.metadata().level()), caller(event.metadata()));
    match format {
        LogFormat::Json => json(level, now, &caller, &fields),
        LogFormat::Console => console(level, now, &caller, &fields),
    }
}

/// A message and its fields, in the order of the event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push(field, format!("{value:?}").into());
    }
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            ("message", other) => self.message = other.to_string(),
            (name, value) => self.rest.push((name.strip_prefix("log.").unwrap_or(name), value)),
        }
    }
}

fn json(level: &str, now: jiff::Timestamp, caller: &str, fields: &Fields) -> String {
    let mut line = format!(
        r#"{{"level":"{level}","ts":"{now:.6}","caller":{},"msg":{}"#,
        Value::from(caller),
        Value::from(fields.message.as_str())
    );
    for (name, value) in &fields.rest {
        let suffix = if TAKEN.contains(name) { "_" } else { "" };
        write!(line, r#","{name}{suffix}":{value}"#).expect("a String takes every text");
    }
    line.push_str("}\n");
    line
}

fn console(level: &str, now: jiff::Timestamp, caller: &str, fields: &Fields) -> String {
    let mut line = format!("{now:.3} {level:<5} {caller} {}", fields.message.escape_debug());
    for (name, value) in &fields.rest {
        write!(line, " {name}={value}").expect("a String takes every text");
    }
    line.push('\n');
    line
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// `folder/file.rs:line`, or the target where no file is known.
fn caller(metadata: &Metadata<'_>) -> String {
    let Some((file, line)) = metadata.file().zip(metadata.line()) else { return metadata.target().to_owned() };
    let short = file.rmatch_indices('/').nth(1).map_or(file, |(at, _)| &file[at + 1..]);
    format!("{short}:{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    struct Kept(LogFormat, Arc<Mutex<String>>);

    impl<S: tracing::Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let now = "2026-11-23T15:04:05.123456789Z".parse().unwrap();
            self.1.lock().unwrap().push_str(&line(self.0, event, now));
        }
    }

    fn said(format: LogFormat, say: impl FnOnce()) -> String {
        let kept = Arc::new(Mutex::new(String::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(format, Arc::clone(&kept)));
        tracing::subscriber::with_default(subscriber, say);
        kept.lock().unwrap().clone()
    }

    #[test]
    fn a_json_line_has_etcd_s_keys_first_and_typed_fields_after() {
        let leader = "m\"2";
        let line = said(
            LogFormat::Json,
            || tracing::warn!(term = 7, leader, ready = true, lag = 0.5, list = ?[1, 2], "it moved\n"),
        );
        assert!(
            line.starts_with(r#"{"level":"warn","ts":"2026-11-23T15:04:05.123456Z","caller":"telemetry/line.rs:"#),
            "{line}"
        );
        assert!(
            line.ends_with(&format!(
                "{}\n",
                r#","msg":"it moved\n","term":7,"leader":"m\"2","ready":true,"lag":0.5,"list":"[1, 2]"}"#
            )),
            "{line}"
        );
        assert_eq!(line.matches('\n').count(), 1);
        serde_json::from_str::<Value>(&line).unwrap();
    }

    #[test]
    fn no_key_comes_twice() {
        let line = said(LogFormat::Json, || tracing::info!(level = "high", msg = 1, "x"));
        assert!(line.ends_with("\"msg\":\"x\",\"level_\":\"high\",\"msg_\":1}\n"), "{line}");
    }

    #[test]
    fn a_console_line_stays_one_line() {
        let line = said(LogFormat::Console, || tracing::error!(path = "/d", "no\nroom"));
        assert!(line.starts_with("2026-11-23T15:04:05.123Z error telemetry/line.rs:"), "{line}");
        assert!(line.ends_with(" no\\nroom path=\"/d\"\n"), "{line}");
    }
}
