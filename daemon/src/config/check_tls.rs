//! When there is TLS, and with which files.

use super::address::Address;
use super::problem::Problem;
use super::raw::Raw;
use super::settings::{Advertise, KeyPair, Listen, Tls, TlsIdentity, TlsVersion};
use crate::tls::suite_names;
use std::path::Path;
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The flags of one side, under the names that side gives them.
struct Names {
    cert: &'static str,
    key: &'static str,
    auth: &'static str,
    ca: &'static str,
    crl: &'static str,
    cns: &'static str,
    hosts: &'static str,
    auto: &'static str,
}

const CLIENT: Names = Names {
    cert: "cert-file",
    key: "key-file",
    auth: "client-cert-auth",
    ca: "trusted-ca-file",
    crl: "client-crl-file",
    cns: "client-cert-allowed-cn",
    hosts: "client-cert-allowed-hostname",
    auto: "auto-tls",
};

const PEER: Names = Names {
    cert: "peer-cert-file",
    key: "peer-key-file",
    auth: "peer-client-cert-auth",
    ca: "peer-trusted-ca-file",
    crl: "peer-crl-file",
    cns: "peer-cert-allowed-cn",
    hosts: "peer-cert-allowed-hostname",
    auto: "peer-auto-tls",
};

/// TLS towards clients; none when no listener asks for it and no certificate is given.
///
/// # Errors
/// Half a pair of files, a URL with TLS and no certificate, verification without an authority.
pub(super) fn client(raw: &Raw, data_dir: &Path, listen: &Listen) -> Result<Option<Tls>, Problem> {
    let lists = [
        ("listen-client-urls", &listen.client),
        ("listen-client-http-urls", &listen.client_http),
        ("listen-metrics-urls", &listen.metrics),
        ("listen-admin-urls", &listen.admin),
    ];
    let asked = lists.into_iter().find_map(|(name, urls)| urls.iter().find(|url| url.tls()).map(|url| (name, url)));
    let hosts = hosts(listen.client.iter().chain(&listen.client_http));
    side(raw, &CLIENT, &data_dir.join("fixtures/client"), hosts, asked)
}

/// TLS between members; none when no peer URL asks for it.
///
/// # Errors
/// As [`client`], and peer URLs of both kinds.
pub(super) fn peer(raw: &Raw, data_dir: &Path, listen: &Listen, advertise: &Advertise) -> Result<Option<Tls>, Problem> {
    for (name, urls) in [("listen-peer-urls", &listen.peer), ("initial-advertise-peer-urls", &advertise.peer)] {
        let with_tls = urls.iter().filter(|url| url.tls()).count();
        if with_tls != 0 && with_tls != urls.len() {
            return Err(raw.refuse(name, "mixes http and https: members all speak TLS to each other, or none does"));
        }
    }
    let asked = listen.peer.iter().find(|url| url.tls()).map(|url| ("listen-peer-urls", url));
    let hosts = hosts(listen.peer.iter().chain(&advertise.peer));
    let tls = side(raw, &PEER, &data_dir.join("fixtures/peer"), hosts, asked)?;
    let Some(mut tls) = tls.filter(|_| asked.is_some()) else { return Ok(None) };
    if tls.trusted_ca_file.is_none() && matches!(tls.identity, TlsIdentity::Files(_)) {
        return Err(Problem::Together(
            "--peer-trusted-ca-file is required with --peer-cert-file: members verify each other".to_owned(),
        ));
    }
    tls.client_identity = key_pair(raw, "peer-client-cert-file", "peer-client-key-file")?;
    Ok(Some(tls))
}

fn side(
    raw: &Raw,
    names: &Names,
    made_in: &Path,
    hosts: Vec<String>,
    asked: Option<(&'static str, &Address)>,
) -> Result<Option<Tls>, Problem> {
    let files = key_pair(raw, names.cert, names.key)?;
    let identity = match (files, raw.bool(names.auto)) {
        (Some(pair), _) => TlsIdentity::Files(pair),
        (None, true) => {
            let valid_for = YEAR * raw.number::<u32>("self-signed-cert-validity");
            TlsIdentity::SelfSigned { dir: made_in.to_owned(), hosts, valid_for }
        }
        (None, false) => return nothing_asked_for(raw, names, asked).map(|()| None),
    };
    let ca = raw.path(names.ca);
    if raw.bool(names.auth) && ca.is_none() {
        return Err(Problem::Together(format!(
            "--{} needs --{}: who signs for those that connect",
            names.auth, names.ca
        )));
    }
    let tls = Tls {
        identity,
        client_identity: None,
        client_auth: ca.is_some(),
        trusted_ca_file: ca,
        crl_file: raw.path(names.crl),
        allowed_cns: raw.list(names.cns),
        allowed_hostnames: raw.list(names.hosts),
        version_min: version(&raw.text("tls-min-version")).unwrap_or(TlsVersion::Tls12),
        version_max: version(&raw.text("tls-max-version")).unwrap_or(TlsVersion::Tls13),
        cipher_suites: raw.list("cipher-suites"),
    };
    verification_has_an_authority(raw, names, &tls)?;
    protocol(raw, &tls)?;
    Ok(Some(tls))
}

fn nothing_asked_for(raw: &Raw, names: &Names, asked: Option<(&'static str, &Address)>) -> Result<(), Problem> {
    if let Some((name, url)) = asked {
        let needs = format!("names {url}, which needs --{} and --{}, or --{}", names.cert, names.key, names.auto);
        return Err(raw.refuse(name, needs));
    }
    let set = [names.ca, names.crl].into_iter().find(|name| raw.has(name));
    let set = set.or_else(|| raw.bool(names.auth).then_some(names.auth));
    match set {
        Some(name) => Err(Problem::Together(format!("--{name} has no effect without --{}", names.cert))),
        None => Ok(()),
    }
}

fn verification_has_an_authority(raw: &Raw, names: &Names, tls: &Tls) -> Result<(), Problem> {
    if !tls.allowed_cns.is_empty() && !tls.allowed_hostnames.is_empty() {
        return Err(Problem::Together(format!("--{} and --{} cannot both be set", names.cns, names.hosts)));
    }
    let set = [names.crl, names.cns, names.hosts].into_iter().find(|name| raw.has(name));
    match set.filter(|_| tls.trusted_ca_file.is_none()) {
        Some(name) => Err(Problem::Together(format!("--{name} has no effect without --{}", names.ca))),
        None => Ok(()),
    }
}

fn protocol(raw: &Raw, tls: &Tls) -> Result<(), Problem> {
    if tls.version_min > tls.version_max {
        let (min, max) = (raw.text("tls-min-version"), raw.text("tls-max-version"));
        return Err(Problem::Together(format!("min version ({min}) is greater than max version ({max})")));
    }
    if tls.version_min == TlsVersion::Tls13 && !tls.cipher_suites.is_empty() {
        return Err(Problem::Together("cipher suites cannot be configured when only TLS1.3 is enabled".to_owned()));
    }
    match tls.cipher_suites.iter().find(|suite| !suite_names().any(|known| known == suite.as_str())) {
        Some(unknown) => {
            let known: Vec<_> = suite_names().collect();
            let allowed = format!("holds {unknown:?}, which is unknown or unsafe; allowed are {}", known.join(", "));
            Err(raw.refuse("cipher-suites", allowed))
        }
        None => Ok(()),
    }
}

fn key_pair(raw: &Raw, cert: &'static str, key: &'static str) -> Result<Option<KeyPair>, Problem> {
    let missing =
        |set, other| Problem::Together(format!("--{set} needs --{other}: a certificate and its key go together"));
    match (raw.path(cert), raw.path(key)) {
        (Some(cert_file), Some(key_file)) => Ok(Some(KeyPair { cert_file, key_file })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing(cert, key)),
        (None, Some(_)) => Err(missing(key, cert)),
    }
}

fn version(text: &str) -> Option<TlsVersion> {
    match text {
        "TLS1.2" => Some(TlsVersion::Tls12),
        "TLS1.3" => Some(TlsVersion::Tls13),
        _ => None,
    }
}

/// The hosts a certificate of our own making is for.
fn hosts<'a>(urls: impl Iterator<Item = &'a Address>) -> Vec<String> {
    let mut hosts: Vec<String> = urls.filter_map(|url| url.host().map(str::to_owned)).collect();
    hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    hosts.sort();
    hosts.dedup();
    hosts
}
