//! The side that listens.

use super::in_use::Made;
use super::protocol::{provider, unusable, versions};
use super::verify::client_verifier;
use super::{HANDSHAKE_TIMEOUT, Shown, TlsProblem, load, self_signed};
use crate::config::settings::{KeyPair, Tls};
use crate::reload::Reloading;
use rustls::ServerConfig;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// TLS for a listener; a cheap clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<Reloading<Made<ServerConfig>, TlsProblem>>,
}

impl ServerTls {
    /// Reads the files, or makes a certificate, and offers these application protocols.
    ///
    /// # Errors
    /// A file is missing or bad, or the parts do not go together.
    pub fn new(settings: &Tls, alpn: &[&[u8]]) -> Result<Self, TlsProblem> {
        let pair = self_signed::ensure(&settings.identity)?;
        let mut files = vec![pair.cert_file.clone(), pair.key_file.clone()];
        files.extend([&settings.trusted_ca_file, &settings.crl_file].into_iter().flatten().cloned());
        let (settings, alpn) = (settings.clone(), alpn.iter().map(|name| name.to_vec()).collect::<Vec<_>>());
        let build = move || server_config(&settings, &pair, &alpn);
        Ok(Self { config: Arc::new(Reloading::new(files, build)?) })
    }

    /// What the next handshake speaks: the files as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.current().config)
    }

    /// The certificates that the next handshake uses.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        self.config.current().shown.clone()
    }

    /// Takes the caller through a handshake.
    ///
    /// # Errors
    /// The caller is refused, went away, or took longer than [`HANDSHAKE_TIMEOUT`].
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO) -> io::Result<TlsStream<IO>> {
        self.accept_within(HANDSHAKE_TIMEOUT, io).await
    }

    pub(super) async fn accept_within<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        limit: Duration,
        io: IO,
    ) -> io::Result<TlsStream<IO>> {
        let handshake = TlsAcceptor::from(self.current()).accept(io);
        tokio::time::timeout(limit, handshake).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive() // keys are never printed
    }
}

fn server_config(settings: &Tls, pair: &KeyPair, alpn: &[Vec<u8>]) -> Result<Made<ServerConfig>, TlsProblem> {
    let identity = load::identity(pair)?;
    let shown = Shown::of(&identity, settings.trusted_ca_file.as_deref().filter(|_| settings.client_auth))?;
    let provider = provider(settings);
    let verifier = client_verifier(settings, &provider)?;
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(versions(settings)).map_err(unusable)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(identity.chain, identity.key).map_err(|error| mismatch(&pair.key_file, &error))?;
    config.alpn_protocols = alpn.to_vec();
    Ok(Made { config: Arc::new(config), shown })
}

fn mismatch(key_file: &Path, error: &rustls::Error) -> TlsProblem {
    TlsProblem::Malformed { path: key_file.into(), reason: format!("does not go with its certificate: {error}") }
}
