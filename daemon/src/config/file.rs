//! The configuration file: YAML (JSON is YAML) with the flags' names as keys, as etcd's.
//!
//! * Durations are whole nanoseconds, as etcd writes them. Numbers, booleans and lists have their own YAML types.
//! * TLS stands in the blocks `client-transport-security` and `peer-transport-security`, socket options in
//!   `socket-options`. A key with nothing behind it is not set.
//! * A field nobody knows is refused: a misspelt setting that is ignored in silence is found in the incident.

use super::flag::{Flag, Kind};
use super::problem::{Origin, Problem};
use super::raw::Raw;
use super::table;
use super::value::{self, Value};
use serde_yaml::Value as Yaml;
use std::path::Path;
use std::time::Duration;

/// A block's keys, each with the flag it is.
type Block = &'static [(&'static str, &'static str)];

const CLIENT_SECURITY: Block = &[
    ("cert-file", "cert-file"),
    ("key-file", "key-file"),
    ("client-cert-file", "client-cert-file"),
    ("client-key-file", "client-key-file"),
    ("client-cert-auth", "client-cert-auth"),
    ("trusted-ca-file", "trusted-ca-file"),
    ("crl-file", "client-crl-file"),
    ("auto-tls", "auto-tls"),
    ("allowed-cn", "client-cert-allowed-cn"),
    ("allowed-hostname", "client-cert-allowed-hostname"),
];

const PEER_SECURITY: Block = &[
    ("cert-file", "peer-cert-file"),
    ("key-file", "peer-key-file"),
    ("client-cert-file", "peer-client-cert-file"),
    ("client-key-file", "peer-client-key-file"),
    ("client-cert-auth", "peer-client-cert-auth"),
    ("trusted-ca-file", "peer-trusted-ca-file"),
    ("crl-file", "peer-crl-file"),
    ("auto-tls", "peer-auto-tls"),
    ("allowed-cn", "peer-cert-allowed-cn"),
    ("allowed-hostname", "peer-cert-allowed-hostname"),
    ("skip-client-san-verification", "peer-skip-client-san-verification"),
];

const SOCKET_OPTIONS: Block = &[("reuse-port", "socket-reuse-port"), ("reuse-address", "socket-reuse-address")];

const BLOCKS: &[(&str, Block)] = &[
    ("client-transport-security", CLIENT_SECURITY),
    ("peer-transport-security", PEER_SECURITY),
    ("socket-options", SOCKET_OPTIONS),
];

/// Reads a file.
///
/// # Errors
/// It cannot be read, is no YAML, holds a field nobody knows or a value that is not of its kind.
pub(super) fn read(path: &Path) -> Result<Raw, Problem> {
    let unreadable = |reason: String| Problem::Unreadable { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let yaml: Yaml = serde_yaml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let mut reader = Reader { path, raw: Raw::default() };
    match yaml {
        Yaml::Null => {}
        Yaml::Mapping(fields) => fields.iter().try_for_each(|(key, value)| reader.field(key, value))?,
        _ => return Err(unreadable("it must be a mapping of fields to values".to_owned())),
    }
    Ok(reader.raw)
}

struct Reader<'a> {
    path: &'a Path,
    raw: Raw,
}

impl Reader<'_> {
    fn field(&mut self, key: &Yaml, value: &Yaml) -> Result<(), Problem> {
        let name = key.as_str().unwrap_or_default();
        if let Some((block, fields)) = BLOCKS.iter().find(|(block, _)| *block == name) {
            return self.block(block, fields, value);
        }
        match table::find(name) {
            Some(flag) if home(flag.name).is_none() && flag.name != "config-file" => self.set(flag, value),
            found => Err(self.unknown(key, value, found.and_then(|flag| home(flag.name)))),
        }
    }

    fn block(&mut self, block: &str, fields: Block, value: &Yaml) -> Result<(), Problem> {
        let mapping = match value {
            Yaml::Null => return Ok(()),
            Yaml::Mapping(mapping) => mapping,
            _ => return Err(self.unknown_in(block, value, Some("it must be a block of fields".to_owned()))),
        };
        for (key, value) in mapping {
            let name = key.as_str().unwrap_or_default();
            let Some((_, flag)) = fields.iter().find(|(field, _)| *field == name) else {
                let allowed: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
                let hint = format!("allowed here: {}", allowed.join(", "));
                return Err(self.unknown_in(&format!("{block}.{}", plain(key)), value, Some(hint)));
            };
            self.set(table::find(flag).expect("blocks hold flags of the table"), value)?;
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, yaml: &Yaml) -> Result<(), Problem> {
        if yaml.is_null() {
            return Ok(());
        }
        self.raw.set(flag, typed(flag.kind, yaml), plain(yaml), Origin::File(self.path.to_owned()))
    }

    fn unknown(&self, key: &Yaml, value: &Yaml, home: Option<String>) -> Problem {
        let name = plain(key);
        let known = table::flags().map(|flag| flag.name).filter(|flag| super::file::home(flag).is_none());
        let known = known.chain(BLOCKS.iter().map(|(block, _)| *block));
        let hint = home.or_else(|| table::nearest(&name, known).map(|near| format!("did you mean {near}?")));
        self.unknown_in(&name, value, hint.or_else(|| Some("--help lists what is allowed".to_owned())))
    }

    fn unknown_in(&self, name: &str, value: &Yaml, hint: Option<String>) -> Problem {
        let value = format!("{:?}", plain(value));
        Problem::UnknownField { path: self.path.to_owned(), name: name.to_owned(), value, nearest: hint }
    }
}

/// Where a flag stands in the file, if not at the top.
fn home(flag: &str) -> Option<String> {
    let place = |(block, fields): &(&str, Block)| {
        let (field, _) = fields.iter().find(|(_, of)| *of == flag)?;
        Some(format!("write it as {field} in the block {block}"))
    };
    BLOCKS.iter().find_map(place)
}

fn typed(kind: Kind, yaml: &Yaml) -> Result<Value, String> {
    match (kind, yaml) {
        (Kind::Text | Kind::Choice(_) | Kind::Urls | Kind::List, Yaml::String(text)) => value::parse(kind, text),
        (Kind::List, Yaml::Sequence(items)) => {
            let words: Option<Vec<&str>> = items.iter().map(Yaml::as_str).collect();
            value::list(words.ok_or("must be a list of texts")?.into_iter()).map(Value::List)
        }
        (Kind::Bool, Yaml::Bool(bool)) => Ok(Value::Bool(*bool)),
        (Kind::Number { min, max }, Yaml::Number(_)) => value::number(whole(yaml), min, max),
        (Kind::Duration { min }, Yaml::Number(_)) => value::duration(nanoseconds(yaml), min),
        (Kind::Text | Kind::Choice(_) | Kind::Urls, _) => Err("must be text: put it in quotes".to_owned()),
        (Kind::List, _) => Err("must be a list of texts, or one text with commas".to_owned()),
        (Kind::Bool, _) => Err("must be true or false".to_owned()),
        (Kind::Number { min, max }, _) => value::number(None, min, max),
        (Kind::Duration { .. }, _) => {
            Err("must be whole nanoseconds, as in etcd's files: 100ms is 100000000".to_owned())
        }
    }
}

fn whole(yaml: &Yaml) -> Option<i128> {
    yaml.as_i64().map(i128::from).or_else(|| yaml.as_u64().map(i128::from))
}

fn nanoseconds(yaml: &Yaml) -> Option<Duration> {
    yaml.as_i64().and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos)
}

/// A value as one would write it on a line.
fn plain(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) => text.clone(),
        Yaml::Null => String::new(),
        other => {
            serde_yaml::to_string(other).map_or_else(|error| error.to_string(), |text| text.trim().replace('\n', " "))
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
