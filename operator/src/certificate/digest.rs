//! Certificates by their digests, as members tell them.

use k8s_openapi::api::core::v1::Secret;
use ring::digest::SHA256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt::Write;

/// SHA-256, in lower-case hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    ring::digest::digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of the first certificate of a PEM text.
pub(super) fn of_pem(pem: &str) -> Option<String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|certificate| digest(&certificate))
}

/// What somebody holds who has read a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The certificate that is shown.
    pub certificate: String,
    /// The authorities that are believed, in order.
    pub trusted: Vec<String>,
}

impl Held {
    /// From the Secret; `None` if it holds no certificate, or one that does not read.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let certificate = CertificateDer::from_pem_slice(&data.get("tls.crt")?.0).ok()?;
        let trusted: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&data.get("ca.crt")?.0).collect();
        let mut trusted: Vec<String> = trusted.ok()?.iter().map(|authority| digest(authority)).collect();
        trusted.sort_unstable();
        trusted.dedup();
        Some(Self { certificate: digest(&certificate), trusted })
    }
}
