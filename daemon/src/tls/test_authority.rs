//! Certificates for tests.

use crate::config::settings::{KeyPair, Tls, TlsIdentity, TlsVersion};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair as SigningPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, SigningPair>,
    pem: String,
}

/// A signed certificate and its key, as PEM.
pub(crate) struct Leaf {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Leaf {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("made here")
    }

    /// Writes `NAME.crt` and `NAME.key`, replacing what is there.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> KeyPair {
        let pair = KeyPair { cert_file: dir.join(format!("{name}.crt")), key_file: dir.join(format!("{name}.key")) };
        fs::write(&pair.cert_file, &self.cert).expect("a writable folder");
        fs::write(&pair.key_file, &self.key).expect("a writable folder");
        pair
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = SigningPair::generate().expect("the provider makes keys");
        let pem = params.self_signed(&key).expect("an authority may sign").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes `NAME.ca`.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(format!("{name}.ca"));
        fs::write(&path, &self.pem).expect("a writable folder");
        path
    }

    /// A certificate for a common name and host names, good for a day.
    pub(crate) fn leaf(&self, cn: &str, hosts: &[&str]) -> Leaf {
        self.issue(cn, hosts, SystemTime::now() + DAY, 7)
    }

    /// One that ended yesterday.
    pub(crate) fn expired_leaf(&self, cn: &str, hosts: &[&str]) -> Leaf {
        self.issue(cn, hosts, SystemTime::now() - DAY, 7)
    }

    /// One with a serial number, to be revoked.
    pub(crate) fn numbered_leaf(&self, cn: &str, hosts: &[&str], serial: u64) -> Leaf {
        self.issue(cn, hosts, SystemTime::now() + DAY, serial)
    }

    fn issue(&self, cn: &str, hosts: &[&str], until: SystemTime, serial: u64) -> Leaf {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.distinguished_name.push(DnType::CommonName, cn);
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (SystemTime::now() - 2 * DAY).into();
        params.not_after = until.into();
        let key = SigningPair::generate().expect("the provider makes keys");
        let cert = params.signed_by(&key, &self.issuer).expect("an authority may sign").pem();
        Leaf { cert, key: key.serialize_pem() }
    }

    /// A revocation list with one certificate on it.
    pub(crate) fn revoke(&self, serial: u64) -> String {
        let now = SystemTime::now();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + DAY).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("an authority may sign").pem().expect("a list is PEM")
    }
}

/// Mutual TLS with these files.
pub(crate) fn mutual(pair: KeyPair, ca_file: PathBuf) -> Tls {
    Tls {
        identity: TlsIdentity::Files(pair),
        client_identity: None,
        trusted_ca_file: Some(ca_file),
        client_auth: true,
        crl_file: None,
        allowed_cns: Vec::new(),
        allowed_hostnames: Vec::new(),
        version_min: TlsVersion::Tls12,
        version_max: TlsVersion::Tls13,
        cipher_suites: Vec::new(),
    }
}
