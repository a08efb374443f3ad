//! An authority and what it signs.

use super::digest::digest;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Long enough that its change is rare, short enough that somebody who set it up is still there to see it.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(5 * 365);
/// What it signs is made anew when a third of this is left.
const CERTIFICATE_LIFE: Duration = DAY.saturating_mul(365);
/// An authority is changed when this is left of it: what it signed last still ends before it does, and half a year is
/// there for a member that cannot be reached.
pub(super) const AUTHORITY_RENEWED_BEFORE: Duration = CERTIFICATE_LIFE.saturating_add(DAY.saturating_mul(182));
/// Clocks differ: a certificate that begins now would be refused by a node that is behind.
const BEGINS_BEFORE: Duration = DAY;
/// Digits of its key that tell an authority from the one before: clients look for who signed by name.
const NAME_DIGITS: usize = 8;

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
    certificate_pem: String,
    ends: Option<Timestamp>,
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
    /// A new one, whose name begins like this.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let name = format!("{name} {}", &digest(key.der_bytes())[..NAME_DIGITS]);
        let ends = later(now, AUTHORITY_LIFE);
        let mut params = params(&name);
        params.not_before = SystemTime::from(earlier(now, BEGINS_BEFORE)).into();
        params.not_after = SystemTime::from(ends).into();
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { name, key, certificate_pem, ends: Some(ends) })
    }

    /// One that was made before.
    ///
    /// # Errors
    /// The key does not read.
    pub fn read(
        name: &str,
        certificate_pem: &str,
        key_pem: &str,
        ends: Option<Timestamp>,
    ) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key_pem)?;
        Ok(Self { name: name.to_owned(), key, certificate_pem: certificate_pem.to_owned(), ends })
    }

    /// The same one: keys are not copied, but read.
    pub(super) fn again(&self) -> Result<Self, CertificateError> {
        Self::read(&self.name, &self.certificate_pem, &self.key(), self.ends)
    }

    /// What its certificate calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    /// When it ends, if that was written down.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    /// When what it signs now would end: never after itself.
    #[must_use]
    pub fn signs_until(&self, now: Timestamp) -> Timestamp {
        let end = later(now, CERTIFICATE_LIFE);
        self.ends.map_or(end, |ends| ends.min(end))
    }

    /// A certificate for these hosts.
    ///
    /// # Errors
    /// A host's name is none, or there is no randomness.
    pub fn sign(
        &self,
        common_name: &str,
        hosts: &[String],
        usage: Use,
        now: Timestamp,
    ) -> Result<Signed, CertificateError> {
        let key = KeyPair::generate()?;
        let not_after = self.signs_until(now);
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match usage {
            Use::Member => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        params.not_before = SystemTime::from(earlier(now, BEGINS_BEFORE)).into();
        params.not_after = SystemTime::from(not_after).into();
        let issuer = Issuer::new(self::params(&self.name), &self.key);
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Signed { certificate, key: key.serialize_pem(), not_after })
    }
}

/// How long before its end a certificate is made anew.
pub(super) fn renewed_before() -> Duration {
    CERTIFICATE_LIFE / 3
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

/// The same each time: what is signed later names the issuer as its certificate does.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
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
        let authority = Authority::generate("m", Timestamp::now()).unwrap();
        let signed = authority.sign("m", &["*.m-peer.ns.svc".into()], Use::Member, Timestamp::now()).unwrap();
        assert!(verified(authority.certificate(), &signed, "m-0.m-peer.ns.svc"));
        assert!(!verified(authority.certificate(), &signed, "n-0.n-peer.ns.svc"));
        let other = Authority::generate("m", Timestamp::now()).unwrap();
        assert!(!verified(other.certificate(), &signed, "m-0.m-peer.ns.svc"));
    }

    #[test]
    fn an_authority_that_was_kept_signs_as_before() {
        let made = Authority::generate("m", Timestamp::now()).unwrap();
        let read = Authority::read(made.name(), made.certificate(), &made.key(), made.ends()).unwrap();
        let signed = read.sign("m", &["m-client.ns.svc".into()], Use::Member, Timestamp::now()).unwrap();
        assert!(verified(made.certificate(), &signed, "m-client.ns.svc"));
    }

    #[test]
    fn a_client_s_certificate_serves_nobody() {
        let authority = Authority::generate("m", Timestamp::now()).unwrap();
        let signed = authority.sign("app", &["m-client.ns.svc".into()], Use::Client, Timestamp::now()).unwrap();
        assert!(!verified(authority.certificate(), &signed, "m-client.ns.svc"));
    }

    #[test]
    fn nothing_that_an_authority_signs_outlives_it() {
        let now = Timestamp::now();
        let authority = Authority::generate("m", now).unwrap();
        let ends = authority.ends().unwrap();
        assert_eq!(authority.signs_until(now), later(now, CERTIFICATE_LIFE));
        let late = earlier(ends, DAY);
        assert_eq!(authority.sign("m", &[], Use::Member, late).unwrap().not_after, ends);
    }
}
