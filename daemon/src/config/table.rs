//! Every flag of `serve`, in the order of the help text. Each is an environment variable and a key of the
//! configuration file too.

use super::flag::{Flag, Group, Kind, Meaning};
use Group::{Auth, Clustering, Features, Logging, Member, Monitoring, Security, Tracing, Unsafe};
use Kind::{Bool, Choice, List, Text, Urls};
use std::time::Duration;

const U32: Kind = number(0, u32::MAX as i128);
const U32_FROM_1: Kind = number(1, u32::MAX as i128);
const U64: Kind = number(0, u64::MAX as i128);
const U64_FROM_1: Kind = number(1, u64::MAX as i128);
const I64: Kind = number(i64::MIN as i128, i64::MAX as i128);
const TIME: Kind = Kind::Duration { min: Duration::ZERO };
const TIME_ABOVE_0: Kind = Kind::Duration { min: Duration::from_nanos(1) };
const TLS_VERSIONS: Kind = Choice(&["TLS1.2", "TLS1.3"]);
/// A heartbeat is at most a fifth of the longest election timeout.
const HEARTBEAT_MS: Kind = number(1, 10_000);
const ELECTION_MS: Kind = number(1, 50_000);
/// Above this a request would not fit into the bounds that protect a member's memory (frames of 64 MiB).
const REQUEST_BYTES: Kind = number(1, 8 << 20);

const fn number(min: i128, max: i128) -> Kind {
    Kind::Number { min, max }
}

const fn flag(group: Group, name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Flag {
    Flag::new(group, name, kind, default, doc)
}

const NO_BBOLT: &str = "the store is another one and has no such setting";
const NO_DISCOVERY: &str = "name the members in --initial-cluster";
const OWN_TRANSPORT: &str = "peer connections notice a silent peer by heartbeats";
const NO_WATCH: &str = "watches are not served";
const NO_AUTH: &str = "there are no users: access is controlled by client certificates";
const METRICS_TELL: &str = "slow requests show in the histograms of the metrics, not in the log";
const OWN_SWEEP: &str = "compacted revisions are swept in the background, in steps of the store's own";
const NOT_COMPARED: &str = "the members' states are never compared; etcdctl endpoint hashkv does so by hand";
const OWN_LOG: &str = "log segments are recycled as soon as they are not needed";

/// Every flag there is.
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
        "Number of entries that may be behind the kept ones before the log is cut.",
    ),
    flag(
        Member,
        "snapshot-catchup-entries",
        U64,
        "5000",
        "Number of applied entries the log keeps for followers that are a little behind.",
    ),
    flag(
        Member,
        "log-segment-bytes",
        number(64 << 10, 1 << 30),
        "67108864",
        "Size of a segment of the log: what is cut is cut in whole segments, and two spare ones are kept ready.",
    ),
    flag(
        Member,
        "log-tail-bytes",
        U64_FROM_1,
        "134217728",
        "Most the log keeps of applied entries, whatever --snapshot-catchup-entries says.",
    ),
    flag(
        Member,
        "log-anchor-bytes",
        U64_FROM_1,
        "1073741824",
        "Most a leader's log keeps for followers that are behind or away; further back they need a snapshot.",
    ),
    flag(
        Member,
        "snapshot-send-rate",
        U64,
        "134217728",
        "Most bytes per second this member sends of snapshots to members that fell behind the log; 0 is no limit.",
    ),
    flag(
        Member,
        "log-anchor-time",
        TIME,
        "10m",
        "How long a leader's log is kept for a follower that is not heard; after that it needs a snapshot.",
    ),
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
    flag(
        Clustering,
        "initial-advertise-peer-urls",
        Urls,
        "http://localhost:2380",
        "List of this member's peer URLs to advertise to the rest of the cluster.",
    ),
    flag(
        Clustering,
        "initial-cluster",
        Text,
        "",
        "Initial cluster configuration for bootstrapping: name=url,name=url. Empty is this member alone.",
    ),
    flag(
        Clustering,
        "initial-cluster-state",
        Choice(&["new", "existing"]),
        "new",
        "Initial cluster state: new when bootstrapping, existing when joining. Ignored once there is data.",
    ),
    flag(
        Clustering,
        "initial-cluster-token",
        Text,
        "etcd-cluster",
        "Initial cluster token: clusters with other tokens never talk to each other.",
    ),
    flag(
        Clustering,
        "advertise-client-urls",
        Urls,
        "http://localhost:2379",
        "List of this member's client URLs to advertise to the public.",
    ),
    flag(Clustering, "discovery", Text, "", "Discovery URL.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-token", Text, "", "V3 discovery: token of the cluster.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-endpoints", List, "", "V3 discovery: endpoints of the service.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-dial-timeout", TIME, "2s", "V3 discovery: dial timeout.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-request-timeout", TIME, "5s", "V3 discovery: request timeout.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-keepalive-time", TIME, "2s", "V3 discovery: keepalive time.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-keepalive-timeout", TIME, "6s", "V3 discovery: keepalive timeout.")
        .accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-insecure-transport", Bool, "true", "V3 discovery: no TLS.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-insecure-skip-tls-verify", Bool, "false", "V3 discovery: no verification.")
        .accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-cert", Text, "", "V3 discovery: client certificate.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-key", Text, "", "V3 discovery: client key.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-cacert", Text, "", "V3 discovery: CA bundle.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-user", Text, "", "V3 discovery: user.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-password", Text, "", "V3 discovery: password.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-srv", Text, "", "DNS srv domain used to bootstrap the cluster.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-srv-name", Text, "", "Suffix to the dns srv name.").refused(NO_DISCOVERY),
    flag(
        Clustering,
        "strict-reconfig-check",
        Bool,
        "true",
        "Reject reconfiguration requests that would cause quorum loss.",
    ),
    flag(Clustering, "pre-vote", Bool, "true", "Enable to run an additional Raft election phase.")
        .accepted("it is always on"),
    flag(
        Clustering,
        "auto-compaction-retention",
        Text,
        "0",
        "Auto compaction retention length. 0 means disable auto compaction.",
    ),
    flag(
        Clustering,
        "auto-compaction-mode",
        Choice(&["periodic", "revision"]),
        "periodic",
        "Interpret auto-compaction-retention as a duration (hours without a unit) or as a number of revisions.",
    ),
    flag(
        Clustering,
        "compaction-batch-limit",
        U32,
        "1000",
        "Maximum revisions deleted in each compaction batch (0 is the default).",
    )
    .accepted(OWN_SWEEP),
    flag(Clustering, "compaction-sleep-interval", TIME, "10ms", "Rest between compaction batches.").accepted(OWN_SWEEP),
    flag(Clustering, "max-learners", U32_FROM_1, "1", "Maximum number of learners in the cluster."),
    flag(Clustering, "downgrade-check-time", TIME, "5s", "Time between downgrade checks.")
        .accepted("downgrades of etcd's versions do not exist here"),
    flag(Security, "cert-file", Text, "", "Path to the client server TLS cert file."),
    flag(Security, "key-file", Text, "", "Path to the client server TLS key file."),
    flag(
        Security,
        "client-cert-auth",
        Bool,
        "false",
        "Enable client cert authentication. A trusted CA file alone enables it too.",
    ),
    flag(Security, "client-cert-file", Text, "", "Path to a TLS cert file for our own client calls.")
        .accepted("there are none to our own client port"),
    flag(Security, "client-key-file", Text, "", "Path to a TLS key file for our own client calls.")
        .accepted("there are none to our own client port"),
    flag(Security, "client-crl-file", Text, "", "Path to the client certificate revocation list file."),
    flag(Security, "client-cert-allowed-cn", List, "", "Comma-separated list of CNs for client cert authentication."),
    flag(
        Security,
        "client-cert-allowed-hostname",
        List,
        "",
        "Comma-separated list of SAN hostnames for client cert authentication.",
    ),
    flag(Security, "trusted-ca-file", Text, "", "Path to the client server TLS trusted CA cert file."),
    flag(Security, "auto-tls", Bool, "false", "Client TLS using generated certificates."),
    flag(Security, "peer-cert-file", Text, "", "Path to the peer server TLS cert file."),
    flag(Security, "peer-key-file", Text, "", "Path to the peer server TLS key file."),
    flag(
        Security,
        "peer-client-cert-auth",
        Bool,
        "false",
        "Enable peer client cert authentication. A trusted CA file alone enables it too.",
    ),
    flag(
        Security,
        "peer-client-cert-file",
        Text,
        "",
        "Path to the TLS cert file for calls to peers; otherwise the peer cert file.",
    ),
    flag(
        Security,
        "peer-client-key-file",
        Text,
        "",
        "Path to the TLS key file for calls to peers; otherwise the peer key file.",
    ),
    flag(Security, "peer-trusted-ca-file", Text, "", "Path to the peer server TLS trusted CA file."),
    flag(
        Security,
        "peer-cert-allowed-cn",
        List,
        "",
        "Comma-separated list of allowed CNs for inter-peer TLS authentication.",
    ),
    flag(
        Security,
        "peer-cert-allowed-hostname",
        List,
        "",
        "Comma-separated list of allowed SAN hostnames for inter-peer TLS authentication.",
    ),
    flag(
        Security,
        "peer-auto-tls",
        Bool,
        "false",
        "Peer TLS using self-generated certificates: encrypted, and nobody is verified.",
    ),
    flag(Security, "peer-crl-file", Text, "", "Path to the peer certificate revocation list file."),
    flag(Security, "peer-skip-client-san-verification", Bool, "false", "Skip comparing a peer's SAN with its address.")
        .accepted("they are never compared: authority, CN and host name decide"),
    flag(
        Security,
        "self-signed-cert-validity",
        number(1, 100),
        "1",
        "The validity of generated certificates, in years.",
    ),
    flag(
        Security,
        "cipher-suites",
        List,
        "",
        "Comma-separated list of supported TLS 1.2 cipher suites (empty is every safe one).",
    ),
    flag(Security, "tls-min-version", TLS_VERSIONS, "TLS1.2", "Minimum TLS version supported: TLS1.2, TLS1.3."),
    flag(
        Security,
        "tls-max-version",
        Choice(&["", "TLS1.2", "TLS1.3"]),
        "",
        "Maximum TLS version supported: TLS1.2, TLS1.3 (empty is the newest).",
    ),
    flag(Security, "cors", List, "*", "Comma-separated white list of origins for CORS (empty or * means allow all).")
        .accepted("no page of another origin is allowed to read an answer"),
    flag(
        Security,
        "host-whitelist",
        List,
        "*",
        "Acceptable hostnames from HTTP client requests, if server is not secure (empty or * means allow all).",
    ),
    flag(Auth, "auth-token", Text, "simple", "Type of auth tokens: simple.").accepted(NO_AUTH),
    flag(Auth, "auth-token-ttl", U32_FROM_1, "300", "Time (in seconds) an auth token lives after its last use.")
        .accepted(NO_AUTH),
    flag(Auth, "bcrypt-cost", number(4, 31), "10", "Cost of the bcrypt hash of passwords, 4 to 31.").accepted(NO_AUTH),
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
    flag(Features, "feature-gates", List, "", "Features by name, Name=true|false."),
    flag(
        Features,
        "experimental-initial-corrupt-check",
        Bool,
        "false",
        "Compare state with the other members before serving.",
    )
    .accepted(NOT_COMPARED),
    flag(
        Features,
        "experimental-compact-hash-check-enabled",
        Bool,
        "false",
        "Compare compaction hashes with followers.",
    )
    .accepted(NOT_COMPARED),
    flag(Features, "experimental-watch-progress-notify-interval", TIME_ABOVE_0, "10m", "")
        .alias("watch-progress-notify-interval"),
    flag(Features, "experimental-corrupt-check-time", TIME, "0s", "").alias("corrupt-check-time"),
    flag(Features, "experimental-compact-hash-check-time", TIME_ABOVE_0, "1m", "").alias("compact-hash-check-time"),
    flag(Features, "experimental-compaction-batch-limit", U32, "1000", "").alias("compaction-batch-limit"),
    flag(Features, "experimental-compaction-sleep-interval", TIME, "10ms", "").alias("compaction-sleep-interval"),
    flag(Features, "experimental-warning-apply-duration", TIME, "100ms", "").alias("warning-apply-duration"),
    flag(Features, "experimental-snapshot-catchup-entries", U64, "5000", "").alias("snapshot-catchup-entries"),
    flag(Features, "experimental-max-learners", U32_FROM_1, "1", "").alias("max-learners"),
    flag(Features, "experimental-enable-distributed-tracing", Bool, "false", "").alias("enable-distributed-tracing"),
    flag(Features, "experimental-distributed-tracing-address", Text, "localhost:4317", "")
        .alias("distributed-tracing-address"),
    flag(Features, "experimental-distributed-tracing-service-name", Text, "etcd", "")
        .alias("distributed-tracing-service-name"),
    flag(Features, "experimental-distributed-tracing-instance-id", Text, "", "")
        .alias("distributed-tracing-instance-id"),
    flag(Features, "experimental-distributed-tracing-sampling-rate", number(0, 1_000_000), "0", "")
        .alias("distributed-tracing-sampling-rate"),
    flag(
        Unsafe,
        "force-new-cluster",
        Bool,
        "false",
        "Make a one-member cluster of what is on this disk. What others had and this one had not is lost.",
    ),
    flag(Unsafe, "unsafe-no-fsync", Bool, "false", "Never wait for the disk.")
        .accepted("every write still waits for the disk"),
];

/// The flag of this name; an alias leads to the one it stands for.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    let flag = FLAGS.iter().find(|flag| flag.name == name)?;
    match flag.meaning {
        Meaning::Alias(of) => FLAGS.iter().find(|flag| flag.name == of),
        Meaning::Used | Meaning::Accepted(_) | Meaning::Refused(_) => Some(flag),
    }
}

/// The flag whose name is nearest, if one is near: for a hint.
pub(super) fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| distance(name, candidate);
    among.min_by_key(near).filter(|best| distance(name, best) <= HINT_EDITS_MAX)
}

/// More edits than this and the guess would be noise.
const HINT_EDITS_MAX: usize = 3;

/// Edits (insert, drop, replace) between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
