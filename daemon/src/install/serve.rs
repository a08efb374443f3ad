//! The giving side: whoever calls on the snapshot lane is told what there is, and gets it chunk by chunk.
//!
//! * One image is pinned at a time, for [`PIN_IDLE_MAX`] after the last question about it and [`PIN_MAX`] at most: what
//!   it pins cannot be used again by the state file meanwhile. Who comes later finds another one, in which most chunks
//!   are the same.
//! * To name its chunks an image is read once, on a thread of its own that rests as much as it works. Nobody who
//!   writes waits for it.
//! * What leaves is limited in bytes per second, and travels on connections of its own: a heartbeat or an append never
//!   stands behind a chunk.

use super::pace::Pace;
use super::progress::ProgressView;
use super::wire::{Answer, Ask};
use crate::node::Handle;
use crate::snapshot::{Chunk, Manifest, SealedChunk, SnapshotId, Take, TakeError, placed};
use crate::stage;
use crate::transport::frame::{FrameKind, put_frame};
use crate::transport::hello::HELLO_BYTES_MAX;
use crate::transport::{ConnectError, Connection};
use bytes::{BufMut, Bytes, BytesMut};
use mvcc::{Fault, Image, ImageBlocks};
use raft::{Index, MemberId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{info, warn};

/// An image nobody asks about is let go after this: longer than a member takes to restart and ask again.
const PIN_IDLE_MAX: Duration = Duration::from_secs(60);
/// No image is pinned longer: what is written meanwhile cannot use its space.
const PIN_MAX: Duration = Duration::from_secs(15 * 60);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A caller that asks nothing for so long is gone. It says how far it has come every second.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// What a member said of its install is true for so long.
const NEWS_MAX: Duration = Duration::from_secs(5);

/// What may be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Chunks, in bytes per second; 0 is no limit.
    pub(crate) bytes_per_second: u64,
}

/// See the module.
pub(crate) struct Server {
    node: Handle,
    pace: Pace,
    slot: Mutex<Slot>,
    news: Mutex<BTreeMap<MemberId, (Instant, ProgressView)>>,
    sent_bytes: AtomicU64,
}

/// What there is to give.
enum Slot {
    Empty,
    Preparing,
    Ready(Arc<Taken>),
}

/// A snapshot that can be given.
struct Taken {
    manifest: Bytes,
    id: SnapshotId,
    index: Index,
    chunks: Vec<(Chunk, ImageBlocks)>,
    since: Instant,
    used: Mutex<Instant>,
}

impl Server {
    pub(crate) fn new(node: Handle, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            node,
            pace: Pace::new(limits.bytes_per_second),
            slot: Mutex::new(Slot::Empty),
            news: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
        })
    }

    /// Bytes of chunks that have been sent.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// How far other members have come with their installs.
    pub(crate) fn news(&self) -> BTreeMap<MemberId, ProgressView> {
        let mut news = self.news.lock().expect("nothing panics while it holds the news");
        news.retain(|_, (at, _)| at.elapsed() < NEWS_MAX);
        news.iter().map(|(member, (_, view))| (*member, view.clone())).collect()
    }

    /// Answers a caller until it goes.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        from: MemberId,
        mut connection: Connection,
    ) -> Result<(), ConnectError> {
        loop {
            let next = timeout(QUESTION_MAX, connection.next(HELLO_BYTES_MAX));
            let Some(frame) = next.await.map_err(|_| ConnectError::TimedOut)?? else { return Ok(()) };
            if frame.kind != FrameKind::SnapshotAsk {
                return Err(ConnectError::Unexpected(frame.kind));
            }
            let (answer, records) = self.answer(from, serde_json::from_slice(&frame.head)?).await;
            let head = serde_json::to_vec(&answer)?;
            let mut out = BytesMut::new();
            put_frame(&mut out, FrameKind::SnapshotAnswer, records.len(), |out| out.put_slice(&head));
            connection.stream.write_all(&out).await?;
            connection.stream.write_all(&records).await?;
            connection.stream.flush().await?;
        }
    }

    async fn answer(self: &Arc<Self>, from: MemberId, ask: Ask) -> (Answer, Bytes) {
        match ask {
            Ask::Describe { index } => self.describe(Index(index)),
            Ask::Staged { index } => self.staged(Index(index)),
            Ask::Chunk { snapshot, number } => match self.chunk(&snapshot, number).await {
                Some(chunk) => (Answer::Chunk, chunk),
                None => (Answer::Gone, Bytes::new()),
            },
            Ask::Progress { view } => {
                let mut news = self.news.lock().expect("nothing panics while it holds the news");
                news.insert(from, (Instant::now(), view));
                (Answer::Noted, Bytes::new())
            }
        }
    }

    fn describe(self: &Arc<Self>, at_least: Index) -> (Answer, Bytes) {
        let mut slot = self.slot();
        match &*slot {
            Slot::Preparing => (Answer::Preparing, Bytes::new()),
            Slot::Ready(taken) if taken.index >= at_least => {
                taken.touch();
                (Answer::Manifest, taken.manifest.clone())
            }
            Slot::Ready(_) | Slot::Empty if Index(self.node.store().applied()) < at_least => {
                (Answer::Behind, Bytes::new())
            }
            // Whoever still fetches the older one finds most of its chunks in the next.
            Slot::Ready(_) | Slot::Empty => {
                *slot = Slot::Preparing;
                let server = Arc::clone(self);
                tokio::spawn(server.prepare());
                (Answer::Preparing, Bytes::new())
            }
        }
    }

    /// What the log says of object storage. Whether it is still there shows when it is fetched.
    fn staged(&self, at_least: Index) -> (Answer, Bytes) {
        let staged = self.node.store().staged();
        match stage::newest(&staged).filter(|newest| newest.index >= at_least.0) {
            Some(newest) => {
                let name = stage::name_of(self.node.identity().cluster, newest);
                (Answer::Staged, name.to_string().into())
            }
            None => (Answer::Gone, Bytes::new()),
        }
    }

    async fn prepare(self: Arc<Self>) {
        let ready = match self.take().await {
            Ok(taken) => Some(Arc::new(taken)),
            Err(error) => {
                warn!(%error, "could not take a snapshot for another member");
                None
            }
        };
        let Some(taken) = ready else {
            *self.slot() = Slot::Empty;
            return;
        };
        info!(index = %taken.index, snapshot = %taken.id, chunks = taken.chunks.len(), "pinned a snapshot for another member");
        *self.slot() = Slot::Ready(Arc::clone(&taken));
        self.let_go(taken).await;
    }

    /// Waits until the image is of no use, or has been pinned for too long.
    async fn let_go(&self, taken: Arc<Taken>) {
        while taken.idle() < PIN_IDLE_MAX && taken.since.elapsed() < PIN_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Ready(ready) if Arc::ptr_eq(ready, &taken)) {
            *slot = Slot::Empty;
            info!(index = %taken.index, "let go of the snapshot for other members");
        }
    }

    async fn chunk(&self, snapshot: &str, number: u32) -> Option<Bytes> {
        let taken = match &*self.slot() {
            Slot::Ready(taken) if taken.id.to_string() == snapshot => Arc::clone(taken),
            Slot::Ready(_) | Slot::Preparing | Slot::Empty => return None,
        };
        taken.touch();
        let (chunk, mut reader) = taken.chunks.get(usize::try_from(number).ok()?)?.clone();
        self.pace.take(u64::from(chunk.stored_bytes)).await;
        let read = move || Ok(reader.next_block()?.map(|block| SealedChunk::seal(&block)));
        let read: Result<Option<SealedChunk>, Fault> = tokio::task::spawn_blocking(read).await.ok()?;
        taken.touch();
        match read {
            Ok(sealed) => {
                let sealed = sealed.filter(|sealed| sealed.chunk == chunk)?;
                self.sent_bytes.fetch_add(u64::from(chunk.stored_bytes), Ordering::Relaxed);
                Some(sealed.bytes)
            }
            Err(fault) => {
                warn!(%fault, "could not read a chunk of a snapshot");
                None
            }
        }
    }

    /// Pins an image and names its chunks.
    async fn take(&self) -> Result<Taken, TakeError> {
        let (image, point) = placed(&self.node).await?;
        let manifest = Take::new(&image, self.node.identity().cluster, point, SystemTime::now()).finish();
        let read = tokio::task::spawn_blocking(move || name_chunks(&image, manifest)).await;
        Ok(read.map_err(|_| TakeError::Stopped)??)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().expect("nothing panics while it holds the snapshot")
    }
}

impl Taken {
    fn touch(&self) {
        *self.used.lock().expect("nothing panics while it holds the time") = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.used.lock().expect("nothing panics while it holds the time").elapsed()
    }
}

/// Reads an image once, to name its chunks. Blocks the caller for as long as that takes.
fn name_chunks(image: &Image, mut manifest: Manifest) -> Result<Taken, Fault> {
    let (mut reader, mut chunks) = (image.blocks(), Vec::new());
    loop {
        let (began, here) = (Instant::now(), reader.clone());
        let Some(block) = reader.next_block()? else { break };
        chunks.push((SealedChunk::seal(&block).chunk, here));
        std::thread::sleep(began.elapsed());
    }
    manifest.chunks = chunks.iter().map(|(chunk, _)| *chunk).collect();
    let (now, bytes) = (Instant::now(), manifest.encode());
    let (id, index) = (manifest.id(), manifest.last.index);
    Ok(Taken { manifest: bytes, id, index, chunks, since: now, used: Mutex::new(now) })
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slot = match &*self.slot() {
            Slot::Empty => "nothing".to_owned(),
            Slot::Preparing => "preparing".to_owned(),
            Slot::Ready(taken) => format!("{}", taken.index),
        };
        write!(f, "Server({slot})")
    }
}
