use super::super::flag::Kind;
use super::super::settings::{ClusterState, KeyPair, TlsIdentity, TlsVersion};
use super::super::{Mode, Wanted, load, table};
use super::*;

fn run(mode: Mode, words: &[&str]) -> Result<Checked, Problem> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    match load(mode, &words, std::iter::empty(), &|dir| dir.ends_with("formed"))? {
        Wanted::Run(checked) => Ok(*checked),
        other => panic!("{other:?}"),
    }
}

fn settings(words: &[&str]) -> Settings {
    run(Mode::Quorate, words).unwrap().settings
}

fn refused(words: &[&str]) -> String {
    run(Mode::Quorate, words).unwrap_err().to_string()
}

fn urls(urls: &[Address]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn nothing_said_is_a_member_alone_on_the_usual_ports() {
    let alone = settings(&[]);
    assert_eq!(alone.name, "default");
    assert_eq!(alone.data_dir, PathBuf::from("default.quorate"));
    assert_eq!(urls(&alone.listen.client), "http://localhost:2379");
    assert_eq!(urls(&alone.listen.peer), "http://localhost:2380");
    assert_eq!(urls(&alone.listen.admin), "http://localhost:2381");
    assert_eq!(alone.bootstrap.members.len(), 1);
    assert_eq!(urls(&alone.bootstrap.members[0].peer_urls), "http://localhost:2380");
    assert_eq!(alone.bootstrap.state, ClusterState::New);
    assert_eq!(alone.timing.heartbeat, Duration::from_millis(100));
    assert_eq!(alone.limits.quota_bytes, Some(2 << 30));
    assert_eq!(alone.limits.request_bytes_max, 1_572_864);
    assert_eq!(alone.limits.concurrent_streams_max, u32::MAX);
    assert_eq!(alone.keepalive.interval, Some(Duration::from_secs(7200)));
    assert_eq!(alone.auto_compaction, AutoCompaction::Off);
    assert_eq!((alone.client_tls, alone.peer_tls, alone.tracing), (None, None, None));
}

#[test]
fn called_etcd_the_defaults_are_etcd_s() {
    let etcd = run(Mode::Etcd, &["--name=infra1"]).unwrap().settings;
    assert_eq!(etcd.data_dir, PathBuf::from("infra1.etcd"));
    assert!(etcd.listen.admin.is_empty());
    assert_eq!(etcd.bootstrap.members[0].name, "infra1");
}

#[test]
fn a_three_member_cluster_reads() {
    let m1 = settings(&[
        "--name=m1",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=m2=http://b:2380,m1=http://localhost:2380,m3=http://c:2380,m3=http://c:7001",
        "--initial-cluster-token=t",
    ]);
    let names: Vec<_> =
        m1.bootstrap.members.iter().map(|member| (member.name.as_str(), member.peer_urls.len())).collect();
    assert_eq!(names, [("m1", 1), ("m2", 1), ("m3", 2)]);
    assert_eq!(m1.bootstrap.token, "t");
}

#[test]
fn an_initial_cluster_that_cannot_be_is_refused() {
    let refused =
        |cluster: &str| refused(&["--name=m1", &format!("--initial-cluster={cluster}")]).replace(cluster, "...");
    assert_eq!(
        refused("m2=http://b:2380"),
        r#"--initial-cluster: "..." must hold this member, --name "m1"; it holds m2"#
    );
    assert_eq!(
        refused("m1=http://a:2380,m2=http://a:2380"),
        r#"--initial-cluster: "..." has duplicated url http://a:2380: every member needs its own"#
    );
    assert_eq!(
        refused("m1=http://localhost:2380,=http://b:1"),
        r#"--initial-cluster: "..." must be name=url,name=url; "=http://b:1" is not name=url"#
    );
    assert_eq!(
        refused("m1=http://localhost:2380,m2=b:1"),
        r#"--initial-cluster: "..." holds "b:1", which must start with http://, https://, unix:// or unixs://"#
    );
    assert_eq!(
        refused("m1=http://localhost:2380,m2=https://b:2380"),
        r#"--initial-cluster: "..." mixes http and https: members all speak TLS to each other, or none does"#
    );
    assert_eq!(
        refused("m1=http://10.0.0.1:2380"),
        "--initial-cluster has ... but --initial-advertise-peer-urls is http://localhost:2380: they must be the same"
    );
}

#[test]
fn who_joins_need_not_repeat_its_urls() {
    let words = ["--name=m1", "--initial-cluster=m1=http://10.0.0.1:2380", "--initial-cluster-state=existing"];
    assert_eq!(settings(&words).bootstrap.state, ClusterState::Existing);
}

#[test]
fn a_member_that_belongs_to_a_cluster_may_have_moved() {
    let moved = ["--name=m1", "--initial-cluster=m1=http://10.0.0.1:2380", "--data-dir=/formed"];
    assert_eq!(urls(&settings(&moved).advertise.peer), "http://localhost:2380");
}

#[test]
fn an_election_takes_at_least_five_heartbeats() {
    assert_eq!(
        refused(&["--heartbeat-interval=201"]),
        "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[201ms]"
    );
    settings(&["--heartbeat-interval=200"]);
    assert_eq!(
        refused(&["--election-timeout=50001"]),
        r#"--election-timeout: "50001" must be a whole number from 1 to 50000"#
    );
}

#[test]
fn a_listener_needs_an_address_of_its_own_to_bind() {
    assert_eq!(
        refused(&["--listen-peer-urls=http://example.com:2380"]),
        r#"--listen-peer-urls: "http://example.com:2380" must hold an IP address or localhost to bind to, not http://example.com:2380"#
    );
    assert_eq!(
        refused(&["--listen-peer-urls=http://127.0.0.1:2379"]),
        "--listen-peer-urls and --listen-client-urls both listen on http://127.0.0.1:2379: each needs an address of its own"
    );
    assert_eq!(refused(&["--listen-peer-urls="]), r#"--listen-peer-urls: "" must name at least one URL"#);
    assert_eq!(
        refused(&["--listen-client-urls=http://0.0.0.0:2379"]),
        "--advertise-client-urls is required when --listen-client-urls is set explicitly"
    );
    assert_eq!(
        refused(&["--listen-client-urls=unix:///run/q.sock", "--advertise-client-urls=http://localhost:2379"]),
        r#"--listen-client-urls: "unix:///run/q.sock" names unix:///run/q.sock, and only http and https are listened on, not Unix sockets"#
    );
}

#[test]
fn tls_needs_whole_pairs_and_an_authority_for_those_it_verifies() {
    let https = ["--listen-client-urls=https://localhost:2379", "--advertise-client-urls=https://localhost:2379"];
    let refused = |words: &[&str]| refused(&[&https[..], words].concat());
    assert_eq!(
        refused(&[]),
        r#"--listen-client-urls: "https://localhost:2379" names https://localhost:2379, which needs --cert-file and --key-file, or --auto-tls"#
    );
    assert_eq!(refused(&["--cert-file=c"]), "--cert-file needs --key-file: a certificate and its key go together");
    assert_eq!(refused(&["--key-file=k"]), "--key-file needs --cert-file: a certificate and its key go together");
    let pair = ["--cert-file=c", "--key-file=k"];
    let with_pair = |words: &[&str]| refused(&[&pair[..], words].concat());
    assert_eq!(
        with_pair(&["--client-cert-auth"]),
        "--client-cert-auth needs --trusted-ca-file: who signs for those that connect"
    );
    assert_eq!(with_pair(&["--client-crl-file=x"]), "--client-crl-file has no effect without --trusted-ca-file");
    assert_eq!(
        with_pair(&["--trusted-ca-file=x", "--client-cert-allowed-cn=a", "--client-cert-allowed-hostname=b"]),
        "--client-cert-allowed-cn and --client-cert-allowed-hostname cannot both be set"
    );
    assert_eq!(
        with_pair(&["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"]),
        "min version (TLS1.3) is greater than max version (TLS1.2)"
    );
    assert_eq!(
        with_pair(&["--tls-min-version=TLS1.3", "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]),
        "cipher suites cannot be configured when only TLS1.3 is enabled"
    );
    assert!(with_pair(&["--cipher-suites=TLS_RSA_WITH_RC4_128_SHA"]).starts_with(
        r#"--cipher-suites: "TLS_RSA_WITH_RC4_128_SHA" holds "TLS_RSA_WITH_RC4_128_SHA", which is unknown or unsafe; allowed are TLS_ECDHE"#
    ));
}

#[test]
fn a_trusted_authority_alone_asks_for_certificates() {
    let tls = settings(&[
        "--listen-client-urls=https://localhost:2379",
        "--advertise-client-urls=https://localhost:2379",
        "--cert-file=c",
        "--key-file=k",
        "--trusted-ca-file=ca",
        "--tls-max-version=TLS1.2",
    ])
    .client_tls
    .unwrap();
    assert!(tls.client_auth);
    assert_eq!(tls.identity, TlsIdentity::Files(KeyPair { cert_file: "c".into(), key_file: "k".into() }));
    assert_eq!((tls.version_min, tls.version_max), (TlsVersion::Tls12, TlsVersion::Tls12));
}

#[test]
fn members_speak_tls_all_or_none() {
    let own = ["--listen-peer-urls=https://127.0.0.1:2380", "--initial-advertise-peer-urls=https://127.0.0.1:2380"];
    let auto = settings(&[&own[..], &["--peer-auto-tls", "--data-dir=/d"]].concat()).peer_tls.unwrap();
    let TlsIdentity::SelfSigned { dir, hosts, valid_for } = auto.identity else { panic!("{auto:?}") };
    assert_eq!(dir, PathBuf::from("/d/fixtures/peer"));
    assert_eq!(hosts, ["127.0.0.1", "::1", "localhost"]);
    assert_eq!(valid_for, Duration::from_secs(365 * 24 * 3600));
    assert_eq!(
        refused(&[&own[..], &["--peer-cert-file=c", "--peer-key-file=k"]].concat()),
        "--peer-trusted-ca-file is required with --peer-cert-file: members verify each other"
    );
    assert_eq!(
        refused(&["--listen-peer-urls=https://127.0.0.1:2380,http://127.0.0.1:7001"]),
        "--listen-peer-urls: \"https://127.0.0.1:2380,http://127.0.0.1:7001\" mixes http and https: members all speak TLS to each other, or none does"
    );
    assert_eq!(
        refused(&["--initial-advertise-peer-urls=https://127.0.0.1:2380"]),
        "--initial-cluster names https://127.0.0.1:2380, but --listen-peer-urls is without TLS: members all speak TLS to each other, or none does"
    );
}

#[test]
fn retention_is_hours_a_duration_or_revisions() {
    let auto = |words: &[&str]| settings(words).auto_compaction;
    let minutes = |minutes: u64| AutoCompaction::Periodic(Duration::from_secs(60 * minutes));
    assert_eq!(auto(&["--auto-compaction-retention=5"]), minutes(300));
    assert_eq!(auto(&["--auto-compaction-retention=10m"]), minutes(10));
    let revision = "--auto-compaction-mode=revision";
    assert_eq!(auto(&[revision, "--auto-compaction-retention=1000"]), AutoCompaction::Revision(1000));
    assert_eq!(auto(&[revision]), AutoCompaction::Off);
    for bad in ["-1", "x", "99999999999"] {
        assert_eq!(
            refused(&[&format!("--auto-compaction-retention={bad}")]),
            format!(
                "--auto-compaction-retention: {bad:?} must be hours, or a duration such as 30m or 1h, when --auto-compaction-mode is periodic"
            )
        );
    }
    assert_eq!(
        refused(&[revision, "--auto-compaction-retention=5m"]),
        r#"--auto-compaction-retention: "5m" must be a number of revisions, 0 or more, when --auto-compaction-mode is revision"#
    );
}

#[test]
fn a_quota_of_zero_is_the_default_and_a_negative_one_is_none() {
    assert_eq!(settings(&["--quota-backend-bytes=-1"]).limits.quota_bytes, None);
    assert_eq!(settings(&["--quota-backend-bytes=17"]).limits.quota_bytes, Some(17));
}

#[test]
fn logs_and_traces_say_where_they_go() {
    let log = settings(&["--log-outputs=stderr,/var/log/q.log", "--log-level=warn", "--log-format=console"]).log;
    assert_eq!(log.outputs, [LogOutput::Stderr, LogOutput::File("/var/log/q.log".into())]);
    assert_eq!((log.level, log.format), (LogLevel::Warn, LogFormat::Console));
    assert_eq!(refused(&["--log-outputs=default,stderr"]), r#"--log-outputs: "default,stderr" names one output twice"#);
    let tracing =
        settings(&["--name=m1", "--enable-distributed-tracing", "--distributed-tracing-sampling-rate=500000"])
            .tracing
            .unwrap();
    assert_eq!(
        (tracing.address.as_str(), tracing.instance_id.as_str(), tracing.sampling_ratio),
        ("localhost:4317", "m1", 0.5)
    );
    assert_eq!(
        refused(&["--enable-distributed-tracing", "--distributed-tracing-address=http://x"]),
        r#"--distributed-tracing-address: "http://x" must be host:port, the OTLP port of a collector"#
    );
}

#[test]
fn feature_gates_are_known_by_name() {
    let notes = run(Mode::Quorate, &["--feature-gates=CompactHashCheck=true,LeaseCheckpoint=false"]).unwrap().notes;
    assert_eq!(
        notes,
        ["accepted, and without a meaning here: the feature gate CompactHashCheck (the members' states are never \
             compared; etcdctl endpoint hashkv does so by hand), the feature gate LeaseCheckpoint (leases are not served)"]
    );
    assert!(
        refused(&["--feature-gates=Nope=true"]).contains(r#"holds the unrecognized feature gate "Nope"; known are"#)
    );
    assert!(refused(&["--feature-gates=LeaseCheckpoint"]).contains("must be Name=true or Name=false"));
}

#[test]
fn a_name_has_no_sign_that_a_list_of_members_needs() {
    for bad in ["", "a=b", "a,b", "a\nb"] {
        assert!(refused(&[&format!("--name={bad}")]).contains("must be 1 to 255 characters without comma"), "{bad:?}");
    }
}

#[test]
fn a_choice_of_hosts_that_nobody_would_enforce_is_refused() {
    assert!(refused(&["--host-whitelist=example.com"]).contains("must be empty or *"));
    assert!(run(Mode::Quorate, &["--host-whitelist=*"]).is_ok());
}

#[test]
fn what_has_no_meaning_is_said_once() {
    let notes = run(Mode::Quorate, &["--max-wals=3", "--backend-batch-limit=7", "--unsafe-no-fsync"]).unwrap().notes;
    assert_eq!(
        notes,
        [
            "accepted, and without a meaning here: --max-wals (log segments are recycled as soon as they are not needed), \
             --backend-batch-limit (the store is another one and has no such setting), \
             --unsafe-no-fsync (every write still waits for the disk)"
        ]
    );
}

#[test]
fn the_environment_sets_what_flags_do_not_and_unknown_variables_are_told() {
    let environment = [("ETCD_NAME", "m7"), ("ETCD_HOST_IP", "1.2.3.4"), ("HOME", "/")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let words = ["--data-dir=/d".to_owned()];
    let Wanted::Run(checked) = load(Mode::Quorate, &words, environment.into_iter(), &|_| false).unwrap() else {
        panic!("not run")
    };
    assert_eq!(checked.settings.name, "m7");
    assert_eq!(checked.settings.data_dir, PathBuf::from("/d"));
    assert_eq!(checked.notes, ["unrecognized environment variable ETCD_HOST_IP"]);
}

#[test]
fn a_configuration_file_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf");
    std::fs::write(&path, "name: from-file\n").unwrap();
    let words = ["--name=from-flag".to_owned(), format!("--config-file={}", path.display())];
    let environment = [("ETCD_NAME".to_owned(), "from-environment".to_owned())];
    let Wanted::Run(checked) = load(Mode::Quorate, &words, environment.into_iter(), &|_| false).unwrap() else {
        panic!("not run")
    };
    assert_eq!(checked.settings.name, "from-file");
    assert!(checked.notes[0].ends_with("other flags and the environment are ignored"));
    let environment = [("ETCD_CONFIG_FILE".to_owned(), path.display().to_string())];
    let Wanted::Run(checked) = load(Mode::Quorate, &[], environment.into_iter(), &|_| false).unwrap() else {
        panic!("not run")
    };
    assert_eq!(checked.settings.name, "from-file");
}

#[test]
fn backups_go_where_the_store_is_and_a_wrong_one_is_refused() {
    assert_eq!(settings(&["--backup-interval=5m"]).backups, None);
    let bucket = "--backup-store=s3://bucket/p?endpoint=http://minio:9000";
    let backups = settings(&[bucket, "--backup-interval=0", "--backup-retention-age=0"]).backups.expect("a store");
    assert_eq!(backups.store.to_string(), "s3://bucket/p at http://minio:9000");
    assert_eq!((backups.interval, backups.retention_age), (None, None));
    assert_eq!((backups.retention_count, backups.parallelism), (24, 4));
    assert_eq!(
        refused(&["--backup-store=ftp://x"]),
        "--backup-store: \"ftp://x\" cannot be used: location of the object store: it begins with dir:/path, \
         file:///path or s3://bucket"
    );
    assert!(refused(&["--backup-retention-count=0"]).starts_with("--backup-retention-count: \"0\""));
}

#[test]
fn keys_for_backups_are_read_at_once_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let store = "--backup-store=dir:/backups";
    let flag = format!("--backup-encryption-key-file={}", path.display());
    let absent = refused(&[store, &flag]);
    assert!(absent.starts_with("--backup-encryption-key-file: ") && absent.contains("No such file"), "{absent}");
    std::fs::write(&path, "too short").unwrap();
    let bad = refused(&[store, &flag]);
    assert!(bad.contains("line 1 is no key: 32 bytes in hexadecimal or base64"), "{bad}");
    std::fs::write(&path, "5a".repeat(32)).unwrap();
    let keys = settings(&[store, &flag]).backups.expect("a store").keys.expect("keys");
    assert_eq!(keys.current().expect("a key").to_string().len(), 16, "one id");
    assert_eq!(settings(&[store]).backups.expect("a store").keys, None);
}

#[test]
fn keys_for_backups_may_come_later_to_a_folder_and_are_asked_for_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = "--backup-store=dir:/backups";
    let mounted = folder.path().join("mounted");
    let flag = format!("--backup-encryption-key-dir={}", mounted.display());
    let keys = settings(&[store, &flag]).backups.expect("a store").keys.expect("it means to encrypt");
    let lacking = keys.current().expect_err("nothing is there").to_string();
    assert!(lacking.contains("mounted/keys"), "{lacking}");
    std::fs::create_dir(&mounted).unwrap();
    std::fs::write(mounted.join("keys"), "5a".repeat(32)).unwrap();
    assert!(keys.current().is_ok());
    let file = format!("--backup-encryption-key-file={}", mounted.join("keys").display());
    let both = refused(&[store, &flag, &file]);
    assert!(both.contains("only one of --backup-encryption-key-file and --backup-encryption-key-dir"), "{both}");
}

/// At and beyond the bounds of every type that a number may end in.
const NUMBERS: [&str; 13] = [
    "-9223372036854775809",
    "-9223372036854775808",
    "-1",
    "0",
    "1",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e9",
    "",
];
const TIMES: [&str; 10] =
    ["-1s", "0", "0s", "1ns", "2562047h47m", "2562048h", "9223372036854775807ns", "1e400s", "NaNs", ".s"];

/// A negative or an enormous setting let etcd loop or panic (TOB-ETCD-011, TOB-ETCD-014).
#[test]
fn every_number_at_and_beyond_its_bounds_is_taken_or_named() {
    let (mut taken, mut refused) = (0, 0);
    for flag in table::flags() {
        let values = match flag.kind {
            Kind::Number { .. } => &NUMBERS[..],
            Kind::Duration { .. } => &TIMES[..],
            Kind::Text | Kind::Choice(_) | Kind::Bool | Kind::Urls | Kind::List => continue,
        };
        let meant = table::find(flag.name).expect("an alias stands for a flag");
        for value in values {
            match run(Mode::Quorate, &[&format!("--{}={value}", flag.name)]) {
                Ok(_) => taken += 1,
                Err(problem) => {
                    let said = problem.to_string();
                    assert!(said.contains(meant.name), "--{}={value}: {said}", flag.name);
                    assert!(said.contains(value), "--{}={value}: {said}", flag.name);
                    refused += 1;
                }
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} were taken, {refused} refused");
}
