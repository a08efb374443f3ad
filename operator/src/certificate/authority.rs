//! An authority and what it signs.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// An authority ends long after the clusters it signs for.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// What it signs is made anew when a third of this is left.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks differ: a certificate that begins now would be refused by a node that is behind.
const BEGINS_BEFORE: Duration = DAY;

/// No certificate can be made.
#[derive(Debug, thiserror::Error)]
#[error("no certificate can be made: {0}")]
pub struct CertificateError(#[from] rcgen::Error);

/// Who shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A member, on both ends of a connection.
    Member,
    /// A client.
    Client,
}

/// An authority.
pub struct Authority {
    name: String,
    key: KeyPair,
    certificate: Option<Certificate>,
    certificate_pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(name: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = params(name).self_signed(&key)?;
        let certificate_pem = certificate.pem();
        Ok(Self { name: name.to_owned(), key, certificate: Some(certificate), certificate_pem })
    }

    /// One that was made before.
    ///
    /// # Errors
    /// The key does not read.
    pub fn read(name: &str, certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key_pem)?;
        Ok(Self { name: name.to_owned(), key, certificate: None, certificate_pem: certificate_pem.to_owned() })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate_pem
    }

    /// Its key. Whoever has it can make members.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// It was made just now.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.certificate.is_some()
    }

    /// A certificate for these hosts.
    ///
    /// # Errors
    /// A host's name is none, or there is no randomness.
    pub fn sign(&self, common_name: &str, hosts: &[String], usage: Use) -> Result<Signed, CertificateError> {
        let key = KeyPair::generate()?;
        let now = SystemTime::now();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match usage {
            Use::Member => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.not_before = (now - BEGINS_BEFORE).into();
        params.not_after = (now + CERTIFICATE_LIFE).into();
        let issuer = Issuer::new(self::params(&self.name), &self.key);
        let certificate = params.signed_by(&key, &issuer)?.pem();
        let not_after = Timestamp::try_from(now + CERTIFICATE_LIFE).unwrap_or(Timestamp::MAX);
        Ok(Signed { certificate, key: key.serialize_pem(), not_after })
    }
}

/// How long before its end a certificate is made anew.
pub(super) fn renewed_before() -> Duration {
    CERTIFICATE_LIFE / 3
}

/// The same each time: what is signed later names the issuer as its certificate does.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (SystemTime::now() - BEGINS_BEFORE).into();
    params.not_after = (SystemTime::now() + AUTHORITY_LIFE).into();
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    fn verified(authority: &str, signed: &Signed, host: &str) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let certificate = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn what_an_authority_signs_is_believed_for_its_hosts_and_no_others() {
        let authority = Authority::generate("m").unwrap();
        let signed = authority.sign("m", &["*.m-peer.ns.svc".into()], Use::Member).unwrap();
        assert!(verified(authority.certificate(), &signed, "m-0.m-peer.ns.svc"));
        assert!(!verified(authority.certificate(), &signed, "n-0.n-peer.ns.svc"));
        let other = Authority::generate("m").unwrap();
        assert!(!verified(other.certificate(), &signed, "m-0.m-peer.ns.svc"));
    }

    #[test]
    fn an_authority_that_was_kept_signs_as_before() {
        let made = Authority::generate("m").unwrap();
        let read = Authority::read("m", made.certificate(), &made.key()).unwrap();
        assert!(made.is_new() && !read.is_new());
        let signed = read.sign("m", &["m-client.ns.svc".into()], Use::Member).unwrap();
        assert!(verified(made.certificate(), &signed, "m-client.ns.svc"));
    }

    #[test]
    fn a_client_s_certificate_serves_nobody() {
        let authority = Authority::generate("m").unwrap();
        let signed = authority.sign("app", &["m-client.ns.svc".into()], Use::Client).unwrap();
        assert!(!verified(authority.certificate(), &signed, "m-client.ns.svc"));
    }
}
