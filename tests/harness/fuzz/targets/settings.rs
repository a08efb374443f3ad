//! What people write: flags, variables, files, certificates.

use super::{file_with, verdict};
use crate::fuzz::{Target, Verdict};
use quorate::config::settings::{KeyPair, Tls, TlsIdentity, TlsVersion};
use quorate::config::{self, Mode};
use quorate::tls::{ALPN_CLIENTS, ClientTls, ServerTls, common_name, install_provider, not_after};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};

pub(super) const TARGETS: &[Target] = &[
    Target::new("config-file", config_samples, decode_config).slow(),
    Target::new("flags", flag_samples, decode_flags),
    Target::new("environment", environment_samples, decode_environment),
    Target::new("pem-file", pem_samples, decode_pem).slow(),
    Target::new("certificate", certificate_samples, decode_certificate),
];

fn config_samples() -> Vec<Vec<u8>> {
    let short = "name: m1\ndata-dir: /tmp/m1\nheartbeat-interval: 100\nelection-timeout: 1000\n";
    let long = "name: m1\nlisten-client-urls: http://127.0.0.1:2379\nadvertise-client-urls: http://127.0.0.1:2379\n\
        listen-peer-urls: http://127.0.0.1:2380\ninitial-advertise-peer-urls: http://127.0.0.1:2380\n\
        initial-cluster: m1=http://127.0.0.1:2380\ninitial-cluster-state: new\nquota-backend-bytes: 8589934592\n";
    vec![short.into(), long.into()]
}

fn decode_config(bytes: &[u8]) -> Verdict {
    let file = file_with(bytes);
    let arguments = [format!("--config-file={}", file.path().display())];
    verdict(&config::load(Mode::Quorate, &arguments, std::iter::empty(), &|_| false))
}

fn flag_samples() -> Vec<Vec<u8>> {
    let samples = [
        "--name=m1 --data-dir=/tmp/m1 --heartbeat-interval=100 --election-timeout=1000",
        "--quota-backend-bytes=8589934592 --max-request-bytes=1572864 --max-txn-ops=128",
        "--auto-compaction-mode=periodic --auto-compaction-retention=1h --log-level=info",
        "--listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379",
    ];
    samples.map(|sample| sample.as_bytes().to_vec()).to_vec()
}

fn decode_flags(bytes: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(bytes);
    // A file may be named, and would be read.
    let arguments: Vec<String> =
        text.split_whitespace().filter(|word| !word.contains("file")).map(str::to_owned).collect();
    verdict(&config::load(Mode::Quorate, &arguments, std::iter::empty(), &|_| false))
}

/// A variable on each line.
fn environment_samples() -> Vec<Vec<u8>> {
    let samples = [
        "ETCD_NAME=m1\nETCD_DATA_DIR=/tmp/m1\nETCD_HEARTBEAT_INTERVAL=100\nETCD_ELECTION_TIMEOUT=1000\nPATH=/bin",
        "ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379\nETCD_ADVERTISE_CLIENT_URLS=http://127.0.0.1:2379\nETCD_NAME=",
        "ETCD_INITIAL_CLUSTER=default=http://localhost:2380\nETCD_INITIAL_CLUSTER_STATE=new\nETCD_UNKNOWN=1",
        "ETCD_QUOTA_BACKEND_BYTES=8589934592\nETCD_AUTO_COMPACTION_RETENTION=1h\nETCD_PRE_VOTE=true",
    ];
    samples.map(|sample| sample.as_bytes().to_vec()).to_vec()
}

fn decode_environment(bytes: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(bytes);
    // A file may be named, and would be read.
    let variables = text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.contains("FILE"));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    verdict(&config::load(Mode::Quorate, &[], variables, &|_| false))
}

// Certificates. One file is the authority, the chain, the key and the list of what is revoked.

/// Made with openssl, once: a case has to be the same in every run. It opens nothing.
const PEM: &[u8] = include_bytes!("sample.pem");

fn pem_samples() -> Vec<Vec<u8>> {
    vec![PEM.to_vec()]
}

fn decode_pem(bytes: &[u8]) -> Verdict {
    install_provider();
    let file = file_with(bytes);
    let client = ClientTls::trusting(file.path(), Some(pair(file.path())));
    verdict(&client.and_then(|_| ServerTls::new(&listener(file.path()), ALPN_CLIENTS)))
}

fn pair(path: &Path) -> KeyPair {
    KeyPair { cert_file: path.to_owned(), key_file: path.to_owned() }
}

fn listener(path: &Path) -> Tls {
    let path: PathBuf = path.to_owned();
    Tls {
        identity: TlsIdentity::Files(pair(&path)),
        client_identity: None,
        trusted_ca_file: Some(path.clone()),
        client_auth: true,
        crl_file: Some(path),
        allowed_cns: Vec::new(),
        allowed_hostnames: Vec::new(),
        version_min: TlsVersion::Tls12,
        version_max: TlsVersion::Tls13,
        cipher_suites: Vec::new(),
    }
}

fn certificate_samples() -> Vec<Vec<u8>> {
    vec![CertificateDer::from_pem_slice(PEM).expect("there is one").to_vec()]
}

fn decode_certificate(bytes: &[u8]) -> Verdict {
    let certificate = CertificateDer::from(bytes);
    let (name, end) = (common_name(&certificate), not_after(&certificate));
    verdict(&name.zip(end).ok_or(()))
}
