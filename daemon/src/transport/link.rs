//! The outgoing side of one peer: two lanes that stand and fall together.
//!
//! * A link is up while both lanes are. Whatever ends one ends both, and the engine starts its stream over: what was
//!   under way is unknown then.
//! * An idle lane is pinged, so that a connection whose other end is gone is noticed within [`SILENCE_MAX`].
//! * Attempts back off with full jitter; a call from the peer itself ends the wait, because it is evidently there.

use super::connect::{ConnectError, Connection, FIRST_WORDS_TIMEOUT};
use super::frame::{FRAME_HEADER_BYTES, FrameKind, put_frame};
use super::hello::{Hello, HelloReply, Lane, Refusal};
use super::outbox::{Outbox, Pieces};
use super::stats::PeerStats;
use super::{Local, PeerEvent, random_u32};
use crate::config::Address;
use crate::node::Inbox;
use admin_api::Id;
use bytes::BytesMut;
use prometheus::Histogram;
use raft::{LinkId, MemberId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Heartbeats, votes, acknowledgements: far less than this waits unless the connection hangs, and then the oldest
/// of it is worthless.
const CONTROL_BYTES_MAX: usize = 1 << 20;
/// Twice the largest window a stream has, and room for forwarded commands beside it.
const APPEND_BYTES_MAX: usize = 64 << 20;
/// How often an idle lane is tried.
const PING_EVERY: Duration = Duration::from_secs(2);
/// A lane on which nothing has come back for this long is dead: four pings.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(8);
/// The first wait after a failure; doubled by each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Why a link ends that a peer reads too slowly for what is to be sent.
const OVERFLOWN: &str = "more was to be sent than the queue holds";
/// The longest wait: a peer that returns is found within this, and usually calls first.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What the loop and the task of one peer share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) peer: MemberId,
    pub(super) control: Outbox,
    pub(super) append: Outbox,
    pub(super) stats: Arc<PeerStats>,
    pub(super) retry: Notify,
    round_trip: Histogram,
    /// When the last ping left, in microseconds since `born`; pongs come back in the order of pings.
    pinged_us: AtomicU64,
    born: Instant,
}

impl Link {
    pub(super) fn new(peer: MemberId, stats: Arc<PeerStats>, round_trip: Histogram) -> Self {
        let (control, append) = (Outbox::new(CONTROL_BYTES_MAX), Outbox::new(APPEND_BYTES_MAX));
        Self {
            peer,
            control,
            append,
            stats,
            retry: Notify::new(),
            round_trip,
            pinged_us: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    fn age_us(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn outbox(&self, lane: Lane) -> &Outbox {
        match lane {
            Lane::Control => &self.control,
            // Snapshots are fetched by those who need them, on connections without an outbox.
            Lane::Append | Lane::Snapshot => &self.append,
        }
    }
}

/// How an attempt at a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Refused(Refusal),
    #[error("its disk was replaced: remove the member and add it again")]
    PeerDiskReplaced,
    #[error("no address")]
    NoAddress,
    #[error("{0}")]
    Lost(&'static str),
}

/// Keeps the link up for as long as the peer is one. Ends when the task is aborted.
pub(super) async fn run(
    link: Arc<Link>,
    local: Arc<Local>,
    addresses: watch::Receiver<Vec<Address>>,
    inbox: Arc<Inbox>,
) {
    let mut failures: u32 = 0;
    loop {
        match attempt_link(&link, &local, &addresses, failures).await {
            Ok((control, append)) => {
                failures = 0;
                serve(&link, &local, &inbox, control, append).await;
            }
            Err(error) => {
                report(&link, &inbox, &error, failures);
                failures = failures.saturating_add(1);
            }
        }
        tokio::select! {
            () = sleep(backoff(failures)) => {}
            () = link.retry.notified() => {}
        }
    }
}

async fn attempt_link(
    link: &Link,
    local: &Local,
    addresses: &watch::Receiver<Vec<Address>>,
    failures: u32,
) -> Result<(Connection, Connection), LinkError> {
    let address = {
        let known = addresses.borrow();
        known.get(failures as usize % known.len().max(1)).cloned().ok_or(LinkError::NoAddress)?
    };
    let control = open_lane(link.peer, local, &address, Lane::Control).await?;
    let append = open_lane(link.peer, local, &address, Lane::Append).await?;
    Ok((control, append))
}

pub(super) async fn open_lane(
    peer: MemberId,
    local: &Local,
    address: &Address,
    lane: Lane,
) -> Result<Connection, LinkError> {
    let mut connection = Connection::dial(address, local.tls.as_ref()).await?;
    let hello = local.hello(peer, lane);
    let said = (FrameKind::Hello, &hello);
    match connection.ask::<Hello, HelloReply>(said, FrameKind::HelloReply, FIRST_WORDS_TIMEOUT).await? {
        HelloReply::Welcome { storage, .. } if local.takes(peer, storage) => Ok(connection),
        HelloReply::Welcome { .. } => Err(LinkError::PeerDiskReplaced),
        HelloReply::Refused { refusal } => Err(LinkError::Refused(refusal)),
    }
}

/// Anything between nothing and the doubled wait, so that members that lost each other together do not call together.
fn backoff(failures: u32) -> Duration {
    let most = BACKOFF_MIN.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
    most.mul_f64(f64::from(random_u32()) / f64::from(u32::MAX))
}

/// The first failure of a row is worth a line; the rest are what a peer that is away looks like.
fn report(link: &Link, inbox: &Inbox, error: &LinkError, failures: u32) {
    match error {
        LinkError::Refused(refusal) => {
            // Members that start together find each other before either serves: nothing is wrong then.
            if *refusal == Refusal::NotReady {
                debug!(peer = %Id(link.peer.0), %refusal, "the peer is not ready");
            } else if failures == 0 {
                warn!(peer = %Id(link.peer.0), %refusal, "the peer refuses this member");
            }
            inbox.peer_now(PeerEvent::Refused { peer: link.peer, refusal: *refusal });
        }
        error if failures == 0 => info!(peer = %Id(link.peer.0), %error, "cannot reach the peer, will keep trying"),
        error => debug!(peer = %Id(link.peer.0), %error, failures, "cannot reach the peer"),
    }
}

async fn serve(link: &Link, local: &Local, inbox: &Inbox, control: Connection, append: Connection) {
    let id = local.next_link();
    link.control.open();
    link.append.open();
    link.stats.set_up(true);
    let _down = Down { link, inbox, id };
    inbox.peer_now(PeerEvent::LinkUp { peer: link.peer, link: id });
    info!(peer = %Id(link.peer.0), %id, "connected");
    let why = tokio::select! {
        why = run_lane(link, Lane::Control, control) => why,
        why = run_lane(link, Lane::Append, append) => why,
    };
    link.stats.disconnects.add(1);
    info!(peer = %Id(link.peer.0), %id, %why, "disconnected");
}

/// Says that the link is down, also when the task is aborted.
struct Down<'a> {
    link: &'a Link,
    inbox: &'a Inbox,
    id: LinkId,
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.link.stats.set_up(false);
        self.link.control.close();
        self.link.append.close();
        self.inbox.peer_now(PeerEvent::LinkDown { peer: self.link.peer, link: self.id });
    }
}

async fn run_lane(link: &Link, lane: Lane, connection: Connection) -> LinkError {
    let (read, write) = split(connection.stream);
    let outcome = tokio::select! {
        outcome = write_lane(link, lane, write) => outcome,
        outcome = read_pongs(link, lane, read) => outcome,
    };
    outcome.err().unwrap_or(LinkError::Lost("the peer closed the connection"))
}

async fn write_lane<W: AsyncWrite>(link: &Link, lane: Lane, mut write: WriteHalf<W>) -> Result<(), LinkError> {
    let outbox = link.outbox(lane);
    let mut ping = BytesMut::with_capacity(FRAME_HEADER_BYTES);
    put_frame(&mut ping, FrameKind::Ping, 0, |_| ());
    let mut pinging = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            biased;
            pieces = outbox.take() => {
                let pieces = pieces.ok_or(LinkError::Lost(OVERFLOWN))?;
                let bytes = pieces.bytes() as u64;
                tokio::select! {
                    biased;
                    // Polled first, it finds out at little cost and never takes a wake-up that `take` needs: that looks
                    // before it waits.
                    () = outbox.overflown() => return Err(LinkError::Lost(OVERFLOWN)),
                    written = write_pieces(&mut write, pieces) => written.map_err(ConnectError::from)?,
                }
                link.stats.sent_bytes.add(bytes);
            }
            _ = pinging.tick() => {
                if lane == Lane::Control {
                    link.pinged_us.store(link.age_us(), Ordering::Relaxed);
                }
                write.write_all(&ping).await.map_err(ConnectError::from)?;
                write.flush().await.map_err(ConnectError::from)?;
            }
        }
    }
}

async fn write_pieces<W: AsyncWrite>(write: &mut WriteHalf<W>, mut pieces: Pieces) -> std::io::Result<()> {
    while !pieces.is_empty() {
        let written = {
            let slices = pieces.slices();
            match slices.as_slice() {
                [one] => write.write(one).await?,
                many => write.write_vectored(many).await?,
            }
        };
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        pieces.advance(written);
    }
    write.flush().await
}

/// What comes back on an outgoing lane is pongs; their absence is the news.
async fn read_pongs<R: AsyncRead>(link: &Link, lane: Lane, mut read: ReadHalf<R>) -> Result<(), LinkError> {
    let mut bytes = [0; 4 * FRAME_HEADER_BYTES];
    loop {
        match timeout(SILENCE_MAX, read.read(&mut bytes)).await {
            Err(_) => return Err(LinkError::Lost("the peer is silent")),
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) if lane == Lane::Control => {
                let micros = link.age_us().saturating_sub(link.pinged_us.load(Ordering::Relaxed));
                link.round_trip.observe(Duration::from_micros(micros).as_secs_f64());
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(ConnectError::from(error).into()),
        }
    }
}
