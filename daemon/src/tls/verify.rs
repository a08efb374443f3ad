//! Who may connect: a certificate signed by the trusted authority, not revoked, and, where the settings name them,
//! with an allowed common name or host name.

use super::certificate::common_name;
use super::protocol::unusable;
use super::signatures::verify_signatures;
use super::{TlsProblem, load};
use crate::config::settings::Tls;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DistinguishedName, Error};
use std::path::Path;
use std::sync::Arc;

/// The verifier the settings ask for; none when nobody is asked for a certificate.
pub(super) fn client_verifier(
    settings: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsProblem> {
    let Some(ca_file) = settings.trusted_ca_file.as_deref().filter(|_| settings.client_auth) else { return Ok(None) };
    let signed = signed_by(ca_file, settings.crl_file.as_deref(), provider)?;
    if settings.allowed_cns.is_empty() && settings.allowed_hostnames.is_empty() {
        return Ok(Some(signed));
    }
    let (provider, cns) = (Arc::clone(provider), settings.allowed_cns.clone());
    Ok(Some(Arc::new(Named { signed, provider, cns, hosts: hosts(settings)? })))
}

fn signed_by(
    ca_file: &Path,
    crl_file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsProblem> {
    let roots = Arc::new(load::roots(ca_file)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if let Some(file) = crl_file {
        // As etcd: a list speaks of the certificates it names, and silence of it is no revocation.
        builder =
            builder.with_crls(load::crls(file)?).only_check_end_entity_revocation().allow_unknown_revocation_status();
    }
    builder.build().map_err(|error| match crl_file {
        Some(file) => TlsProblem::Malformed { path: file.into(), reason: error.to_string() },
        None => unusable(error),
    })
}

fn hosts(settings: &Tls) -> Result<Vec<ServerName<'static>>, TlsProblem> {
    let parse =
        |name: &String| ServerName::try_from(name.clone()).map_err(|_| unusable(format!("{name:?} is no host name")));
    settings.allowed_hostnames.iter().map(parse).collect()
}

/// A verifier that also looks at names.
#[derive(Debug)]
struct Named {
    signed: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    cns: Vec<String>,
    hosts: Vec<ServerName<'static>>,
}

impl Named {
    fn admits(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        if common_name(certificate).is_some_and(|cn| self.cns.contains(&cn)) {
            return Ok(true);
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        Ok(self.hosts.iter().any(|host| verify_server_name(&parsed, host).is_ok()))
    }
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signed.verify_client_cert(end_entity, intermediates, now)?;
        if self.admits(end_entity)? {
            return Ok(verified);
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    verify_signatures!(provider);
}
