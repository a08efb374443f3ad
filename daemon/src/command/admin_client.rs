//! Asks members' admin endpoints.

use super::Endpoints;
use crate::config::Address;
use crate::config::settings::KeyPair;
use crate::tls::{ClientTls, TlsProblem};
use admin_api::Problem;
use http::Request;
use http::request::Builder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A member that takes longer to say how it is, is not well.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// A status of a cluster is a few kilobytes; this only stops a stranger on the port.
const REPLY_BYTES_MAX: usize = 4 << 20;

/// Why a member did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// It cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout,
    /// What answered does not speak our words.
    #[error("not an admin endpoint: {0}")]
    Foreign(String),
    /// It answered, and not with what was asked for.
    #[error("{0}")]
    Refused(String),
}

/// Asks, with the trust of the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct AdminClient {
    tls: Option<ClientTls>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl AdminClient {
    /// # Errors
    /// A file for TLS is missing or bad.
    pub(super) fn new(endpoints: &Endpoints) -> Result<Self, TlsProblem> {
        let pair = endpoints.cert.clone().zip(endpoints.key.clone());
        let pair = pair.map(|(cert_file, key_file)| KeyPair { cert_file, key_file });
        let tls = endpoints.cacert.as_deref().map(|ca| ClientTls::trusting(ca, pair)).transpose()?;
        Ok(Self { tls })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn get<T: DeserializeOwned>(&self, address: &Address, path: &str) -> Result<T, CallError> {
        self.timed(address, Request::get(path), Bytes::new()).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        address: &Address,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Foreign(error.to_string()))?;
        self.timed(address, Request::post(path), body.into()).await
    }

    async fn timed<T: DeserializeOwned>(
        &self,
        address: &Address,
        request: Builder,
        body: Bytes,
    ) -> Result<T, CallError> {
        let call = self.call(address, request, body);
        tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(|_| CallError::Timeout)?
    }

    async fn call<T: DeserializeOwned>(
        &self,
        address: &Address,
        request: Builder,
        body: Bytes,
    ) -> Result<T, CallError> {
        let stream = self.connect(address).await.map_err(CallError::Connect)?;
        let foreign = |error: &dyn std::fmt::Display| CallError::Foreign(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| foreign(&error))?;
        let host = address.authority().unwrap_or_else(|| "localhost".to_owned());
        let request = request.header(http::header::HOST, host).body(Full::new(body));
        let request = request.map_err(|error| foreign(&error))?;
        let exchange = async move {
            let reply = sender.send_request(request).await.map_err(|error| foreign(&error))?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| foreign(&error))?.to_bytes()))
        };
        // The connection does the work while the exchange waits; its own failure shows in the exchange.
        let (exchanged, _closed) = tokio::join!(exchange, connection);
        let (status, body) = exchanged?;
        if !status.is_success() {
            let problem: Problem = serde_json::from_slice(&body).map_err(|_| foreign(&status))?;
            return Err(CallError::Refused(problem.message));
        }
        serde_json::from_slice(&body).map_err(|error| foreign(&error))
    }

    async fn connect(&self, address: &Address) -> io::Result<Box<dyn Stream>> {
        let stream: Box<dyn Stream> = match address {
            Address::Unix { path, .. } => Box::new(UnixStream::connect(path).await?),
            Address::Tcp { host, port, .. } => Box::new(TcpStream::connect((host.as_str(), *port)).await?),
        };
        match (&self.tls, address.tls()) {
            (_, false) => Ok(stream),
            (Some(tls), true) => Ok(Box::new(tls.connect(address.host().unwrap_or("localhost"), stream).await?)),
            (None, true) => Err(io::Error::other("needs --cacert to verify the member")),
        }
    }
}
