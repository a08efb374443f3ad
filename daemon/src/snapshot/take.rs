//! Taking a snapshot of a running member.
//!
//! ```text
//!   flush ─▶ image ─▶ where it stands in the log ─▶ (own thread) block ─▶ chunk ─▶ ... ─▶ manifest
//! ```
//!
//! * The image is a read transaction of the state file: writes go on, and the space of what they replace is free again
//!   when the snapshot has been taken or given up.
//! * The thread packs no faster than [`Pace`] says and waits for whoever takes the chunks, so memory is bounded.

use super::chunk::{Chunk, SealedChunk};
use super::error::SnapshotError;
use super::manifest::Manifest;
use crate::bootstrap::ClusterId;
use crate::node::Handle;
use mvcc::{Fault, Image, ImageBlocks};
use raft::{Index, SnapshotPoint};
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Pieces that wait to be taken: the next one is packed while the last one is on its way.
const PIECES_WAITING_MAX: usize = 2;

/// While a snapshot is being taken the store's file keeps what was deleted since, so a receiver that has stopped, or an
/// object store that is away, does not hold it up for longer.
const RECEIVER_PATIENCE: Duration = Duration::from_secs(600);

/// How often a full channel is looked at: short against the packing of a chunk.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// The engine forgets a configuration once a later one is committed, so a change of membership may come between the
/// image and the question where it stands. Another image has later answers.
const ATTEMPTS_MAX: usize = 5;

/// How fast a snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of the store that are read and packed in a second; none for as fast as possible.
    pub bytes_per_second: Option<u64>,
}

impl Default for Pace {
    /// About a tenth of one core, and a gigabyte in 16 seconds.
    fn default() -> Self {
        Self { bytes_per_second: Some(64 << 20) }
    }
}

/// A snapshot that is being made, one chunk after the other. Blocks its caller.
pub struct Take {
    blocks: ImageBlocks,
    manifest: Manifest,
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next chunk.
    Chunk(SealedChunk),
    /// The manifest: that was the last chunk.
    Manifest(Manifest),
}

/// A snapshot that a thread is making. Dropping it ends the thread.
#[derive(Debug)]
pub struct Taking {
    /// About how many bytes the chunks will unpack to.
    pub raw_bytes_expected: u64,
    pieces: mpsc::Receiver<Result<Piece, Fault>>,
}

/// Why no snapshot can be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The member's state storage failed.
    #[error(transparent)]
    Storage(#[from] Fault),
    /// The node has stopped.
    #[error("the member is stopping")]
    Stopped,
    /// The membership keeps changing.
    #[error("the membership changed {ATTEMPTS_MAX} times while a snapshot was begun")]
    Unsettled,
    /// The data disk is full: what a snapshot is taken of has to be flushed first, and waits for room.
    #[error("the data disk has no room to flush the state that a snapshot is taken of: ask another member")]
    NoRoom,
    /// As many are being sent as may be.
    #[error("too many snapshots are being sent: try again when one has ended")]
    Busy,
    /// There is no thread for it.
    #[error("a thread to take the snapshot: {0}")]
    Thread(#[from] io::Error),
}

impl Take {
    /// Begins with the first chunk of an image that stands where `point` says.
    #[must_use]
    pub fn new(image: &Image, cluster: ClusterId, point: SnapshotPoint, now: SystemTime) -> Self {
        let created = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let manifest = Manifest {
            cluster,
            last: point.last,
            revision: image.revision().0,
            state_hash: image.state_hash(),
            created_us: u64::try_from(created.as_micros()).unwrap_or(u64::MAX),
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            membership_at: point.membership_at,
            membership: point.membership,
            chunks: Vec::new(),
        };
        Self { blocks: image.blocks(), manifest }
    }

    /// The next chunk; none after the last.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    pub fn next_chunk(&mut self) -> Result<Option<SealedChunk>, Fault> {
        let Some(block) = self.blocks.next_block()? else { return Ok(None) };
        let sealed = SealedChunk::seal(&block);
        self.manifest.chunks.push(sealed.chunk);
        Ok(Some(sealed))
    }

    /// The manifest, once [`Take::next_chunk`] has returned none.
    #[must_use]
    pub fn finish(self) -> Manifest {
        self.manifest
    }
}

impl Taking {
    /// Takes a snapshot of a member: of what it has applied now.
    ///
    /// # Errors
    /// [`TakeError`].
    pub async fn start(node: &Handle, pace: Pace) -> Result<Self, TakeError> {
        let (image, point) = placed(node).await?;
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let raw_bytes_expected = image.bytes();
        let take = Take::new(&image, node.identity().cluster, point, SystemTime::now());
        std::thread::Builder::new().name("snapshot".into()).spawn(move || run(take, pace, &sender))?;
        Ok(Self { raw_bytes_expected, pieces })
    }

    /// The next piece; the manifest is the last. None if the member stopped before.
    pub async fn next(&mut self) -> Option<Result<Piece, SnapshotError>> {
        self.pieces.recv().await.map(|piece| piece.map_err(SnapshotError::Storage))
    }
}

/// An image, and where in the log it stands.
pub(crate) async fn placed(node: &Handle) -> Result<(Image, SnapshotPoint), TakeError> {
    if node.inspect().await.ok_or(TakeError::Stopped)?.full.data {
        return Err(TakeError::NoRoom);
    }
    for _ in 0..ATTEMPTS_MAX {
        let store = node.store().clone();
        let image = tokio::task::spawn_blocking(move || store.image()).await.map_err(|_| TakeError::Stopped)??;
        let point = node.snapshot_point(Index(image.applied())).await.ok_or(TakeError::Stopped)?;
        if let Some(point) = point {
            return Ok((image, point));
        }
    }
    Err(TakeError::Unsettled)
}

fn run(mut take: Take, pace: Pace, pieces: &mpsc::Sender<Result<Piece, Fault>>) {
    let mut pacer = Pacer::new(pace);
    loop {
        let piece = match take.next_chunk() {
            Ok(Some(sealed)) => {
                pacer.done(sealed.chunk);
                Ok(Piece::Chunk(sealed))
            }
            Ok(None) => {
                hand_over(pieces, Ok(Piece::Manifest(take.finish())));
                return;
            }
            Err(fault) => Err(fault),
        };
        let last = piece.is_err();
        if !hand_over(pieces, piece) || last {
            return;
        }
    }
}

/// False if nobody takes it: the receiver has gone, or has taken nothing for too long.
fn hand_over(pieces: &mpsc::Sender<Result<Piece, Fault>>, mut piece: Result<Piece, Fault>) -> bool {
    let deadline = Instant::now() + RECEIVER_PATIENCE;
    loop {
        piece = match pieces.try_send(piece) {
            Ok(()) => return true,
            Err(TrySendError::Full(piece)) if Instant::now() < deadline => piece,
            Err(TrySendError::Full(_)) => {
                tracing::warn!(
                    "nobody took the next part of a snapshot for {} s: given up",
                    RECEIVER_PATIENCE.as_secs()
                );
                return false;
            }
            Err(TrySendError::Closed(_)) => return false,
        };
        std::thread::sleep(FULL_PAUSE);
    }
}

/// Rests after each chunk for as long as it was packed too fast. What was lost waiting for others is not caught up.
struct Pacer {
    pace: Pace,
    free_at: Instant,
}

impl Pacer {
    fn new(pace: Pace) -> Self {
        Self { pace, free_at: Instant::now() }
    }

    fn done(&mut self, chunk: Chunk) {
        let Some(bytes_per_second) = self.pace.bytes_per_second else { return };
        let takes = Duration::from_secs_f64(f64::from(chunk.raw_bytes) / bytes_per_second.max(1) as f64);
        let now = Instant::now();
        // The chunk's own work was done in the time before now.
        self.free_at = self.free_at.max(now.checked_sub(takes).unwrap_or(now)) + takes;
        std::thread::sleep(self.free_at.saturating_duration_since(now));
    }
}
