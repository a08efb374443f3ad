//! Connections to peers: dialing, the option of TLS, and frames one at a time for the first words.

use super::frame::{Frame, FrameError, FrameKind, put_frame, take_frame};
use super::hello::HELLO_BYTES_MAX;
use crate::config::Address;
use crate::tls::ClientTls;
use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a peer may take to answer a dial or the first words. A peer that is busy answers late, a dead address
/// never does; two seconds tell them apart without holding up the next attempt.
pub(crate) const FIRST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

/// The application protocol of the peer port under TLS.
pub const ALPN_PEERS: &[&[u8]] = &[b"quorate-peer/1"];

/// Either kind of connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to or from a peer, and what has been read from it already.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) read: BytesMut,
}

/// Why the first words failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network or TLS.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The bytes that came are no frames.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A frame that makes no sense here.
    #[error("unexpected {0:?} frame")]
    Unexpected(FrameKind),
    /// A frame that is not what its kind says.
    #[error("unreadable answer: {0}")]
    Json(#[from] serde_json::Error),
    /// Peers are reached over TCP.
    #[error("{0} is not a TCP address")]
    NotTcp(Address),
    /// The peer does not take the call.
    #[error("refused: {0}")]
    Refused(String),
    /// `https` without a configuration for it.
    #[error("no TLS is configured for peers, and {0} asks for it")]
    NoTls(Address),
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, read: BytesMut::new() }
    }

    /// Connects, with TLS where the address says so.
    pub(crate) async fn dial(address: &Address, tls: Option<&ClientTls>) -> Result<Self, ConnectError> {
        let Address::Tcp { tls: secure, host, port } = address else {
            return Err(ConnectError::NotTcp(address.clone()));
        };
        let dialed = timeout(FIRST_WORDS_TIMEOUT, TcpStream::connect((host.as_str(), *port)));
        let tcp = dialed.await.map_err(|_| ConnectError::TimedOut)??;
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(Self::new(Box::new(tcp)));
        }
        let tls = tls.ok_or_else(|| ConnectError::NoTls(address.clone()))?;
        Ok(Self::new(Box::new(tls.connect(host, tcp).await?)))
    }

    /// Says something and waits for the answer.
    pub(crate) async fn ask<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        (kind, question): (FrameKind, &Q),
        expected: FrameKind,
        limit: Duration,
    ) -> Result<A, ConnectError> {
        let exchange = async {
            self.say(kind, question).await?;
            let frame = self.next(HELLO_BYTES_MAX).await?.ok_or_else(cut_short)?;
            if frame.kind != expected {
                return Err(ConnectError::Unexpected(frame.kind));
            }
            Ok(serde_json::from_slice(&frame.head)?)
        };
        timeout(limit, exchange).await.map_err(|_| ConnectError::TimedOut)?
    }

    /// Says one thing.
    pub(crate) async fn say<T: Serialize>(&mut self, kind: FrameKind, what: &T) -> Result<(), ConnectError> {
        let json = serde_json::to_vec(what)?;
        let mut out = BytesMut::new();
        put_frame(&mut out, kind, 0, |out| out.put_slice(&json));
        self.stream.write_all(&out).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next frame, of at most `len_max` bytes. None when the other side has closed between two frames.
    pub(crate) async fn next(&mut self, len_max: usize) -> Result<Option<Frame>, ConnectError> {
        loop {
            if let Some(frame) = take_frame(&mut self.read, len_max)? {
                return Ok(Some(frame));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return match self.read.is_empty() {
                    true => Ok(None),
                    false => Err(cut_short().into()),
                };
            }
        }
    }
}

fn cut_short() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
