//! The side that calls: a member connecting to a member.

use super::in_use::Made;
use super::protocol::{provider, unusable, versions};
use super::signatures::verify_signatures;
use super::{HANDSHAKE_TIMEOUT, Shown, TlsProblem, load, self_signed};
use crate::config::settings::{KeyPair, Tls, TlsIdentity};
use crate::reload::Reloading;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, Error};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// TLS for calls to other members; a cheap clone.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<Reloading<Made<ClientConfig>, TlsProblem>>,
}

impl ClientTls {
    /// Reads the files, or makes a certificate, and asks for these application protocols.
    ///
    /// # Errors
    /// A file is missing or bad, or the parts do not go together.
    pub fn new(settings: &Tls, alpn: &[&[u8]]) -> Result<Self, TlsProblem> {
        let pair = match &settings.client_identity {
            Some(pair) => pair.clone(),
            None => self_signed::ensure(&settings.identity)?,
        };
        let mut files = vec![pair.cert_file.clone(), pair.key_file.clone()];
        files.extend(settings.trusted_ca_file.clone());
        let (settings, alpn) = (settings.clone(), alpn.iter().map(|name| name.to_vec()).collect::<Vec<_>>());
        let build = move || client_config(&settings, &pair, &alpn);
        Ok(Self { config: Arc::new(Reloading::new(files, build)?) })
    }

    /// For a tool on the command line: trusts `ca_file`, and shows a certificate if it has one.
    ///
    /// # Errors
    /// A file is missing or bad.
    pub fn trusting(ca_file: &Path, pair: Option<KeyPair>) -> Result<Self, TlsProblem> {
        let ca_file = ca_file.to_owned();
        let mut files = vec![ca_file.clone()];
        files.extend(pair.iter().flat_map(|pair| [pair.cert_file.clone(), pair.key_file.clone()]));
        let build = move || {
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(unusable)?
                .with_root_certificates(load::roots(&ca_file)?);
            let Some(identity) = pair.as_ref().map(load::identity).transpose()? else {
                return Ok(Made { config: Arc::new(builder.with_no_client_auth()), shown: None });
            };
            let shown = Shown::of(&identity, Some(&ca_file))?;
            let config = builder.with_client_auth_cert(identity.chain, identity.key).map_err(unusable)?;
            Ok(Made { config: Arc::new(config), shown })
        };
        Ok(Self { config: Arc::new(Reloading::new(files, build)?) })
    }

    /// What the next handshake speaks: the files as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config.current().config)
    }

    /// The certificates that the next handshake uses; none where none is shown.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        self.config.current().shown.clone()
    }

    /// Makes sure that the other side is `host` (a DNS name or an IP address) and is to be trusted.
    ///
    /// # Errors
    /// It is not, or it refuses us, went away, or took longer than [`HANDSHAKE_TIMEOUT`].
    pub async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(&self, host: &str, io: IO) -> io::Result<TlsStream<IO>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(self.current()).connect(name, io);
        tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive() // keys are never printed
    }
}

fn client_config(settings: &Tls, pair: &KeyPair, alpn: &[Vec<u8>]) -> Result<Made<ClientConfig>, TlsProblem> {
    let identity = load::identity(pair)?;
    let shown = Shown::of(&identity, settings.trusted_ca_file.as_deref())?;
    let provider = provider(settings);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(settings))
        .map_err(unusable)?;
    let builder = match (&settings.trusted_ca_file, &settings.identity) {
        (Some(ca_file), _) => builder.with_root_certificates(load::roots(ca_file)?),
        (None, TlsIdentity::SelfSigned { .. }) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified { provider }))
        }
        (None, TlsIdentity::Files(_)) => {
            return Err(unusable("without a trusted CA file the other members cannot be verified"));
        }
    };
    let mut config = builder.with_client_auth_cert(identity.chain, identity.key).map_err(unusable)?;
    config.alpn_protocols = alpn.to_vec();
    Ok(Made { config: Arc::new(config), shown })
}

/// Takes any certificate whose key the other side holds. Members that make their own certificates have nobody who
/// signs them: their traffic is encrypted, and whom it goes to is not known. Only `--peer-auto-tls` leads here.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!(provider);
}
