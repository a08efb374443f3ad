//! What is true: every value checked, with its unit in its type. The parts of the daemon are built from this and from
//! nothing else; how it was written (flag, environment, file) ends in [`super`].

use super::address::Address;
use crate::snapshot::KeyFile;
use std::path::PathBuf;
use std::time::Duration;

/// Everything `serve` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The member's name, for people; it picks its own entry in [`Bootstrap::members`].
    pub name: String,
    /// Where the state lives. Ours alone, mode 0700.
    pub data_dir: PathBuf,
    /// Where the write-ahead log lives, if not in the data directory.
    pub wal_dir: Option<PathBuf>,
    /// How the cluster is formed. Once there is data, it only tells whose place this is.
    pub bootstrap: Bootstrap,
    /// What this process listens on.
    pub listen: Listen,
    /// What it tells others to call.
    pub advertise: Advertise,
    /// The rhythm of the consensus.
    pub timing: Timing,
    /// How much of the log is kept.
    pub snapshot: Snapshot,
    /// Snapshots in object storage; none stages none.
    pub backups: Option<Backups>,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
    /// Pings on client connections.
    pub keepalive: Keepalive,
    /// What of the history is dropped without being asked.
    pub auto_compaction: AutoCompaction,
    /// TLS towards clients (also for metrics and admin listeners with `https`); none is plain text.
    pub client_tls: Option<Tls>,
    /// TLS between members; none is plain text.
    pub peer_tls: Option<Tls>,
    /// Refuse changes of membership that would cost the quorum.
    pub strict_reconfig_check: bool,
    /// What is logged, how and where.
    pub log: Log,
    /// Where traces go; none sends none.
    pub tracing: Option<Tracing>,
}

/// One member of the cluster to be formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapMember {
    /// Its name.
    pub name: String,
    /// Its peer URLs; at least one.
    pub peer_urls: Vec<Address>,
}

/// Whether the cluster exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Form it from the members named.
    New,
    /// Join it: some leader has added this member.
    Existing,
}

/// How the cluster is formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Every first member, this one among them; sorted by name.
    pub members: Vec<BootstrapMember>,
    /// Form or join.
    pub state: ClusterState,
    /// Part of the cluster id: clusters with the same members and another token never talk.
    pub token: String,
    /// Make a cluster of this member alone out of what is on its disk. Loses what others had and it had not.
    pub force_new_cluster: bool,
}

/// What this process listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// gRPC for clients; plain HTTP too, unless `client_http` names other places for it.
    pub client: Vec<Address>,
    /// HTTP/1 for clients, and nothing else.
    pub client_http: Vec<Address>,
    /// Other members.
    pub peer: Vec<Address>,
    /// Metrics and health.
    pub metrics: Vec<Address>,
    /// The admin endpoint (status, replication, transfer of leadership), with metrics and health.
    pub admin: Vec<Address>,
}

/// What others are told to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// For clients.
    pub client: Vec<Address>,
    /// For members.
    pub peer: Vec<Address>,
}

/// The rhythm of the consensus. `heartbeat * 5 <= election <= 50 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// Silence after which a follower stands for election; the real wait is drawn between this and twice this.
    pub election: Duration,
}

/// Snapshots in object storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backups {
    /// Where they are.
    pub store: objects::Location,
    /// Between two; none for only when asked.
    pub interval: Option<Duration>,
    /// The most that are kept, at least one.
    pub retention_count: usize,
    /// The oldest that is kept, but for the newest; none for any age.
    pub retention_age: Option<Duration>,
    /// How long one that is not kept stays; above 0. An upload may take half of it.
    pub delete_grace: Duration,
    /// Uploaded per second, or fetched; 0 for any.
    pub bytes_per_second: u64,
    /// Requests to the store at once, at least one.
    pub parallelism: usize,
    /// What encrypts what is put there, or holds it back until there are keys; none leaves that to the store.
    pub keys: Option<KeyFile>,
}

#[cfg(test)]
impl Backups {
    /// Staged only when asked; the newest two are kept.
    pub(crate) fn on_demand(store: objects::Location) -> Self {
        Self {
            store,
            interval: None,
            retention_count: 2,
            retention_age: None,
            delete_grace: Duration::from_secs(3_600),
            bytes_per_second: 0,
            parallelism: 4,
            keys: None,
        }
    }
}

/// How much of the log is kept. See [`crate::node`]'s retention for what the numbers mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Fewer entries than this are not worth a cut.
    pub entries: u64,
    /// Applied entries kept for followers that are a little behind.
    pub catchup_entries: u64,
    /// The size of a segment.
    pub segment_bytes: u64,
    /// The most that is kept of applied entries, in bytes.
    pub tail_bytes: u64,
    /// The most that is kept for followers that are behind, in bytes.
    pub anchor_bytes: u64,
    /// The most that is sent of snapshots, in bytes per second; 0 is no limit.
    pub send_bytes_per_second: u64,
    /// How long the log waits for a follower that is not heard.
    pub anchor_time: Duration,
}

/// Bounds on what clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One request, in bytes.
    pub request_bytes_max: u64,
    /// Operations in one transaction, counted through nesting.
    pub txn_ops_max: u32,
    /// Streams open at once on one connection.
    pub concurrent_streams_max: u32,
    /// The state on disk, in bytes; none is no quota.
    pub quota_bytes: Option<u64>,
    /// Learners in the cluster.
    pub learners_max: u32,
}

/// Pings on client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Clients that ping more often are sent away.
    pub min_time: Duration,
    /// Silence after which the server pings; none never.
    pub interval: Option<Duration>,
    /// How long an answer may take; none waits for ever.
    pub timeout: Option<Duration>,
}

/// What of the history is dropped without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Nothing.
    Off,
    /// What is older than this.
    Periodic(Duration),
    /// What is more than so many revisions old.
    Revision(u64),
}

/// The oldest or newest TLS version spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsIdentity {
    /// From files, read again when they change.
    Files(KeyPair),
    /// Made by us, kept in `dir`, used again after a restart.
    SelfSigned {
        /// Where the certificate and key are kept.
        dir: PathBuf,
        /// The names and IP addresses it is for.
        hosts: Vec<String>,
        /// How long it is valid.
        valid_for: Duration,
    },
}

/// TLS on one kind of connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whom the listener says it is.
    pub identity: TlsIdentity,
    /// Whom a member says it is when it calls; none is the listener's identity.
    pub client_identity: Option<KeyPair>,
    /// Who signs for the other side. None while `client_auth` is off and nobody is verified.
    pub trusted_ca_file: Option<PathBuf>,
    /// The other side must show a certificate.
    pub client_auth: bool,
    /// Certificates no longer valid.
    pub crl_file: Option<PathBuf>,
    /// Common names the other side may have; empty is any.
    pub allowed_cns: Vec<String>,
    /// DNS names or IP addresses, one of which the other side must have; empty is any.
    pub allowed_hostnames: Vec<String>,
    /// The oldest version spoken.
    pub version_min: TlsVersion,
    /// The newest version spoken.
    pub version_max: TlsVersion,
    /// TLS 1.2 cipher suites by their IANA names; empty is every safe one. TLS 1.3 has its own, always on.
    pub cipher_suites: Vec<String>,
}

/// Who should read a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Each message.
    Debug,
    /// State has changed.
    Info,
    /// Unexpected, and we went on.
    Warn,
    /// A person must look.
    Error,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: level, ts, caller, msg, then the fields.
    Json,
    /// For people.
    Console,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

/// What is logged, how and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// From this level on.
    pub level: LogLevel,
    /// In this form.
    pub format: LogFormat,
    /// To these places; at least one.
    pub outputs: Vec<LogOutput>,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// The collector, `host:port`, OTLP over gRPC.
    pub address: String,
    /// The service in every span.
    pub service_name: String,
    /// The instance in every span; the member's name when none is given.
    pub instance_id: String,
    /// The share of traces kept, 0 to 1.
    pub sampling_ratio: f64,
}
