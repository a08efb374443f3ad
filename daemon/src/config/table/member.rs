//! What a member is: its place on disk, its rhythm, its listeners, its bounds.

use super::{I64, TIME, TIME_ABOVE_0, U32, U32_FROM_1, U64, U64_FROM_1, flag, number};
use crate::config::flag::{Flag, Group, Kind};
use Group::Member;
use Kind::{Bool, Choice, Text, Urls};

/// A heartbeat is at most a fifth of the longest election timeout.
const HEARTBEAT_MS: Kind = number(1, 10_000);
const ELECTION_MS: Kind = number(1, 50_000);
/// Above this a request would not fit into the bounds that protect a member's memory (frames of 64 MiB).
const REQUEST_BYTES: Kind = number(1, 8 << 20);
const NO_BBOLT: &str = "the store is another one and has no such setting";
const OWN_TRANSPORT: &str = "peer connections notice a silent peer by heartbeats";
const WHOLE_LOG: &str = "the log is kept whole, from its first entry";
const NO_WATCH: &str = "watches are not served";
const METRICS_TELL: &str = "slow requests show in the histograms of the metrics, not in the log";
const OWN_LOG: &str = "log segments are recycled as soon as they are not needed";

pub(super) const FLAGS: &[Flag] = &[
    flag(Member, "name", Text, "default", "Human-readable name for this member."),
    flag(
        Member,
        "data-dir",
        Text,
        "",
        "Path to the data directory. Empty is ${name}.quorate, or ${name}.etcd when called etcd.",
    ),
    flag(Member, "wal-dir", Text, "", "Path to the dedicated wal directory. Empty is inside the data directory."),
    flag(
        Member,
        "config-file",
        Text,
        "",
        "Path to the server configuration file. All other flags and the environment are then ignored.",
    ),
    flag(
        Member,
        "snapshot-count",
        U64_FROM_1,
        "10000",
        "Number of committed transactions to trigger a snapshot to disk.",
    )
    .accepted(WHOLE_LOG),
    flag(
        Member,
        "snapshot-catchup-entries",
        U64,
        "5000",
        "Number of entries kept behind a snapshot for followers that are a little behind.",
    )
    .accepted(WHOLE_LOG),
    flag(Member, "heartbeat-interval", HEARTBEAT_MS, "100", "Time (in milliseconds) of a heartbeat interval."),
    flag(
        Member,
        "election-timeout",
        ELECTION_MS,
        "1000",
        "Time (in milliseconds) for an election to timeout; at least 5 heartbeats.",
    ),
    flag(
        Member,
        "initial-election-tick-advance",
        Bool,
        "true",
        "Whether to start with most of the first election timeout already passed.",
    )
    .accepted("a member that starts waits for a leader for a whole election timeout"),
    flag(Member, "listen-peer-urls", Urls, "http://localhost:2380", "List of URLs to listen on for peer traffic."),
    flag(
        Member,
        "listen-client-urls",
        Urls,
        "http://localhost:2379",
        "List of URLs to listen on for client grpc traffic, and http unless --listen-client-http-urls is given.",
    ),
    flag(Member, "listen-client-http-urls", Urls, "", "List of URLs to listen on for http only client traffic."),
    flag(
        Member,
        "listen-admin-urls",
        Urls,
        "",
        "List of URLs to listen on for the admin endpoint. Empty is http://localhost:2381, or none when called etcd or when --listen-metrics-urls is given.",
    ),
    flag(Member, "max-snapshots", U32, "5", "Maximum number of snapshot files to retain.")
        .accepted("one snapshot is kept"),
    flag(Member, "max-wals", U32, "5", "Maximum number of wal files to retain.").accepted(OWN_LOG),
    flag(
        Member,
        "quota-backend-bytes",
        I64,
        "0",
        "Raise alarms when the state exceeds this size. 0 is 2 GiB; negative is no quota.",
    ),
    flag(Member, "backend-bbolt-freelist-type", Choice(&["map", "array"]), "map", "Freelist of bbolt.")
        .accepted(NO_BBOLT),
    flag(Member, "backend-batch-interval", TIME, "0s", "Maximum time before a backend commit.").accepted(NO_BBOLT),
    flag(Member, "backend-batch-limit", U32, "0", "Maximum operations before a backend commit.").accepted(NO_BBOLT),
    flag(Member, "bootstrap-defrag-threshold-megabytes", U32, "0", "Defragment at start if it frees this much.")
        .accepted("space is reclaimed in the background"),
    flag(
        Member,
        "max-txn-ops",
        number(1, 1 << 16),
        "128",
        "Maximum number of operations permitted in a transaction, counted through nesting.",
    ),
    flag(
        Member,
        "max-request-bytes",
        REQUEST_BYTES,
        "1572864",
        "Maximum client request size in bytes the server will accept.",
    ),
    flag(
        Member,
        "max-concurrent-streams",
        U32_FROM_1,
        "4294967295",
        "Maximum concurrent streams that each client can open at a time.",
    ),
    flag(Member, "enable-grpc-gateway", Bool, "true", "Enable the HTTP/JSON gateway.")
        .accepted("there is no gateway: gRPC and etcdctl reach everything"),
    flag(
        Member,
        "grpc-keepalive-min-time",
        TIME,
        "5s",
        "Minimum duration interval that a client should wait before pinging server.",
    ),
    flag(
        Member,
        "grpc-keepalive-interval",
        TIME,
        "2h",
        "Frequency duration of server-to-client ping to check if a connection is alive (0 to disable).",
    ),
    flag(
        Member,
        "grpc-keepalive-timeout",
        TIME,
        "20s",
        "Additional duration of wait before closing a non-responsive connection (0 to disable).",
    ),
    flag(Member, "socket-reuse-port", Bool, "false", "Set SO_REUSEPORT on listeners.")
        .accepted("one process listens on a port"),
    flag(Member, "socket-reuse-address", Bool, "false", "Set SO_REUSEADDR on listeners.").accepted("it is always set"),
    flag(Member, "raft-read-timeout", TIME, "5s", "Read timeout set on each peer connection.").accepted(OWN_TRANSPORT),
    flag(Member, "raft-write-timeout", TIME, "5s", "Write timeout set on each peer connection.")
        .accepted(OWN_TRANSPORT),
    flag(Member, "memory-mlock", Bool, "false", "Keep the backend's pages in memory.").accepted(NO_BBOLT),
    flag(
        Member,
        "watch-progress-notify-interval",
        TIME_ABOVE_0,
        "10m",
        "Duration of periodical watch progress notification.",
    )
    .accepted(NO_WATCH),
    flag(Member, "warning-apply-duration", TIME, "100ms", "A warning is logged if applying an entry takes longer.")
        .accepted(METRICS_TELL),
    flag(
        Member,
        "warning-unary-request-duration",
        TIME,
        "300ms",
        "A warning is logged if a unary request takes longer.",
    )
    .accepted(METRICS_TELL),
];
