//! Asks members' admin endpoints.

use super::Endpoints;
use crate::config::Address;
use crate::config::settings::KeyPair;
use crate::tls::{ClientTls, TlsProblem};
use admin_api::Problem;
use futures::FutureExt;
use http::request::Builder;
use http::{Request, StatusCode};
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
/// A member that is asked for a snapshot first writes what it has in memory, and packs it piece by piece.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
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
    /// It stopped sending.
    #[error("nothing came for {} s", IDLE_TIMEOUT.as_secs())]
    Idle,
    /// What it sent could not be kept.
    #[error("{0}")]
    Kept(io::Error),
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

fn foreign(error: impl std::fmt::Display) -> CallError {
    CallError::Foreign(error.to_string())
}

fn refused(status: StatusCode, body: &[u8]) -> CallError {
    serde_json::from_slice(body)
        .map_or_else(|_| foreign(status), |problem: Problem| CallError::Refused(problem.message))
}

fn addressed(address: &Address, request: Builder, body: Bytes) -> Result<Request<Full<Bytes>>, CallError> {
    let host = address.authority().unwrap_or_else(|| "localhost".to_owned());
    request.header(http::header::HOST, host).body(Full::new(body)).map_err(foreign)
}

/// The next step of a long answer.
async fn in_time<T>(step: impl Future<Output = hyper::Result<T>>) -> Result<T, CallError> {
    tokio::time::timeout(IDLE_TIMEOUT, step).await.map_err(|_| CallError::Idle)?.map_err(foreign)
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

    /// `GET path`, whose answer may be long: `part` takes what comes.
    ///
    /// # Errors
    /// [`CallError`], also if what comes cannot be taken.
    pub(super) async fn download(
        &self,
        address: &Address,
        path: &str,
        mut part: impl FnMut(Bytes) -> io::Result<()>,
    ) -> Result<(), CallError> {
        let connecting = tokio::time::timeout(CALL_TIMEOUT, self.connect(address));
        let stream = connecting.await.map_err(|_| CallError::Timeout)?.map_err(CallError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(foreign)?;
        let request = addressed(address, Request::get(path), Bytes::new())?;
        let exchange = async move {
            let mut reply = in_time(sender.send_request(request)).await?;
            if !reply.status().is_success() {
                let status = reply.status();
                let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await;
                return Err(refused(status, &body.map_err(foreign)?.to_bytes()));
            }
            while let Some(frame) = in_time(reply.frame().map(Option::transpose)).await? {
                if let Ok(bytes) = frame.into_data() {
                    part(bytes).map_err(CallError::Kept)?;
                }
            }
            Ok(())
        };
        let (exchanged, _closed) = tokio::join!(exchange, connection);
        exchanged
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
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(foreign)?;
        let request = addressed(address, request, body)?;
        let exchange = async move {
            let reply = sender.send_request(request).await.map_err(foreign)?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await;
            Ok((status, body.map_err(foreign)?.to_bytes()))
        };
        // The connection does the work while the exchange waits; its own failure shows in the exchange.
        let (exchanged, _closed) = tokio::join!(exchange, connection);
        let (status, body) = exchanged?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(foreign)
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
