//! The node's inbox: everything that reaches the loop, gathered by kind and taken all at once.
//!
//! * A wake-up costs a system call when it comes from another thread, so it happens once per turn of the loop and
//!   not once per message: only the push into an idle inbox wakes it.
//! * A full queue refuses requests, makes peers wait (which stops the reading of their connections), and always takes
//!   the completions of this member's own threads, for each of them answers one request that was bounded itself.

use super::completion::Completion;
use super::request::{CallRequest, ProposeRequest, Question, ReadRequest};
use crate::transport::PeerEvent;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// Commands that wait for one turn of the loop. At 1 MiB a batch this is eight batches; more would only add delay.
const PROPOSALS_BYTES_MAX: usize = 8 << 20;
/// Ten times the number of clients we measure with; beyond it the answer is "too many requests".
const PROPOSALS_MAX: usize = 16 << 10;
/// As for proposals. A waiting read takes 8 bytes here.
const READS_MAX: usize = 16 << 10;
/// Calls about the cluster come from people and operators.
const CALLS_MAX: usize = 64;
/// Messages of peers that wait for one turn: a window's worth of appends. A connection that would pass it is not
/// read until the loop has taken what is there.
const PEERS_BYTES_MAX: usize = 32 << 20;

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The queue is at its bound.
    Full,
    /// The loop has ended.
    Closed,
}

/// What one turn of the loop works on.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) completions: Vec<Completion>,
    pub(super) peers: Vec<PeerEvent>,
    pub(super) proposals: Vec<ProposeRequest>,
    pub(super) reads: Vec<ReadRequest>,
    pub(super) calls: Vec<CallRequest>,
    pub(super) questions: Vec<Question>,
    proposals_bytes: usize,
    peers_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    batch: Batch,
    closed: bool,
    /// The loop waits for completions alone.
    only_completions: bool,
}

/// The queue between everybody and the loop.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    wake: Notify,
    space: Notify,
    refused: AtomicU64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.completions.is_empty()
            && self.peers.is_empty()
            && self.proposals.is_empty()
            && self.reads.is_empty()
            && self.calls.is_empty()
            && self.questions.is_empty()
    }

    /// Empties it and keeps what it has allocated.
    pub(super) fn clear(&mut self) {
        self.completions.clear();
        self.peers.clear();
        self.proposals.clear();
        self.reads.clear();
        self.calls.clear();
        self.questions.clear();
        (self.proposals_bytes, self.peers_bytes) = (0, 0);
    }
}

impl Inbox {
    pub(super) fn propose(&self, request: ProposeRequest) -> Result<(), Full> {
        self.push(|batch| {
            let bytes = batch.proposals_bytes + request.payload.len();
            if batch.proposals.len() >= PROPOSALS_MAX || bytes > PROPOSALS_BYTES_MAX {
                return false;
            }
            batch.proposals_bytes = bytes;
            batch.proposals.push(request);
            true
        })
    }

    pub(super) fn read(&self, request: ReadRequest) -> Result<(), Full> {
        self.push(|batch| push_below(&mut batch.reads, READS_MAX, request))
    }

    pub(super) fn call(&self, request: CallRequest) -> Result<(), Full> {
        self.push(|batch| push_below(&mut batch.calls, CALLS_MAX, request))
    }

    pub(super) fn ask(&self, question: Question) -> Result<(), Full> {
        self.push(|batch| push_below(&mut batch.questions, CALLS_MAX, question))
    }

    /// A completion of this member's own threads. Always taken.
    pub(crate) fn complete(&self, completion: Completion) {
        // After the loop has ended nobody needs it.
        let _ = self.push(|batch| {
            batch.completions.push(completion);
            true
        });
    }

    /// Something from a peer; `bytes` is what it holds in memory. Waits while too much is queued. False once the
    /// loop has ended.
    pub(crate) async fn peer(&self, event: PeerEvent, bytes: usize) -> bool {
        let mut event = Some(event);
        loop {
            let space = self.space.notified();
            let pushed = self.push(|batch| {
                if batch.peers_bytes > 0 && batch.peers_bytes + bytes > PEERS_BYTES_MAX {
                    return false;
                }
                batch.peers_bytes += bytes;
                batch.peers.extend(event.take());
                true
            });
            match pushed {
                Ok(()) => return true,
                Err(Full::Closed) => return false,
                Err(Full::Full) => space.await,
            }
        }
    }

    /// Something from a peer that must not wait. Only for what is bounded by the number of peers.
    pub(crate) fn peer_now(&self, event: PeerEvent) {
        let _ = self.push(|batch| {
            batch.peers.push(event);
            true
        });
    }

    /// Waits until something is there and swaps it into `batch`, which must be empty. Safe to drop at any time.
    pub(super) async fn take(&self, batch: &mut Batch) {
        loop {
            if self.try_take(batch) {
                return;
            }
            self.wake.notified().await;
        }
    }

    /// Waits for completions and takes them; everything else stays where it is. Safe to drop at any time.
    pub(super) async fn take_completions(&self) -> Vec<Completion> {
        loop {
            {
                let mut inner = self.lock();
                inner.only_completions = inner.batch.completions.is_empty();
                if !inner.only_completions {
                    return mem::take(&mut inner.batch.completions);
                }
            }
            self.wake.notified().await;
        }
    }

    /// As [`Inbox::take_completions`], without waiting.
    pub(super) fn try_take_completions(&self) -> Vec<Completion> {
        mem::take(&mut self.lock().batch.completions)
    }

    /// As [`Inbox::take`], without waiting; whether there was anything.
    pub(super) fn try_take(&self, batch: &mut Batch) -> bool {
        assert!(batch.is_empty(), "the loop finishes one batch before it takes the next");
        batch.clear();
        mem::swap(&mut self.lock().batch, batch);
        if batch.is_empty() {
            return false;
        }
        self.space.notify_waiters();
        true
    }

    /// Refuses everything from now on and drops what is queued, which answers the waiting requests.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.batch = Batch::default();
        drop(inner);
        self.space.notify_waiters();
    }

    /// The messages of peers that wait.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<raft::Envelope> {
        let message = |event: &PeerEvent| match event {
            PeerEvent::Message(envelope) => Some(envelope.clone()),
            _ => None,
        };
        self.lock().batch.peers.iter().filter_map(message).collect()
    }

    /// How many requests found a queue full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn push(&self, push: impl FnOnce(&mut Batch) -> bool) -> Result<(), Full> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Full::Closed);
        }
        let idle = inner.batch.is_empty() || inner.only_completions;
        let pushed = push(&mut inner.batch);
        drop(inner);
        if !pushed {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full::Full);
        }
        if idle {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the inbox")
    }
}

fn push_below<T>(queue: &mut Vec<T>, max: usize, item: T) -> bool {
    let fits = queue.len() < max;
    if fits {
        queue.push(item);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tokio::sync::oneshot;

    fn request(sequence: u64, bytes: usize) -> ProposeRequest {
        ProposeRequest { sequence, payload: Bytes::from(vec![0; bytes]), reply: oneshot::channel().0, trace: None }
    }

    #[tokio::test]
    async fn everything_that_was_pushed_is_taken_at_once() {
        let inbox = Inbox::default();
        inbox.propose(request(1, 8)).expect("room");
        inbox.propose(request(2, 8)).expect("room");
        inbox.read(oneshot::channel().0).expect("room");
        let mut batch = Batch::default();
        inbox.take(&mut batch).await;
        assert_eq!(batch.proposals.iter().map(|request| request.sequence).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(batch.reads.len(), 1);
    }

    #[test]
    fn proposals_are_bounded_in_bytes_and_refusals_are_counted() {
        let inbox = Inbox::default();
        inbox.propose(request(1, PROPOSALS_BYTES_MAX)).expect("exactly the bound");
        assert_eq!(inbox.propose(request(2, 1)), Err(Full::Full));
        assert_eq!(inbox.refused(), 1);
        let mut batch = Batch::default();
        assert!(inbox.try_take(&mut batch));
        inbox.propose(request(3, 1)).expect("the loop has made room");
    }

    #[test]
    fn requests_are_bounded_in_number() {
        let inbox = Inbox::default();
        for sequence in 0..PROPOSALS_MAX as u64 {
            inbox.propose(request(sequence, 0)).expect("up to the bound");
            inbox.read(oneshot::channel().0).expect("as many reads");
        }
        assert_eq!(inbox.propose(request(0, 0)), Err(Full::Full));
        assert_eq!(inbox.read(oneshot::channel().0), Err(Full::Full));
        let call = || CallRequest::TransferLeader { to: None, reply: oneshot::channel().0 };
        let question = || Question::Inspect(oneshot::channel().0);
        for _ in 0..CALLS_MAX {
            inbox.call(call()).expect("up to the bound");
            inbox.ask(question()).expect("up to the bound");
        }
        assert_eq!((inbox.call(call()), inbox.ask(question())), (Err(Full::Full), Err(Full::Full)));
        assert_eq!(inbox.refused(), 4);
    }

    #[tokio::test]
    async fn a_peer_waits_beyond_its_bound_and_goes_on_when_there_is_room() {
        use futures::poll;
        let inbox = Inbox::default();
        let event = || PeerEvent::LinkUp { peer: raft::MemberId(2), link: raft::LinkId(1) };
        assert!(inbox.peer(event(), 2 * PEERS_BYTES_MAX).await, "one that is larger than the bound is taken alone");
        let mut waits = std::pin::pin!(inbox.peer(event(), 1));
        assert!(poll!(waits.as_mut()).is_pending());
        let mut batch = Batch::default();
        assert!(inbox.try_take(&mut batch));
        assert!(waits.await);
        batch.clear();
        assert!(inbox.try_take(&mut batch));
        assert!(inbox.peer(event(), PEERS_BYTES_MAX).await, "exactly the bound");
        assert!(poll!(std::pin::pin!(inbox.peer(event(), 1))).is_pending());
    }

    #[tokio::test]
    async fn completions_can_be_taken_alone_and_the_rest_stays() {
        let inbox = std::sync::Arc::new(Inbox::default());
        inbox.propose(request(1, 8)).expect("room");
        let taking = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.take_completions().await.len() }
        });
        tokio::task::yield_now().await;
        inbox.complete(Completion::LogReset);
        assert_eq!(taking.await.expect("it is woken, though the inbox was not empty"), 1);
        let mut batch = Batch::default();
        inbox.take(&mut batch).await;
        assert_eq!((batch.proposals.len(), batch.completions.len()), (1, 0));
    }

    #[tokio::test]
    async fn closing_answers_who_waits_and_refuses_who_comes() {
        let inbox = Inbox::default();
        let (reply, answer) = oneshot::channel();
        inbox.read(reply).expect("room");
        inbox.close();
        assert!(answer.await.is_err());
        assert_eq!(inbox.propose(request(1, 1)), Err(Full::Closed));
    }
}
