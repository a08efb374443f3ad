//! The loop's side of the write-ahead log: requests in order, completions into the inbox, cold reads beside it.

use super::Inbox;
use super::completion::Completion;
use crate::metrics::Stages;
use crate::wal::{self, ReadError, SubmitError, WalError, WalReader, WalRequest, WalWriter};
use raft::{Index, LogRead, LogReadFailure};
use std::collections::VecDeque;
use std::sync::Arc;
use tracing::{error, warn};

/// The log, as the loop uses it.
pub(super) struct DiskLog {
    writer: WalWriter,
    reader: WalReader,
    inbox: Arc<Inbox>,
    /// What the writer had no room for. Bounded by what the engine lets be uncommitted or not durable.
    backlog: VecDeque<WalRequest>,
}

/// The writer's thread tells the loop.
pub(super) struct Telling {
    pub(super) inbox: Arc<Inbox>,
    pub(super) stages: Arc<Stages>,
}

impl wal::Listener for Telling {
    fn completed(&mut self, completion: wal::Completion) {
        self.inbox.complete(match completion {
            wal::Completion::Persisted { io, group } => {
                self.stages.wal_queued.observe(group.queued.as_secs_f64());
                self.stages.wal_write.observe(group.write.as_secs_f64());
                self.stages.wal_sync.observe(group.sync.as_secs_f64());
                self.stages.wal_group.observe(group.persists.into());
                Completion::Persisted(io)
            }
            wal::Completion::Compacted { start } => Completion::Compacted(start),
            wal::Completion::Reset { .. } => Completion::LogReset,
            wal::Completion::Room(room) => Completion::DiskFull(room == wal::Room::Low),
        });
    }

    fn failed(&mut self, error: &WalError) {
        error!(%error, "the log failed: this member stops and acknowledges nothing more");
        self.inbox.complete(Completion::Failed(format!("the log failed: {error}")));
    }
}

impl DiskLog {
    pub(super) fn new(writer: WalWriter, reader: WalReader, inbox: Arc<Inbox>) -> Self {
        Self { writer, reader, inbox, backlog: VecDeque::new() }
    }

    /// Queues a request. Never waits.
    pub(super) fn submit(&mut self, request: WalRequest) {
        self.backlog.push_back(request);
        self.drain();
    }

    /// Tries again what had no room.
    pub(super) fn drain(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            match self.writer.submit(request) {
                Ok(()) => {}
                Err(SubmitError::Full(request)) => {
                    self.backlog.push_front(request);
                    return;
                }
                // The writer says why itself; what is dropped here is never acknowledged.
                Err(SubmitError::Closed(_)) => self.backlog.clear(),
            }
        }
    }

    /// Reads entries back, on a thread that may wait for the disk. A stream asks once at a time, so these are few.
    pub(super) fn read(&self, ask: LogRead) {
        let (reader, inbox) = (self.reader.clone(), self.inbox.clone());
        tokio::task::spawn_blocking(move || {
            let LogRead { peer, stream, from, through, bytes_max } = ask;
            let result = reader.read(from, through, bytes_max).map_err(|error| match error {
                ReadError::Compacted(_) => LogReadFailure::Compacted,
                ReadError::Absent(_) | ReadError::Unreadable { .. } => {
                    warn!(%error, %peer, "could not read the log back, will try again");
                    LogReadFailure::Unreadable
                }
            });
            inbox.complete(Completion::LogRead { peer, stream, result });
        });
    }

    /// The first of the newest entries that take about so many bytes on the disk; see [`WalReader::tail`].
    pub(super) fn tail(&self, bytes_max: u64) -> Index {
        self.reader.tail(bytes_max)
    }

    /// Bytes of the entries on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.bytes()
    }

    /// Whether everything submitted is with the writer.
    pub(super) fn is_drained(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Bytes that wait for the disk.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.writer.queued_bytes()
    }

    /// Writes what is queued and closes the log in good order. Blocks.
    pub(super) fn close(self) {
        self.writer.close();
    }
}
