//! Certificates of our own making, for `--auto-tls` and `--peer-auto-tls`.
//!
//! `DIR/cert.pem` and `DIR/key.pem` are made once and used again after a restart, so clients that pinned the
//! certificate stay connected. An expired or unreadable pair is made anew. The key is written before the certificate:
//! a crash between the two leaves no certificate, and the next start makes both.

use super::certificate::not_after;
use super::{TlsProblem, load};
use crate::config::settings::{KeyPair, TlsIdentity};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair as SigningPair, KeyUsagePurpose};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tracing::info;

/// The files of an identity, made if they are ours to make.
pub(super) fn ensure(identity: &TlsIdentity) -> Result<KeyPair, TlsProblem> {
    match identity {
        TlsIdentity::Files(pair) => Ok(pair.clone()),
        TlsIdentity::SelfSigned { dir, hosts, valid_for } => ensure_in(dir, hosts, *valid_for),
    }
}

fn ensure_in(dir: &Path, hosts: &[String], valid_for: Duration) -> Result<KeyPair, TlsProblem> {
    let pair = KeyPair { cert_file: dir.join("cert.pem"), key_file: dir.join("key.pem") };
    if !usable(&pair) {
        make(dir, &pair, hosts, valid_for)?;
        info!(certificate = %pair.cert_file.display(), ?hosts, "made a self-signed certificate");
    }
    Ok(pair)
}

fn usable(pair: &KeyPair) -> bool {
    let Ok(identity) = load::identity(pair) else { return false };
    identity.chain.first().and_then(not_after).is_some_and(|end| end > SystemTime::now())
}

fn make(dir: &Path, pair: &KeyPair, hosts: &[String], valid_for: Duration) -> Result<(), TlsProblem> {
    let failed = |error| TlsProblem::File { path: dir.into(), error };
    let (certificate, key) = generate(hosts, valid_for).map_err(|error| TlsProblem::Unusable(error.to_string()))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    write(&pair.key_file, &key).map_err(failed)?;
    write(&pair.cert_file, &certificate).map_err(failed)
}

fn generate(hosts: &[String], valid_for: Duration) -> Result<(String, String), rcgen::Error> {
    let key = SigningPair::generate()?;
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::OrganizationName, "quorate");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = SystemTime::now().into();
    params.not_after = (SystemTime::now() + valid_for).into();
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("fixtures/client");
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let pair = ensure_in(&home, &hosts, YEAR).unwrap();
        let first = fs::read(&pair.cert_file).unwrap();
        assert_eq!(ensure_in(&home, &hosts, YEAR).unwrap(), pair);
        assert_eq!(fs::read(&pair.cert_file).unwrap(), first, "used again");
        assert_eq!(fs::metadata(&pair.key_file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_expired_or_damaged_certificate_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = ["localhost".to_owned()];
        let pair = ensure_in(dir.path(), &hosts, Duration::ZERO).unwrap();
        let expired = fs::read(&pair.cert_file).unwrap();
        std::thread::sleep(Duration::from_millis(1100)); // validity has whole seconds
        ensure_in(dir.path(), &hosts, YEAR).unwrap();
        assert_ne!(fs::read(&pair.cert_file).unwrap(), expired);
        fs::write(&pair.key_file, "damaged").unwrap();
        ensure_in(dir.path(), &hosts, YEAR).unwrap();
        assert!(usable(&pair));
    }
}
