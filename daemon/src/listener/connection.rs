//! One connection from its first byte to its last.

use super::gather::Gather;
use super::opening::{Protocol, read_opening};
use super::pace::Pace;
use super::ping::PingGuard;
use super::stream::Stream;
use super::{App, HEADER_LIST_BYTES_MAX, Peer, Port};
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What one stream may have on the way to us before we take it: more than half a request of the largest size, so
/// that even that one costs a single round trip of credit.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for all streams of a connection together. It bounds what one client can make us hold.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// What one stream may have on the way to the client that the socket has not taken yet.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Streams a client may reset before we have looked at them (the "rapid reset" attack), and streams we reset for
/// its errors; beyond either the connection ends.
const RESETS_MAX: usize = 128;

/// A connection that was accepted.
pub(super) struct Connection<A> {
    pub(super) port: Arc<Port<A>>,
    pub(super) address: SocketAddr,
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0} took too long")]
    Slow(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl<A: App> Connection<A> {
    pub(super) async fn serve(self, stream: TcpStream) -> Result<(), Ended> {
        // Answers are written whole; waiting for more would only add delay.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.port.options.tls else {
            let peer = Peer::new(self.address, None);
            return self.open(stream, peer).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let stream =
            timeout(self.port.options.opening_max, handshake).await.map_err(|_| Ended::Slow("the TLS handshake"))??;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.map(|leaf| Arc::from(leaf.as_ref()));
        let peer = Peer::new(self.address, certificate);
        self.open(stream, peer).await
    }

    async fn open<S>(self, mut stream: S, peer: Peer) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opening = timeout(self.port.options.opening_max, read_opening(&mut stream));
        match opening.await.map_err(|_| Ended::Slow("the first request"))?? {
            Some((Protocol::Http2, ahead)) => self.http2(stream, ahead, peer).await,
            Some((Protocol::Http1, ahead)) => self.http1(stream, ahead, peer).await,
            None => Ok(()),
        }
    }

    async fn http2<S>(self, stream: S, ahead: Bytes, peer: Peer) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Port { app, options, traffic, .. } = &*self.port;
        let guard = PingGuard::new(options.keepalive.ping_interval_min);
        let io = TokioIo::new(Gather::new(Stream::new(stream, ahead, traffic.clone(), Some(guard))));
        let (pace, peer) = (Arc::clone(&peer.pace), Arc::new(peer));
        let service = service_fn(|request| {
            let (app, peer) = (app.clone(), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(app.call(request, &peer).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_concurrent_streams(options.streams_max)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(RESETS_MAX)
            .keep_alive_interval(options.keepalive.interval)
            .keep_alive_timeout(options.keepalive.timeout)
            .auto_date_header(false)
            .serve_connection(io, service);
        self.until_stopped(connection, &pace, |connection| connection.graceful_shutdown()).await
    }

    async fn http1<S>(self, stream: S, ahead: Bytes, peer: Peer) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Port { app, options, traffic, .. } = &*self.port;
        let io = TokioIo::new(Stream::new(stream, ahead, traffic.clone(), None));
        let service = service_fn(|request| async { Ok::<_, Infallible>(app.call(request, &peer).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.opening_max)
            .max_buf_size(HEADER_LIST_BYTES_MAX as usize)
            .serve_connection(io, service);
        self.until_stopped(connection, &peer.pace, |connection| connection.graceful_shutdown()).await
    }

    /// Drives the connection as long as its client takes what it is sent; when a stop is announced tells the client, and
    /// drives it to its end.
    async fn until_stopped<C>(
        &self,
        connection: C,
        pace: &Pace,
        announce: impl Fn(std::pin::Pin<&mut C>),
    ) -> Result<(), Ended>
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut connection = pin!(connection);
        let mut stalled = pin!(pace.stalled(self.port.options.stall_max));
        let mut stopped = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return Ok(ended?),
                () = stalled.as_mut() => return Err(Ended::Slow("taking an answer")),
                () = self.port.stop.cancelled(), if !stopped => {
                    stopped = true;
                    announce(connection.as_mut());
                }
            }
        }
    }
}
