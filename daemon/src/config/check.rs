//! From what was written to what is true: the rules that tie settings together.

use super::address::Address;
use super::problem::Problem;
use super::raw::Raw;
use super::settings::{
    Advertise, AutoCompaction, Backups, Keepalive, Limits, Listen, Log, LogFormat, LogLevel, LogOutput, Settings,
    Snapshot, Timing, Tracing,
};
use super::{Mode, check_cluster, check_features, check_tls, value};
use crate::snapshot::KeyFile;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What etcd takes a quota of 0 for.
const QUOTA_DEFAULT_BYTES: u64 = 2 << 30;
/// The unit of a periodic retention without one.
const HOUR: Duration = Duration::from_secs(3600);

/// What is true, with what people should be told about it.
#[derive(Debug)]
pub struct Checked {
    /// The settings.
    pub settings: Settings,
    /// One line each, for the log.
    pub notes: Vec<String>,
}

/// # Errors
/// Settings that do not go together.
pub(super) fn check(raw: &Raw, mode: Mode, formed: &dyn Fn(&Path) -> bool) -> Result<Checked, Problem> {
    let name = name(raw)?;
    let data_dir = raw.path("data-dir").unwrap_or_else(|| PathBuf::from(format!("{name}.{}", mode.data_dir_suffix())));
    let listen = listen(raw, mode)?;
    let advertise = advertise(raw)?;
    refuse_chosen_hosts(raw)?;
    refuse_other_tokens(raw)?;
    let client_tls = check_tls::client(raw, &data_dir, &listen)?;
    let peer_tls = check_tls::peer(raw, &data_dir, &listen, &advertise)?;
    let bootstrap = check_cluster::bootstrap(raw, &name, &advertise)?;
    if !formed(&data_dir) {
        check_cluster::can_be_formed(raw, &bootstrap, &name, &advertise, peer_tls.is_some())?;
    }
    let settings = Settings {
        bootstrap,
        timing: timing(raw)?,
        snapshot: Snapshot {
            entries: raw.number("snapshot-count"),
            catchup_entries: raw.number("snapshot-catchup-entries"),
            segment_bytes: raw.number("log-segment-bytes"),
            tail_bytes: raw.number("log-tail-bytes"),
            anchor_bytes: raw.number("log-anchor-bytes"),
            send_bytes_per_second: raw.number("snapshot-send-rate"),
            anchor_time: raw.duration("log-anchor-time"),
        },
        backups: backups(raw)?,
        limits: limits(raw),
        keepalive: Keepalive {
            min_time: raw.duration("grpc-keepalive-min-time"),
            interval: raw.duration_unless_zero("grpc-keepalive-interval"),
            timeout: raw.duration_unless_zero("grpc-keepalive-timeout"),
        },
        auto_compaction: auto_compaction(raw)?,
        strict_reconfig_check: raw.bool("strict-reconfig-check"),
        log: log(raw)?,
        tracing: tracing(raw, &name)?,
        wal_dir: raw.path("wal-dir"),
        name,
        data_dir,
        listen,
        advertise,
        client_tls,
        peer_tls,
    };
    let notes = notes(raw, &settings)?;
    Ok(Checked { settings, notes })
}

fn name(raw: &Raw) -> Result<String, Problem> {
    let name = raw.text("name");
    let plain = |c: char| !c.is_control() && !matches!(c, '=' | ',');
    if name.is_empty() || name.len() > 255 || !name.chars().all(plain) {
        return Err(raw.refuse("name", "must be 1 to 255 characters without comma, equals sign or control characters"));
    }
    Ok(name)
}

fn listen(raw: &Raw, mode: Mode) -> Result<Listen, Problem> {
    let mut admin = bindable(raw, "listen-admin-urls")?;
    // Whoever says where metrics are served has said what this machine has room for: several members may share it.
    if !raw.has("listen-admin-urls") && !raw.has("listen-metrics-urls") {
        admin.extend(mode.default_admin());
    }
    let listen = Listen {
        client: required(raw, "listen-client-urls", bindable(raw, "listen-client-urls")?)?,
        client_http: bindable(raw, "listen-client-http-urls")?,
        peer: required(raw, "listen-peer-urls", bindable(raw, "listen-peer-urls")?)?,
        metrics: bindable(raw, "listen-metrics-urls")?,
        admin,
    };
    no_address_twice(&listen)?;
    Ok(listen)
}

fn required(raw: &Raw, name: &'static str, urls: Vec<Address>) -> Result<Vec<Address>, Problem> {
    if urls.is_empty() { Err(raw.refuse(name, "must name at least one URL")) } else { Ok(urls) }
}

fn bindable(raw: &Raw, name: &'static str) -> Result<Vec<Address>, Problem> {
    let urls = raw.urls(name);
    match urls.iter().find(|url| url.bind_address().is_none()) {
        Some(url) if url.host().is_none() => {
            Err(raw.refuse(name, format!("names {url}, and only http and https are listened on, not Unix sockets")))
        }
        Some(url) => Err(raw.refuse(name, format!("must hold an IP address or localhost to bind to, not {url}"))),
        None => Ok(urls),
    }
}

fn no_address_twice(listen: &Listen) -> Result<(), Problem> {
    let lists = [
        ("listen-client-urls", &listen.client),
        ("listen-client-http-urls", &listen.client_http),
        ("listen-peer-urls", &listen.peer),
        ("listen-metrics-urls", &listen.metrics),
        ("listen-admin-urls", &listen.admin),
    ];
    let all: Vec<_> = lists.iter().flat_map(|(name, urls)| urls.iter().map(move |url| (*name, url))).collect();
    for (at, (name, url)) in all.iter().enumerate() {
        let same = |(_, other): &&(&str, &Address)| {
            url.bind_address().map_or(*url == *other, |it| other.bind_address() == Some(it))
        };
        if let Some((other, _)) = all[..at].iter().find(same) {
            return Err(Problem::Together(format!(
                "--{name} and --{other} both listen on {url}: each needs an address of its own"
            )));
        }
    }
    Ok(())
}

fn advertise(raw: &Raw) -> Result<Advertise, Problem> {
    if raw.has("listen-client-urls") && !raw.has("advertise-client-urls") {
        return Err(Problem::Together(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly".to_owned(),
        ));
    }
    let peer = required(raw, "initial-advertise-peer-urls", raw.urls("initial-advertise-peer-urls"))?;
    let client = required(raw, "advertise-client-urls", raw.urls("advertise-client-urls"))?;
    Ok(Advertise { client, peer })
}

fn timing(raw: &Raw) -> Result<Timing, Problem> {
    let heartbeat_ms: u64 = raw.number("heartbeat-interval");
    let election_ms: u64 = raw.number("election-timeout");
    if 5 * heartbeat_ms > election_ms {
        return Err(Problem::Together(format!(
            "--election-timeout[{election_ms}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat_ms}ms]"
        )));
    }
    Ok(Timing { heartbeat: Duration::from_millis(heartbeat_ms), election: Duration::from_millis(election_ms) })
}

fn backups(raw: &Raw) -> Result<Option<Backups>, Problem> {
    const STORE: &str = "backup-store";
    if raw.text(STORE).is_empty() {
        return Ok(None);
    }
    let store = raw.text(STORE).parse();
    let store = store.map_err(|error: objects::Error| raw.refuse(STORE, format!("cannot be used: {error}")))?;
    Ok(Some(Backups {
        store,
        interval: raw.duration_unless_zero("backup-interval"),
        retention_count: raw.number("backup-retention-count"),
        retention_age: raw.duration_unless_zero("backup-retention-age"),
        delete_grace: raw.duration("backup-delete-grace"),
        bytes_per_second: raw.number("backup-bandwidth-limit"),
        parallelism: raw.number("backup-parallelism"),
        keys: backup_keys(raw)?,
    }))
}

/// A file that was named has to be there, so that a misspelt name is found at once. A folder may be filled later: who
/// fills it is somebody else's business, and backups are no reason not to serve.
fn backup_keys(raw: &Raw) -> Result<Option<KeyFile>, Problem> {
    const FILE: &str = "backup-encryption-key-file";
    match (raw.path(FILE), raw.path("backup-encryption-key-dir")) {
        (Some(_), Some(_)) => Err(Problem::Together(
            "set only one of --backup-encryption-key-file and --backup-encryption-key-dir".to_owned(),
        )),
        (Some(path), None) => {
            KeyFile::open(&path).map(Some).map_err(|error| raw.refuse(FILE, format!("cannot be used: {error}")))
        }
        (None, folder) => Ok(folder.map(|folder| KeyFile::in_folder(&folder))),
    }
}

fn limits(raw: &Raw) -> Limits {
    let quota = match raw.number::<i64>("quota-backend-bytes") {
        0 => Some(QUOTA_DEFAULT_BYTES),
        bytes => u64::try_from(bytes).ok(),
    };
    Limits {
        request_bytes_max: raw.number("max-request-bytes"),
        txn_ops_max: raw.number("max-txn-ops"),
        concurrent_streams_max: raw.number("max-concurrent-streams"),
        quota_bytes: quota,
        learners_max: raw.number("max-learners"),
    }
}

fn auto_compaction(raw: &Raw) -> Result<AutoCompaction, Problem> {
    const NAME: &str = "auto-compaction-retention";
    let text = raw.text(NAME);
    let whole: Option<u64> = text.parse().ok();
    if raw.text("auto-compaction-mode") == "revision" {
        return match whole {
            Some(0) => Ok(AutoCompaction::Off),
            Some(revisions) if i64::try_from(revisions).is_ok() => Ok(AutoCompaction::Revision(revisions)),
            _ => {
                Err(raw
                    .refuse(NAME, "must be a number of revisions, 0 or more, when --auto-compaction-mode is revision"))
            }
        };
    }
    let hours = |hours: u64| u32::try_from(hours).ok().and_then(|hours| HOUR.checked_mul(hours));
    match whole.map_or_else(|| value::parse_duration(&text), hours) {
        Some(Duration::ZERO) => Ok(AutoCompaction::Off),
        Some(age) => Ok(AutoCompaction::Periodic(age)),
        None => Err(
            raw.refuse(NAME, "must be hours, or a duration such as 30m or 1h, when --auto-compaction-mode is periodic")
        ),
    }
}

/// Whoever names a way to sign tokens counts on users, and there are none.
fn refuse_other_tokens(raw: &Raw) -> Result<(), Problem> {
    match raw.text("auth-token").as_str() {
        "simple" => Ok(()),
        _ => Err(raw.refuse("auth-token", "must be \"simple\", which is what no users need")),
    }
}

/// Nobody looks at the `Host` of a request: whoever counts on it must know.
fn refuse_chosen_hosts(raw: &Raw) -> Result<(), Problem> {
    let hosts = raw.list("host-whitelist");
    match hosts.is_empty() || hosts.iter().any(|host| host == "*") {
        true => Ok(()),
        false => {
            Err(raw.refuse("host-whitelist", "must be empty or *: the host that a request names is not looked at"))
        }
    }
}

fn log(raw: &Raw) -> Result<Log, Problem> {
    let level = match raw.text("log-level").as_str() {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warn" => LogLevel::Warn,
        _ => LogLevel::Error, // error, and etcd's panic and fatal, which nothing here logs at
    };
    let format = if raw.text("log-format") == "json" { LogFormat::Json } else { LogFormat::Console };
    let mut outputs: Vec<LogOutput> = Vec::new();
    for word in raw.list("log-outputs") {
        let output = match word.as_str() {
            "default" | "stderr" => LogOutput::Stderr,
            "stdout" => LogOutput::Stdout,
            "systemd/journal" => {
                return Err(raw.refuse("log-outputs", "must be stderr, stdout or a file: journald reads stderr"));
            }
            path => LogOutput::File(PathBuf::from(path)),
        };
        if outputs.contains(&output) {
            return Err(raw.refuse("log-outputs", "names one output twice"));
        }
        outputs.push(output);
    }
    if outputs.is_empty() {
        return Err(raw.refuse("log-outputs", "must name at least one output: stderr, stdout or a file"));
    }
    Ok(Log { level, format, outputs })
}

fn tracing(raw: &Raw, name: &str) -> Result<Option<Tracing>, Problem> {
    if !raw.bool("enable-distributed-tracing") {
        return Ok(None);
    }
    let address = raw.text("distributed-tracing-address");
    if format!("http://{address}").parse::<Address>().is_err() {
        return Err(raw.refuse("distributed-tracing-address", "must be host:port, the OTLP port of a collector"));
    }
    let instance_id = Some(raw.text("distributed-tracing-instance-id")).filter(|id| !id.is_empty());
    Ok(Some(Tracing {
        address,
        service_name: raw.text("distributed-tracing-service-name"),
        instance_id: instance_id.unwrap_or_else(|| name.to_owned()),
        sampling_ratio: f64::from(raw.number::<u32>("distributed-tracing-sampling-rate")) / 1e6,
    }))
}

fn notes(raw: &Raw, settings: &Settings) -> Result<Vec<String>, Problem> {
    let mut notes: Vec<String> = Vec::new();
    let flags = raw.without_meaning().map(|(name, why)| format!("--{name} ({why})"));
    let gates = check_features::gates(raw)?.into_iter().map(|gate| format!("the feature gate {gate}"));
    let without: Vec<_> = flags.chain(gates).collect();
    if !without.is_empty() {
        notes.push(format!("accepted, and without a meaning here: {}", without.join(", ")));
    }
    if settings.client_tls.is_some() {
        let plain = settings.listen.client.iter().filter(|url| !url.tls());
        notes.extend(
            plain.map(|url| format!("--listen-client-urls: {url} is without TLS although there is a certificate")),
        );
    }
    if matches!(&settings.peer_tls, Some(tls) if tls.trusted_ca_file.is_none()) {
        notes.push("--peer-auto-tls: traffic between members is encrypted, and no member is verified".to_owned());
    }
    Ok(notes)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
