//! What waits to be written to one lane: frames, encoded as they are queued, so that a flush is one write of
//! everything there is.
//!
//! Small records are copied behind their frame's head; large ones are queued as they are and written in place. The
//! copy of a few hundred bytes costs less than one more entry in a gather list.

use super::frame::{FrameKind, put_frame};
use super::wire::put_message;
use bytes::{Buf, Bytes, BytesMut};
use raft::{Entry, Envelope, Message};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// Records above this are not copied.
const COPY_BYTES_MAX: usize = 4 << 10;
/// Entries of one gather list: more than this and the kernel copies the list itself piecemeal.
const SLICES_MAX: usize = 64;

/// What one flush writes: consecutive pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    queue: VecDeque<Bytes>,
}

/// The queue before one lane.
#[derive(Debug)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// Complete pieces, then the one that grows.
    pieces: VecDeque<Bytes>,
    pieces_bytes: usize,
    tail: BytesMut,
    open: bool,
    overflown: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It will be written, unless the connection is lost first.
    Yes,
    /// There is no connection.
    Closed,
    /// There is no room.
    Full,
}

/// What the writer of a lane does next.
enum Next {
    Write(Pieces),
    Wait,
    GiveUp,
}

impl Outbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), wake: Notify::new(), bytes_max }
    }

    /// Starts to take frames, for a new connection.
    pub(super) fn open(&self) {
        *self.lock() = Inner { open: true, ..Inner::default() };
    }

    /// Drops what is queued and takes no more.
    pub(super) fn close(&self) {
        *self.lock() = Inner::default();
    }

    /// Queues a message of consensus.
    pub(super) fn message(&self, envelope: &Envelope) -> Queued {
        let entries: &[Entry] = match &envelope.message {
            Message::Append { entries, .. } => entries,
            _ => &[],
        };
        let records = entries.iter().map(|entry| entry.record().len()).sum();
        self.push(records, |inner| {
            put_frame(&mut inner.tail, FrameKind::Message, records, |out| put_message(out, envelope));
            entries.iter().for_each(|entry| inner.put_record(entry.record()));
        })
    }

    /// Queues any other frame, whose head `write` appends: about so many bytes of it.
    pub(super) fn frame(&self, kind: FrameKind, bytes: usize, write: impl FnOnce(&mut BytesMut)) -> Queued {
        self.frame_before(kind, bytes, write, &[])
    }

    /// The same, with this behind the head.
    pub(super) fn frame_before(
        &self,
        kind: FrameKind,
        bytes: usize,
        write: impl FnOnce(&mut BytesMut),
        records: &[u8],
    ) -> Queued {
        self.push(bytes + records.len(), |inner| {
            put_frame(&mut inner.tail, kind, records.len(), write);
            inner.tail.extend_from_slice(records);
        })
    }

    /// Waits for something to write and takes all of it. None once a frame has not fitted.
    pub(super) async fn take(&self) -> Option<Pieces> {
        loop {
            match self.lock().next() {
                Next::Write(pieces) => return Some(pieces),
                Next::GiveUp => return None,
                Next::Wait => {}
            }
            self.wake.notified().await;
        }
    }

    /// As [`Outbox::take`], without waiting. None when there is nothing, too.
    pub(super) fn try_take(&self) -> Option<Pieces> {
        match self.lock().next() {
            Next::Write(pieces) => Some(pieces),
            Next::Wait | Next::GiveUp => None,
        }
    }

    /// Makes the lane's task give up its connection: what was dropped can only be repaired by starting over.
    pub(super) fn overflow(&self) {
        self.lock().overflown = true;
        self.wake.notify_one();
    }

    /// Waits until [`Outbox::overflow`] was called: a writer that is stuck must not be waited for.
    pub(super) async fn overflown(&self) {
        while !self.lock().overflown {
            self.wake.notified().await;
        }
    }

    fn push(&self, bytes: usize, write: impl FnOnce(&mut Inner)) -> Queued {
        let mut inner = self.lock();
        if !inner.open {
            return Queued::Closed;
        }
        // One frame always fits into an empty queue, whatever its size: it was bounded when it was made.
        if inner.bytes() > 0 && inner.bytes() + bytes > self.bytes_max {
            return Queued::Full;
        }
        let idle = inner.bytes() == 0;
        write(&mut inner);
        drop(inner);
        if idle {
            self.wake.notify_one();
        }
        Queued::Yes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds an outbox")
    }
}

impl Inner {
    fn put_record(&mut self, record: &Bytes) {
        if record.len() <= COPY_BYTES_MAX {
            self.tail.extend_from_slice(record);
        } else {
            self.seal();
            self.put_piece(record.clone());
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.put_piece(tail);
        }
    }

    fn put_piece(&mut self, piece: Bytes) {
        self.pieces_bytes += piece.len();
        self.pieces.push_back(piece);
    }

    fn bytes(&self) -> usize {
        self.pieces_bytes + self.tail.len()
    }

    fn next(&mut self) -> Next {
        if self.overflown {
            return Next::GiveUp;
        }
        self.seal();
        if self.pieces.is_empty() {
            return Next::Wait;
        }
        self.pieces_bytes = 0;
        Next::Write(Pieces { queue: mem::take(&mut self.pieces) })
    }
}

impl Pieces {
    /// What is left, as a gather list.
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.queue.iter().take(SLICES_MAX).map(|piece| IoSlice::new(piece)).collect()
    }

    /// Whether everything has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes note that `written` bytes are gone.
    pub(super) fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.queue.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.queue.pop_front();
        }
        assert_eq!(written, 0, "no more is written than was there");
    }

    /// All of it in one piece.
    pub(super) fn into_stream(mut self) -> Bytes {
        match self.queue.len() {
            1 => self.queue.pop_front().unwrap_or_default(),
            _ => self.queue.iter().fold(BytesMut::with_capacity(self.bytes()), joined).freeze(),
        }
    }

    /// How much is left.
    pub(super) fn bytes(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }
}

fn joined(mut all: BytesMut, piece: &Bytes) -> BytesMut {
    all.extend_from_slice(piece);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::frame::{FRAME_BYTES_MAX, take_frame};
    use crate::transport::wire::take_message;
    use raft::{EntryKind, Index, LogId, MemberId, StreamId, Term};

    fn append(sizes: &[usize]) -> Envelope {
        let entry = |(at, size): (usize, &usize)| {
            Entry::new(LogId::new(1, 1 + at as u64), EntryKind::Command, 0, &vec![7; *size])
        };
        let entries = sizes.iter().enumerate().map(entry).collect();
        let message = Message::Append { stream: StreamId(1), prev: LogId::ZERO, entries, commit: Index(0) };
        Envelope { from: MemberId(1), to: MemberId(2), term: Term(1), message }
    }

    #[tokio::test]
    async fn small_and_large_records_leave_in_order() {
        let outbox = Outbox::new(1 << 20);
        outbox.open();
        let sent = [append(&[10, 100_000, 20]), append(&[]), append(&[5_000])];
        sent.iter().for_each(|envelope| assert_eq!(outbox.message(envelope), Queued::Yes));
        let mut pieces = outbox.take().await.expect("no overflow");
        let mut stream = BytesMut::new();
        while !pieces.is_empty() {
            // As a socket would: a little at a time.
            let first = pieces.slices()[0].iter().copied().take(999).collect::<Vec<_>>();
            stream.extend_from_slice(&first);
            pieces.advance(first.len());
        }
        for envelope in &sent {
            let frame = take_frame(&mut stream, FRAME_BYTES_MAX).expect("sound").expect("whole");
            assert_eq!(take_message(frame).as_ref(), Ok(envelope));
        }
        assert!(stream.is_empty());
    }

    #[test]
    fn a_full_outbox_and_a_closed_one_take_nothing() {
        let outbox = Outbox::new(1000);
        assert_eq!(outbox.message(&append(&[])), Queued::Closed);
        outbox.open();
        assert_eq!(outbox.message(&append(&[5_000])), Queued::Yes);
        assert_eq!(outbox.message(&append(&[])), Queued::Full);
        outbox.close();
        assert_eq!(outbox.message(&append(&[])), Queued::Closed);
        outbox.open();
        assert_eq!(outbox.message(&append(&[5_000])), Queued::Yes, "what was queued before is gone");
    }

    #[tokio::test]
    async fn an_overflow_ends_the_writing() {
        let outbox = Outbox::new(1000);
        outbox.open();
        outbox.overflow();
        assert!(outbox.take().await.is_none());
    }
}
