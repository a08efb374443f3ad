//! The incoming side: whoever connects to the peer port.
//!
//! * Nobody is believed before the hello, and nothing larger than a hello is read before it.
//! * Bytes that are no frames end their connection and are counted; nothing else notices.
//! * A connection on which nothing comes for as long as several pings is dead.

use super::PeerEvent;
use super::call::{take_call, take_reply};
use super::connect::{ConnectError, Connection, FIRST_WORDS_TIMEOUT};
use super::forward::{CommandError, check_commands, take_forward, take_not_taken};
use super::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameKind, put_frame};
use super::gate::Gate;
use super::hello::{BindReply, HELLO_BYTES_MAX, Hello, HelloReply, Lane};
use super::link::SILENCE_MAX;
use super::stats::{Directory, ListenerStats, PeerStats};
use super::wire::{WireError, take_message};
use crate::bootstrap::NodeInfo;
use crate::config::Address;
use crate::install::Server;
use crate::listener;
use crate::node::Inbox;
use crate::tls::ServerTls;
use bytes::BytesMut;
use raft::MemberId;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Two lanes from each member of a large cluster, the lanes that replace them after a break, and some who only ask.
const CONNECTIONS_MAX: usize = 256;
/// What is read at once. Entries are views of what was read, so this is also the grain in which they hold memory.
const READ_BYTES: usize = 64 << 10;
/// A pause after an accept that failed, which is mostly a process out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a binding may take: it is a change of membership.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// The peer port, bound.
#[derive(Debug)]
pub(crate) struct PeerSockets {
    sockets: Vec<(TcpListener, bool)>,
}

impl PeerSockets {
    /// Binds every address.
    ///
    /// # Errors
    /// One of them cannot be bound, or is none to listen on.
    pub(crate) fn bind(addresses: &[Address]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for address in addresses {
            let at = address.bind_address().ok_or_else(|| {
                io::Error::other(format!("{address}: peers are listened for at an IP address and a port"))
            })?;
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
            sockets.push((listener::listen(at).map_err(named)?, address.tls()));
        }
        Ok(Self { sockets })
    }
}

/// What every incoming connection goes by.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) gate: Arc<Gate>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) stats: Arc<ListenerStats>,
    /// Who answers about snapshots, once there is a store to take them of.
    pub(crate) snapshots: Arc<OnceLock<Arc<Server>>>,
}

/// Why an incoming connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("forwarded: {0}")]
    Command(#[from] CommandError),
    #[error("nothing was heard in time")]
    Silent,
    #[error("a message in the name of another member")]
    Impostor,
    #[error("the listener needs TLS and has none configured")]
    NoTls,
    #[error("closed")]
    Closed,
}

impl Listener {
    /// Serves the port until the future is dropped, and every connection with it.
    pub(crate) async fn run(self: Arc<Self>, sockets: PeerSockets) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut accepting = JoinSet::new();
        for (socket, secure) in sockets.sockets {
            accepting.spawn(self.clone().accept(socket, secure, places.clone()));
        }
        while accepting.join_next().await.is_some() {}
    }

    async fn accept(self: Arc<Self>, socket: TcpListener, secure: bool, places: Arc<Semaphore>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "could not accept a peer's connection, will go on");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.stats.refused.add(1);
                continue;
            };
            let listener = self.clone();
            connections.spawn(async move {
                let ended = listener.serve(stream, secure).await.err().unwrap_or(Ended::Closed);
                listener.note(from, &ended);
                drop(place);
            });
        }
    }

    fn note(&self, from: SocketAddr, ended: &Ended) {
        match ended {
            Ended::Connect(ConnectError::Frame(_) | ConnectError::Unexpected(_) | ConnectError::Json(_))
            | Ended::Wire(_)
            | Ended::Impostor => {
                self.stats.garbage.add(1);
                warn!(%from, why = %ended, "a connection on the peer port made no sense and was closed");
            }
            ended => debug!(%from, why = %ended, "a peer's connection ended"),
        }
    }

    async fn serve(&self, stream: TcpStream, secure: bool) -> Result<(), Ended> {
        stream.set_nodelay(true).map_err(ConnectError::from)?;
        let mut connection = if secure {
            let tls = self.tls.as_ref().ok_or(Ended::NoTls)?;
            Connection::new(Box::new(tls.accept(stream).await.map_err(ConnectError::from)?))
        } else {
            Connection::new(Box::new(stream))
        };
        match self.first_words(&mut connection).await? {
            Some(hello) => self.lane(connection, &hello).await,
            None => Ok(()),
        }
    }

    /// Answers whoever only asks; returns the hello of whoever may stay.
    async fn first_words(&self, connection: &mut Connection) -> Result<Option<Hello>, Ended> {
        let first = timeout(FIRST_WORDS_TIMEOUT, connection.next(HELLO_BYTES_MAX));
        let Some(frame) = first.await.map_err(|_| Ended::Silent)?? else { return Ok(None) };
        match frame.kind {
            FrameKind::Hello => {
                let hello: Hello = serde_json::from_slice(&frame.head).map_err(ConnectError::from)?;
                let reply = self.gate.judge(&hello);
                connection.say(FrameKind::HelloReply, &reply).await?;
                if let HelloReply::Refused { refusal } = reply {
                    self.stats.refused.add(1);
                    debug!(from = %hello.from, why = %refusal, "refused a peer");
                    return Ok(None);
                }
                Ok(Some(hello))
            }
            FrameKind::Introduce => {
                connection.say(FrameKind::Introduction, &self.gate.introduction()).await?;
                Ok(None)
            }
            FrameKind::Bind => {
                let info = serde_json::from_slice(&frame.head).map_err(ConnectError::from)?;
                let reply = self.bind(info).await;
                connection.say(FrameKind::BindReply, &reply).await?;
                Ok(None)
            }
            other => Err(ConnectError::Unexpected(other).into()),
        }
    }

    async fn bind(&self, info: NodeInfo) -> BindReply {
        if !info.fits() {
            return BindReply::Never { why: "its description is longer than one may be".into() };
        }
        let (reply, answer) = oneshot::channel();
        self.inbox.peer_now(PeerEvent::Bind { info, reply });
        match timeout(BIND_TIMEOUT, answer).await {
            Ok(Ok(reply)) => reply,
            _ => BindReply::Later { why: "the cluster did not answer in time".into() },
        }
    }

    async fn lane(&self, connection: Connection, hello: &Hello) -> Result<(), Ended> {
        let from = MemberId(hello.from.0);
        if hello.lane == Lane::Snapshot {
            return self.snapshots(from, connection).await;
        }
        let (stats, incoming) = self.directory.incoming(from);
        self.inbox.peer_now(PeerEvent::Called { peer: from, info: hello.info.clone() });
        let reader = Reader { from, inbox: &self.inbox, stats: &stats };
        tokio::select! {
            ended = reader.run(connection) => ended,
            () = incoming.cancelled() => Err(Ended::Closed),
        }
    }
}

impl Listener {
    async fn snapshots(&self, from: MemberId, connection: Connection) -> Result<(), Ended> {
        let (_, incoming) = self.directory.incoming(from);
        let server = self.snapshots.get().ok_or(Ended::Closed)?;
        tokio::select! {
            served = server.serve(from, connection) => Ok(served?),
            () = incoming.cancelled() => Err(Ended::Closed),
        }
    }
}

struct Reader<'a> {
    from: MemberId,
    inbox: &'a Inbox,
    stats: &'a PeerStats,
}

impl Reader<'_> {
    async fn run(&self, mut connection: Connection) -> Result<(), Ended> {
        let mut pong = BytesMut::with_capacity(FRAME_HEADER_BYTES);
        put_frame(&mut pong, FrameKind::Pong, 0, |_| ());
        loop {
            while let Some(frame) =
                super::frame::take_frame(&mut connection.read, FRAME_BYTES_MAX).map_err(ConnectError::from)?
            {
                if frame.kind == FrameKind::Ping {
                    connection.stream.write_all(&pong).await.map_err(ConnectError::from)?;
                    connection.stream.flush().await.map_err(ConnectError::from)?;
                    continue;
                }
                let bytes = frame.head.len() + frame.records.len();
                let event = event_of(self.from, frame)?;
                if !self.inbox.peer(event, bytes).await {
                    return Ok(());
                }
            }
            if connection.read.capacity() - connection.read.len() < READ_BYTES / 4 {
                connection.read.reserve(READ_BYTES);
            }
            let read = timeout(SILENCE_MAX, connection.stream.read_buf(&mut connection.read));
            match read.await.map_err(|_| Ended::Silent)?.map_err(ConnectError::from)? {
                0 => return Ok(()),
                read => self.stats.received_bytes.add(read as u64),
            }
        }
    }
}

/// What a frame from this peer is to the loop, on a lane that it has opened.
pub(super) fn event_of(peer: MemberId, frame: Frame) -> Result<PeerEvent, Ended> {
    Ok(match frame.kind {
        FrameKind::Message => {
            let envelope = take_message(frame)?;
            if envelope.from != peer {
                return Err(Ended::Impostor);
            }
            PeerEvent::Message(envelope)
        }
        FrameKind::Forward => {
            let (term, commands) = take_forward(frame)?;
            check_commands(&commands)?;
            PeerEvent::Forwarded { peer, term, commands }
        }
        FrameKind::ForwardRefused => PeerEvent::NotTaken { peer, not_taken: take_not_taken(frame.head)? },
        FrameKind::Call => {
            let (id, call) = take_call(frame.head)?;
            PeerEvent::Call { peer, id, call }
        }
        FrameKind::CallReply => {
            let (id, reply) = take_reply(frame.head)?;
            PeerEvent::CallReply { id, reply }
        }
        kind @ (FrameKind::Hello
        | FrameKind::HelloReply
        | FrameKind::Introduce
        | FrameKind::Introduction
        | FrameKind::Bind
        | FrameKind::BindReply
        | FrameKind::Ping
        | FrameKind::Pong
        | FrameKind::SnapshotAsk
        | FrameKind::SnapshotAnswer) => return Err(ConnectError::Unexpected(kind).into()),
    })
}
