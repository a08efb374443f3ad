//! Reading PEM files.

use super::TlsProblem;
use crate::config::settings::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::fs;
use std::path::Path;

/// A chain, leaf first, and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) fn identity(pair: &KeyPair) -> Result<Identity, TlsProblem> {
    Ok(Identity { chain: certificates(&pair.cert_file)?, key: key(&pair.key_file)? })
}

pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| malformed(path, &error))?;
    }
    Ok(roots)
}

pub(super) fn crls(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsProblem> {
    let bytes = read(path)?;
    if !bytes.starts_with(b"-----") && !bytes.is_empty() {
        return Ok(vec![CertificateRevocationListDer::from(bytes)]); // DER, as etcd takes it
    }
    sections(path, &bytes, "certificate revocation list")
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    sections(path, &read(path)?, "certificate")
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => Err(TlsProblem::Empty { path: path.into(), wanted: "private key" }),
        Err(error) => Err(malformed(path, &error)),
    }
}

fn sections<T: PemObject>(path: &Path, bytes: &[u8], wanted: &'static str) -> Result<Vec<T>, TlsProblem> {
    let items = T::pem_slice_iter(bytes).collect::<Result<Vec<T>, _>>().map_err(|error| malformed(path, &error))?;
    if items.is_empty() {
        return Err(TlsProblem::Empty { path: path.into(), wanted });
    }
    Ok(items)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    fs::read(path).map_err(|error| TlsProblem::File { path: path.into(), error })
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> TlsProblem {
    TlsProblem::Malformed { path: path.into(), reason: error.to_string() }
}
