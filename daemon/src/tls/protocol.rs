//! Versions and cipher suites.

use super::TlsProblem;
use crate::config::settings::{Tls, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;

/// The name etcd's users write (IANA's) of a TLS 1.2 suite we have. Anything else is too weak to be had.
const SUITES: &[(&str, CipherSuite)] = &[
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The names a configuration may give.
pub(crate) fn suite_names() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

/// The provider with the suites the settings allow.
pub(super) fn provider(settings: &Tls) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        let chosen: Vec<CipherSuite> = settings.cipher_suites.iter().filter_map(|name| suite(name)).collect();
        provider.cipher_suites.retain(|have| is_tls13(have) || chosen.contains(&have.suite()));
    }
    Arc::new(provider)
}

fn suite(name: &str) -> Option<CipherSuite> {
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite)
}

fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

static ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];
static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

pub(super) fn versions(settings: &Tls) -> &'static [&'static SupportedProtocolVersion] {
    match (settings.version_min, settings.version_max) {
        (TlsVersion::Tls12, TlsVersion::Tls12) => ONLY_12,
        (TlsVersion::Tls12, TlsVersion::Tls13) => BOTH,
        (TlsVersion::Tls13, _) => ONLY_13,
    }
}

pub(super) fn unusable(error: impl std::fmt::Display) -> TlsProblem {
    TlsProblem::Unusable(error.to_string())
}
