//! The SDK's features are one word away from a second TLS stack beside rustls and ring. The lock file tells.

use std::path::Path;

/// The versions of a package that the whole tree is locked to.
fn locked(lock: &str, package: &str) -> Vec<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    let mut versions = Vec::new();
    while lines.any(|line| line == name) {
        versions.extend(lines.next().and_then(|line| line.strip_prefix("version = ")).map(|it| it.replace('"', "")));
    }
    versions
}

#[test]
fn there_is_one_tls_stack_and_one_http_stack() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = std::fs::read_to_string(path).expect("the workspace has a lock file");
    for absent in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "s2n-tls"] {
        assert_eq!(locked(&lock, absent), Vec::<String>::new(), "{absent}: see the features of the SDK's crates");
    }
    for one in ["rustls", "ring", "hyper"] {
        assert_eq!(locked(&lock, one).len(), 1, "{one}: {:?}", locked(&lock, one));
    }
    assert!(locked(&lock, "hyper")[0].starts_with("1."));
}
