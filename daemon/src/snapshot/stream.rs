//! Sending a snapshot to whoever asks for one, as the bytes of its file.

use super::error::SnapshotError;
use super::file::SnapshotWriter;
use super::take::{Pace, Piece, TakeError, Taking};
use crate::node::Handle;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each takes a thread and a few chunks of memory, and keeps what the store has deleted since from being used again.
const STREAMS_MAX: usize = 2;

/// Clients of etcd take messages of 4 MiB and less. Small parts keep a slow reader's memory small, and let it be slow: it has
/// some seconds to take one.
const PART_BYTES_MAX: usize = 64 << 10;

/// Sends snapshots of one member, a few at a time.
pub struct Streams {
    node: Handle,
    free: Arc<Semaphore>,
}

/// A snapshot that is being sent.
pub struct Sending {
    taking: Taking,
    writer: SnapshotWriter,
    part: Bytes,
    raw_bytes_left: u64,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Streams {
    /// Sends snapshots of the member behind `node`.
    #[must_use]
    pub fn new(node: Handle) -> Self {
        Self { node, free: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }

    /// Begins to send what the member has applied now.
    ///
    /// # Errors
    /// [`TakeError`].
    pub async fn begin(&self) -> Result<Sending, TakeError> {
        let permit = self.free.clone().try_acquire_owned().map_err(|_| TakeError::Busy)?;
        let taking = Taking::start(&self.node, Pace::default()).await?;
        let raw_bytes_left = taking.raw_bytes_expected;
        let writer = SnapshotWriter::default();
        Ok(Sending { taking, writer, part: Bytes::new(), raw_bytes_left, ended: false, _permit: permit })
    }
}

impl Sending {
    /// The next bytes of the file; none after the last.
    ///
    /// # Errors
    /// [`SnapshotError`] if the store failed or the member stops: the file is not whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        if self.part.is_empty() && !self.ended {
            let piece = self.taking.next().await.ok_or(SnapshotError::GivenUp)??;
            self.part = self.writer.piece(&piece);
            match &piece {
                Piece::Chunk(sealed) => {
                    self.raw_bytes_left = self.raw_bytes_left.saturating_sub(sealed.chunk.raw_bytes.into());
                }
                Piece::Manifest(_) => self.ended = true,
            }
        }
        let part = self.part.split_to(self.part.len().min(PART_BYTES_MAX));
        Ok(Some(part).filter(|part| !part.is_empty()))
    }

    /// About how much is left to send, for a bar of progress; zero only with the last bytes.
    #[must_use]
    pub fn bytes_left(&self) -> u64 {
        let waiting = self.part.len() as u64;
        if self.ended { waiting } else { (self.raw_bytes_left + waiting).max(1) }
    }
}
