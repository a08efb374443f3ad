//! One call, one connection: calls are rare, and a connection that is kept would hide a pod that was replaced.

use crate::telemetry;
use admin_api::{
    Backups, ChangeMembers, Id, LeaderTransferred, MemberStatus, Members, PATH_BACKUPS, PATH_MEMBERS,
    PATH_RECOVER_QUORUM, PATH_REPLICATION, PATH_SAFE_TO_STOP, PATH_STATUS, PATH_TRANSFER_LEADER, Problem,
    RecoverQuorum, RecoveryTaken, Replication, SafeToStop, TransferLeader,
};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A member that takes longer to say how it is, is not well.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// A change commits within an election at worst, and a transfer within the daemon's own bound.
const TELL_TIMEOUT: Duration = Duration::from_secs(15);
/// A reply is a few kilobytes; this only stops a stranger on the port.
const REPLY_BYTES_MAX: usize = 4 << 20;

/// Why a member did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// It did not answer in time. Whether it did what it was asked is not known.
    #[error("no answer in time")]
    Timeout,
    /// What answered does not speak our words.
    #[error("not an admin endpoint: {0}")]
    Foreign(String),
    /// It refused.
    #[error("{problem} ({status})", problem = .problem.message)]
    Refused {
        /// How, as HTTP has it.
        status: StatusCode,
        /// Why.
        problem: Problem,
    },
}

impl CallError {
    /// The configuration is another one than expected: look again.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::CONFLICT)
    }
}

/// Whom the operator believes, and what it shows; `None` is plain text.
#[derive(Clone, Default)]
pub struct Trust(Option<TlsConnector>);

impl Trust {
    /// From the Secret that the cluster's members have: the operator shows what they show.
    ///
    /// # Errors
    /// It lacks something, or does not read; in words.
    pub fn from_secret(secret: &Secret) -> Result<Self, String> {
        let data = secret.data.clone().unwrap_or_default();
        let get = |key: &str| data.get(key).map(|bytes| bytes.0.clone()).ok_or(format!("the Secret has no {key}"));
        let bad = |key: &str| format!("{key} of the Secret does not read");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&get("ca.crt")?) {
            roots.add(certificate.map_err(|_| bad("ca.crt"))?).map_err(|_| bad("ca.crt"))?;
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&get("tls.crt")?).collect();
        let key = PrivateKeyDer::from_pem_slice(&get("tls.key")?).map_err(|_| bad("tls.key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.map_err(|_| bad("tls.crt"))?, key)
            .map_err(|error| error.to_string())?;
        Ok(Self(Some(TlsConnector::from(Arc::new(config)))))
    }
}

/// One member's admin endpoint.
#[derive(Clone)]
pub struct MemberClient {
    address: SocketAddr,
    host: String,
    trust: Trust,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl MemberClient {
    /// At a pod's address: a name would have to be known to the cluster's DNS first. `host` is the name its
    /// certificate must have.
    #[must_use]
    pub fn new(address: IpAddr, port: u16, host: String, trust: Trust) -> Self {
        Self { address: SocketAddr::new(address, port), host, trust }
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status(&self) -> Result<MemberStatus, CallError> {
        self.ask(PATH_STATUS).await
    }

    /// The members as it knows them.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn members(&self) -> Result<Members, CallError> {
        self.ask(PATH_MEMBERS).await
    }

    /// What it sees of its followers; only of a leader that hears its quorum.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn replication(&self) -> Result<Replication, CallError> {
        self.ask(PATH_REPLICATION).await
    }

    /// The snapshots in object storage, as the replicated state lists them.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn backups(&self) -> Result<Backups, CallError> {
        self.ask(PATH_BACKUPS).await
    }

    /// Whether a member may stop; asked of the leader.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn safe_to_stop(&self, member: Id) -> Result<SafeToStop, CallError> {
        self.ask(&format!("{PATH_SAFE_TO_STOP}?member={member}")).await
    }

    /// Changes the members.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn change(&self, change: &ChangeMembers) -> Result<Members, CallError> {
        self.tell(PATH_MEMBERS, change).await
    }

    /// Moves leadership.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn transfer(&self, to: Id) -> Result<LeaderTransferred, CallError> {
        self.tell(PATH_TRANSFER_LEADER, &TransferLeader { to: Some(to) }).await
    }

    /// Asks it to become a cluster of its own. It ends then.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn recover_quorum(&self, recover: &RecoverQuorum) -> Result<RecoveryTaken, CallError> {
        self.tell(PATH_RECOVER_QUORUM, recover).await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Bytes::new(), ASK_TIMEOUT).await
    }

    async fn tell<T: DeserializeOwned>(&self, path: &str, what: &impl Serialize) -> Result<T, CallError> {
        let body = serde_json::to_vec(what).map_err(|error| CallError::Foreign(error.to_string()))?;
        self.call(Method::POST, path, body.into(), TELL_TIMEOUT).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<T, CallError> {
        let name = format!("{method} {}", path.split_once('?').map_or(path, |(path, _query)| path));
        let exchange = self.exchange(method, path, body);
        let bounded = async { tokio::time::timeout(within, exchange).await.map_err(|_| CallError::Timeout)? };
        telemetry::member(&name, &self.host, bounded).await
    }

    async fn exchange<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, CallError> {
        let stream = self.connect().await.map_err(CallError::Connect)?;
        let foreign = |error: &dyn std::fmt::Display| CallError::Foreign(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| foreign(&error))?;
        let request = Request::builder().method(method).uri(path).header(http::header::HOST, &self.host);
        let request = request.body(Full::new(body)).map_err(|error| foreign(&error))?;
        let exchange = async move {
            let reply = sender.send_request(request).await.map_err(|error| foreign(&error))?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| foreign(&error))?.to_bytes()))
        };
        // The connection does the work while the exchange waits; its own failure shows in the exchange.
        let (exchanged, _closed) = tokio::join!(exchange, connection);
        let (status, body) = exchanged?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| foreign(&error));
        }
        let problem = serde_json::from_slice(&body).map_err(|_| foreign(&status))?;
        Err(CallError::Refused { status, problem })
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        let Some(tls) = &self.trust.0 else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}
