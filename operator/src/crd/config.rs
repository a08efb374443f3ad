//! Settings of the members.

use super::{DurationText, Size};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the operator sets itself, by the whole name or its beginning.
const OWN: &[&str] = &[
    "name",
    "data-dir",
    "wal-dir",
    "config-file",
    "listen-",
    "advertise-",
    "initial-",
    "force-new-cluster",
    "heartbeat-interval",
    "election-timeout",
    "quota-backend-bytes",
    "cert-file",
    "key-file",
    "client-cert-",
    "trusted-ca-file",
    "auto-tls",
    "peer-",
    "cipher-suites",
    "discovery",
];

/// Settings of the members. All of them take a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.electionTimeout) >= duration(self.heartbeatInterval) + duration(self.heartbeatInterval) + duration(self.heartbeatInterval) + duration(self.heartbeatInterval) + duration(self.heartbeatInterval)")
    .message("electionTimeout must be at least five times heartbeatInterval"))]
pub struct Config {
    /// How often the leader is heard when there is nothing to say.
    #[serde(default = "heartbeat")]
    pub heartbeat_interval: DurationText,
    /// How long followers wait for a leader before they elect another.
    #[serde(default = "election")]
    pub election_timeout: DurationText,
    /// The most the state may take on disk; writes that grow it are refused beyond.
    #[serde(default = "quota")]
    pub quota: Size,
    /// Other settings of `quorate serve`, by the flag's name without dashes in front. Those that the operator sets
    /// itself are left out, and the status says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub extra: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { heartbeat_interval: heartbeat(), election_timeout: election(), quota: quota(), extra: BTreeMap::new() }
    }
}

fn heartbeat() -> DurationText {
    DurationText::of("100ms")
}

fn election() -> DurationText {
    DurationText::of("1s")
}

fn quota() -> Size {
    Size::of("2Gi")
}

impl Config {
    /// The settings of `extra` that may be passed on.
    pub fn passed_on(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extra.iter().filter(|(key, _)| !is_own(key)).map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The settings of `extra` that the operator sets itself, or that are no flag's name.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.extra.keys().map(String::as_str).filter(|key| is_own(key))
    }
}

fn is_own(key: &str) -> bool {
    let is_name =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    !is_name || OWN.iter().any(|own| key == *own || (own.ends_with('-') && key.starts_with(own)))
}
