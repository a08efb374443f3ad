use super::*;

fn from(text: &str) -> Result<Raw, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etcd.conf.yml");
    std::fs::write(&path, text).unwrap();
    read(&path).map_err(|problem| problem.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
}

fn refused(text: &str) -> String {
    from(text).unwrap_err()
}

#[test]
fn keys_are_flags_and_types_are_yaml_s_own() {
    let raw = from(
        "name: m1\nheartbeat-interval: 50\npre-vote: false\nlog-outputs: [stderr]\ncipher-suites:\n\
         listen-peer-urls: http://10.0.0.1:2380,http://10.0.0.1:7001\nauto-compaction-retention: \"1\"\n\
         compaction-sleep-interval: 20000000\n",
    )
    .unwrap();
    assert_eq!(raw.text("name"), "m1");
    assert_eq!(raw.number::<u64>("heartbeat-interval"), 50);
    assert!(!raw.bool("pre-vote"));
    assert_eq!(raw.list("log-outputs"), ["stderr"]);
    assert_eq!(raw.urls("listen-peer-urls").len(), 2);
    assert_eq!(raw.duration("compaction-sleep-interval"), Duration::from_millis(20));
    assert!(!raw.has("cipher-suites"), "a key with nothing behind it is not set");
}

#[test]
fn the_security_blocks_are_the_tls_flags() {
    let raw = from(
        "client-transport-security:\n  cert-file: c.crt\n  client-cert-auth: true\n  allowed-hostname: [a, b]\n\
         peer-transport-security:\n  cert-file: p.crt\n  allowed-cn: [m]\n  auto-tls: false\n",
    )
    .unwrap();
    assert_eq!(raw.text("cert-file"), "c.crt");
    assert!(raw.bool("client-cert-auth"));
    assert_eq!(raw.list("client-cert-allowed-hostname"), ["a", "b"]);
    assert_eq!(raw.text("peer-cert-file"), "p.crt");
    assert_eq!(raw.list("peer-cert-allowed-cn"), ["m"]);
}

#[test]
fn json_is_read_too_and_an_empty_file_says_nothing() {
    assert_eq!(from(r#"{"name": "m1"}"#).unwrap().text("name"), "m1");
    assert_eq!(from("# nothing\n").unwrap(), Raw::default());
}

#[test]
fn an_unknown_field_is_named_with_its_value_and_what_is_allowed() {
    assert_eq!(
        refused("hartbeat-interval: 7\n"),
        "DIR/etcd.conf.yml: unknown field \"hartbeat-interval\" with value \"7\" (did you mean heartbeat-interval?)"
    );
    assert_eq!(
        refused("wibble: [1, 2]\n"),
        "DIR/etcd.conf.yml: unknown field \"wibble\" with value \"- 1 - 2\" (--help lists what is allowed)"
    );
    assert_eq!(
        refused("peer-trusted-ca-file: x\n"),
        "DIR/etcd.conf.yml: unknown field \"peer-trusted-ca-file\" with value \"x\" \
         (write it as trusted-ca-file in the block peer-transport-security)"
    );
    assert_eq!(
        refused("socket-options:\n  reuse: true\n"),
        "DIR/etcd.conf.yml: unknown field \"socket-options.reuse\" with value \"true\" \
         (allowed here: reuse-port, reuse-address)"
    );
    assert_eq!(
        refused("peer-transport-security: yes please\n"),
        "DIR/etcd.conf.yml: unknown field \"peer-transport-security\" with value \"yes please\" (it must be a block of fields)"
    );
}

#[test]
fn a_value_of_another_type_says_what_is_allowed() {
    let field = "in DIR/etcd.conf.yml:";
    assert_eq!(refused("name: 7\n"), format!("name {field} \"7\" must be text: put it in quotes"));
    assert_eq!(refused("pre-vote: \"yes\"\n"), format!("pre-vote {field} \"yes\" must be true or false"));
    assert_eq!(
        refused("election-timeout: -1\n"),
        format!("election-timeout {field} \"-1\" must be a whole number from 1 to 50000")
    );
    assert_eq!(
        refused("election-timeout: 1.5\n"),
        format!("election-timeout {field} \"1.5\" must be a whole number from 1 to 50000")
    );
    assert_eq!(
        refused("grpc-keepalive-interval: 2h\n"),
        format!(
            "grpc-keepalive-interval {field} \"2h\" must be whole nanoseconds, as in etcd's files: 100ms is 100000000"
        )
    );
    assert_eq!(
        refused("grpc-keepalive-interval: -2\n"),
        format!(
            "grpc-keepalive-interval {field} \"-2\" must be a duration such as 100ms, 5s or 1h30m, not negative and below 292 years"
        )
    );
}

#[test]
fn what_is_no_mapping_is_refused() {
    assert!(refused("- a\n- b\n").ends_with("it must be a mapping of fields to values"));
    assert!(refused("name: a\nname: b\n").contains("duplicate entry with key \"name\""));
    assert!(refused("name: [\n").starts_with("--config-file: \"DIR/etcd.conf.yml\" cannot be read: "));
    assert!(read(Path::new("/none")).unwrap_err().to_string().contains("No such file or directory"));
}
