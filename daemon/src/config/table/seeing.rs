//! Metrics, logs and traces.

use super::{NOT_COMPARED, TIME, TIME_ABOVE_0, flag, number};
use crate::config::flag::{Flag, Group, Kind};
use Group::{Logging, Monitoring, Tracing};
use Kind::{Bool, Choice, List, Text, Urls};

pub(super) const FLAGS: &[Flag] = &[
    flag(
        Monitoring,
        "metrics",
        Choice(&["basic", "extensive"]),
        "basic",
        "Set level of detail for exported metrics: extensive includes gRPC histograms.",
    )
    .accepted("calls are counted by method and code, without histograms"),
    flag(
        Monitoring,
        "listen-metrics-urls",
        Urls,
        "",
        "List of URLs to listen on for the /metrics and /health endpoints.",
    ),
    flag(Monitoring, "enable-pprof", Bool, "false", "Enable profiling over HTTP.")
        .accepted("profile the process with perf"),
    flag(
        Monitoring,
        "corrupt-check-time",
        TIME,
        "0s",
        "Duration of time between cluster corruption check passes (0 is never).",
    )
    .accepted(NOT_COMPARED),
    flag(
        Monitoring,
        "compact-hash-check-time",
        TIME_ABOVE_0,
        "1m",
        "Duration of time between checks of followers' compaction hashes.",
    )
    .accepted(NOT_COMPARED),
    flag(Logging, "logger", Choice(&["zap"]), "zap", "Only zap, whose form our lines have.")
        .accepted("there is one logger"),
    flag(
        Logging,
        "log-outputs",
        List,
        "default",
        "Comma-separated list of outputs: default (stderr), stderr, stdout, or a file path.",
    ),
    flag(
        Logging,
        "log-level",
        Choice(&["debug", "info", "warn", "error", "panic", "fatal"]),
        "info",
        "Log level: debug, info, warn, error.",
    ),
    flag(
        Logging,
        "log-format",
        Choice(&["json", "console", "text"]),
        "json",
        "Form of log lines: json, console (or text).",
    ),
    flag(Logging, "enable-log-rotation", Bool, "false", "Rotate the log file.")
        .accepted("rotate it from outside, or log to stderr"),
    flag(Logging, "log-rotation-config-json", Text, "{}", "Log rotation settings.")
        .accepted("rotate it from outside, or log to stderr"),
    flag(Logging, "disable-log-sampling", Bool, "false", "Log every line.").accepted("every line is logged"),
    flag(Tracing, "enable-distributed-tracing", Bool, "false", "Send traces by OTLP over gRPC."),
    flag(Tracing, "distributed-tracing-address", Text, "localhost:4317", "Address of the collector, host:port."),
    flag(
        Tracing,
        "distributed-tracing-service-name",
        Text,
        "etcd",
        "Service name in traces, the same for all members.",
    ),
    flag(
        Tracing,
        "distributed-tracing-instance-id",
        Text,
        "",
        "Instance id in traces, unique for each member. Empty is the member's name.",
    ),
    flag(
        Tracing,
        "distributed-tracing-sampling-rate",
        number(0, 1_000_000),
        "0",
        "Number of traces to keep per million.",
    ),
];
