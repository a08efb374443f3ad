//! One port for everything a client speaks: gRPC over HTTP/2, plain HTTP/2 and HTTP/1.1, with or without TLS.
//!
//! ```text
//!   accept ─▶ room? ─▶ TLS handshake ─▶ first bytes ─┬─▶ HTTP/2 ─▶ App
//!                        (10 s)           (10 s)     └─▶ HTTP/1 ─▶ App
//! ```
//!
//! * Which protocol a connection speaks is read from its first bytes, so a client without ALPN is served as well.
//! * Whoever connects and stays silent, or drips bytes, or does not read what it asked for, is gone after a named time.
//! * A stop is announced to every connection; what is under way may finish within [`Options::drain_max`].

mod connection;
mod gather;
mod opening;
pub mod pace;
mod ping;
mod stream;

use crate::tls::ServerTls;
use connection::Connection;
use hyper::body::Incoming;
use hyper::{Request, Response};
use pace::Pace;
use prometheus::{IntCounter, Registry};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// What answers the requests of every connection.
pub trait App: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: hyper::body::Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Answers one request. Every failure is an answer too.
    fn call(&self, request: Request<Incoming>, peer: &Peer) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// The certificate it showed, DER; none without TLS or when none was asked for.
    pub certificate: Option<Arc<[u8]>>,
    /// What it has of what all connections share.
    pub held: Held,
    /// What it has been answered and has not taken.
    pub pace: Arc<Pace>,
}

/// What a connection has of what all connections share, counted by whoever shares it out.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Calls under way.
    pub calls: Arc<AtomicUsize>,
    /// Memory for its requests, in pages.
    pub request_pages: Arc<AtomicUsize>,
}

impl Peer {
    fn new(address: SocketAddr, certificate: Option<Arc<[u8]>>) -> Self {
        Self { address, certificate, held: Held::default(), pace: Arc::default() }
    }
}

/// How long a connection may take for its TLS handshake, again for the first bytes of its protocol, and on HTTP/1 for
/// the head of each request. Generous for a slow link; whoever holds connections open without speaking has no more.
pub const OPENING_MAX: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer, at the most; half of it at the least. A reader as slow as a bad radio
/// link takes something every few seconds.
pub const STALL_MAX: Duration = Duration::from_secs(30);

/// The most header bytes of one request, as HTTP/2 counts them: names, values and 32 for each.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;

/// The most open connections. Each costs a few tens of kilobytes when idle.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long accepting rests after it failed, for instance because the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pings that keep a connection or find out that it is dead.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// Silence after which the server pings; none never.
    pub interval: Option<Duration>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// A client that pings more often than this, again and again, is sent away.
    pub ping_interval_min: Duration,
}

impl Default for Keepalive {
    /// etcd's own: ping after two quiet hours, wait 20 s, take a ping every 5 s.
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(2 * 60 * 60)),
            timeout: Duration::from_secs(20),
            ping_interval_min: Duration::from_secs(5),
        }
    }
}

/// The bounds of a port.
#[derive(Clone, Debug)]
pub struct Options {
    /// TLS, asked for its certificates before each handshake; or plain text.
    pub tls: Option<ServerTls>,
    /// Pings.
    pub keepalive: Keepalive,
    /// Open connections.
    pub connections_max: usize,
    /// Streams open at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// Each step of opening a connection.
    pub opening_max: Duration,
    /// A client that takes nothing of an answer for so long is gone, after half of it at the earliest.
    pub stall_max: Duration,
    /// What may finish after a stop was announced has this long.
    pub drain_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            keepalive: Keepalive::default(),
            connections_max: CONNECTIONS_MAX,
            streams_max: STREAMS_MAX,
            opening_max: OPENING_MAX,
            stall_max: STALL_MAX,
            drain_max: DRAIN_MAX,
        }
    }
}

/// Streams open at once on one connection. The busiest known client, an API server, keeps some hundreds of watches
/// on one.
pub const STREAMS_MAX: u32 = 4_096;

/// Long enough for a request that waits out an election.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Counts the bytes that clients send and receive.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// From clients.
    pub received: IntCounter,
    /// To clients.
    pub sent: IntCounter,
}

impl Traffic {
    /// Counts in `registry`, under the names of etcd's gRPC traffic.
    ///
    /// # Errors
    /// When the registry has counters of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let received = "etcd_network_client_grpc_received_bytes_total";
        let sent = "etcd_network_client_grpc_sent_bytes_total";
        let traffic = Self {
            received: IntCounter::new(received, "The total number of bytes received from clients")?,
            sent: IntCounter::new(sent, "The total number of bytes sent to clients")?,
        };
        registry.register(Box::new(traffic.received.clone()))?;
        registry.register(Box::new(traffic.sent.clone()))?;
        Ok(traffic)
    }
}

/// Connections that wait to be accepted: as many as Linux lets wait unless told otherwise, and Go asks for. When a member
/// comes back its clients come at once, and who finds no place tries again after a second at the earliest.
const BACKLOG: u32 = 4096;

/// Listens at an address.
///
/// # Errors
/// The address is taken, or is none of this machine's.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose last connections are not forgotten yet can be listened at again.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Serves `app` on `socket` until `stop` is cancelled, then lets what is under way finish. Returns when every
/// connection is closed.
pub async fn serve<A: App>(socket: TcpListener, app: A, options: Options, traffic: Traffic, stop: CancellationToken) {
    let port = Arc::new(Port { app, options, traffic, stop: stop.clone(), abort: CancellationToken::new() });
    let room = Arc::new(Semaphore::new(port.options.connections_max));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(socket.accept()).await {
        match accepted {
            Ok((stream, address)) => admit(&port, &room, &connections, stream, address),
            Err(error) => rest(&error).await,
        }
    }
    drop(socket);
    connections.close();
    if tokio::time::timeout(port.options.drain_max, connections.wait()).await.is_err() {
        port.abort.cancel();
        connections.wait().await;
    }
}

/// What the connections of one port share.
struct Port<A> {
    app: A,
    options: Options,
    traffic: Traffic,
    stop: CancellationToken,
    /// The drain time is over.
    abort: CancellationToken,
}

fn admit<A: App>(
    port: &Arc<Port<A>>,
    room: &Arc<Semaphore>,
    connections: &TaskTracker,
    stream: TcpStream,
    address: SocketAddr,
) {
    // Dropping the stream closes it: cheaper for both sides than a connection that is never served.
    let Ok(place) = Arc::clone(room).try_acquire_owned() else {
        debug!(%address, "refused a connection: too many are open");
        return;
    };
    connections.spawn(run(Arc::clone(port), stream, address, place));
}

async fn run<A: App>(port: Arc<Port<A>>, stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
    let abort = port.abort.clone();
    let connection = Connection { port, address };
    if let Some(Err(error)) = abort.run_until_cancelled(Box::pin(connection.serve(stream))).await {
        debug!(%address, %error, "a connection ended");
    }
    drop(place);
}

/// A failed accept is mostly the process running out of descriptors: pausing lets some come back.
async fn rest(error: &io::Error) {
    warn!(%error, "could not accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
