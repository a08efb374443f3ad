//! The loop's side of the write-ahead log: requests in order, completions into the inbox, cold reads beside it.

use super::Inbox;
use super::completion::Completion;
use super::doors::LogDoor;
use super::full::Tree;
use crate::metrics::Stages;
use crate::wal::{self, ReadError, SubmitError, WalError, WalReader, WalRequest, WalWriter};
use raft::{Entry, Index, LogRead, LogReadFailure};
use std::collections::VecDeque;
use std::sync::Arc;
use tracing::{error, warn};

/// The log, as the loop uses it.
pub(super) struct DiskLog {
    door: Box<dyn LogDoor>,
    /// What the writer had no room for. Bounded by what the engine lets be uncommitted or not durable.
    backlog: VecDeque<WalRequest>,
}

/// The log's own threads.
pub(super) struct LogThreads {
    pub(super) writer: WalWriter,
    pub(super) reader: WalReader,
    pub(super) inbox: Arc<Inbox>,
}

/// The writer's thread tells the loop.
pub(super) struct Telling {
    pub(super) inbox: Arc<Inbox>,
    pub(super) stages: Arc<Stages>,
}

impl wal::Listener for Telling {
    fn completed(&mut self, completion: wal::Completion) {
        if let wal::Completion::Persisted { group, .. } = &completion {
            self.stages.wal_queued.observe(group.queued.as_secs_f64());
            self.stages.wal_write.observe(group.write.as_secs_f64());
            self.stages.wal_sync.observe(group.sync.as_secs_f64());
            self.stages.wal_group.observe(group.persists.into());
        }
        self.inbox.complete(completion_of(&completion));
    }

    fn failed(&mut self, error: &WalError) {
        error!(%error, "the log failed: this member stops and acknowledges nothing more");
        self.inbox.complete(Completion::Failed(format!("the log failed: {error}")));
    }
}

/// What the log's word is to the loop.
pub(super) fn completion_of(completion: &wal::Completion) -> Completion {
    match completion {
        wal::Completion::Persisted { io, .. } => Completion::Persisted(*io),
        wal::Completion::Compacted { start } => Completion::Compacted(*start),
        wal::Completion::Reset { .. } => Completion::LogReset,
        wal::Completion::Room(room) => Completion::DiskFull(Tree::Log, *room == wal::Room::Low),
    }
}

/// Reads entries back from the disk. Blocks.
pub(super) fn read_back(reader: &WalReader, ask: &LogRead) -> Result<Vec<Entry>, LogReadFailure> {
    reader.read(ask.from, ask.through, ask.bytes_max).map_err(|error| match error {
        ReadError::Compacted(_) => LogReadFailure::Compacted,
        ReadError::Absent(_) | ReadError::Unreadable { .. } => {
            warn!(%error, peer = %ask.peer, "could not read the log back, will try again");
            LogReadFailure::Unreadable
        }
    })
}

impl LogDoor for LogThreads {
    fn submit(&mut self, request: WalRequest) -> Result<(), SubmitError> {
        self.writer.submit(request)
    }

    /// On a thread that may wait for the disk. A stream asks once at a time, so these are few.
    fn read(&self, ask: LogRead) {
        let (reader, inbox) = (self.reader.clone(), self.inbox.clone());
        tokio::task::spawn_blocking(move || {
            let result = read_back(&reader, &ask);
            inbox.complete(Completion::LogRead { peer: ask.peer, stream: ask.stream, result });
        });
    }

    fn tail(&self, bytes_max: u64) -> Index {
        self.reader.tail(bytes_max)
    }

    fn bytes(&self) -> u64 {
        self.reader.bytes()
    }

    fn queued_bytes(&self) -> u64 {
        self.writer.queued_bytes()
    }

    fn close(self: Box<Self>) {
        self.writer.close();
    }
}

impl DiskLog {
    pub(super) fn new(door: Box<dyn LogDoor>) -> Self {
        Self { door, backlog: VecDeque::new() }
    }

    /// Queues a request. Never waits.
    pub(super) fn submit(&mut self, request: WalRequest) {
        self.backlog.push_back(request);
        self.drain();
    }

    /// Tries again what had no room.
    pub(super) fn drain(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            match self.door.submit(request) {
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

    /// Reads entries back; see [`LogDoor::read`].
    pub(super) fn read(&self, ask: LogRead) {
        self.door.read(ask);
    }

    /// The first of the newest entries that take about so many bytes on the disk; see [`WalReader::tail`].
    pub(super) fn tail(&self, bytes_max: u64) -> Index {
        self.door.tail(bytes_max)
    }

    /// Bytes of the entries on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.door.bytes()
    }

    /// Whether everything submitted is with the writer.
    pub(super) fn is_drained(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Bytes that wait for the disk.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.door.queued_bytes()
    }

    /// Writes what is queued and closes the log in good order. Blocks.
    pub(super) fn close(self) {
        self.door.close();
    }
}
