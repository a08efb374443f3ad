//! The writer's thread and its queue. It takes everything that is queued, makes groups of it, and gives each group one
//! write and one sync; what arrives meanwhile is the next group. So groups grow with the load and wait for nothing.
//!
//! A disk without room does not end it. What found none waits, and everything behind it but what gives room; it is
//! tried again until there is some, or the log is closed.

use super::pool::Pool;
use super::request::{Listener, Room, SubmitError, WalRequest};
use super::serve::Pending;
use super::{Wal, WalError};
use raft::Entry;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most that may wait for the disk: several seconds' worth for a slow one. The engine's own limits on what is
/// uncommitted or unacknowledged lie below, so to meet this one is a sign that they do not hold.
const QUEUE_BYTES_MAX: u64 = 128 << 20;
/// How soon what found no room is tried again. A member is to go on within seconds once there is some.
const ROOM_RETRY: Duration = Duration::from_millis(500);
/// What a request counts for besides its entries, so that small ones are bounded too.
const REQUEST_BYTES: u64 = 256;

/// Something queued, and since when.
pub(super) struct Queued {
    pub(super) what: Work,
    pub(super) since: Instant,
}

/// What there is to do.
pub(super) enum Work {
    Request(WalRequest),
    /// The pool has something to say.
    Room(Room),
}

/// The way to the writer. The log is closed in good order when this goes.
pub struct WalWriter {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inner {
    work: VecDeque<Queued>,
    bytes: u64,
    /// The writer sleeps; otherwise it will look for itself.
    asleep: bool,
    closed: bool,
}

impl WalWriter {
    pub(super) fn start(wal: Wal, listener: Box<dyn Listener>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut writer = Self { queue: Arc::clone(&queue), threads: Vec::new() };
        let pool = Arc::clone(&wal.log.pool);
        let stop_pool = StopOnDrop(Arc::clone(&pool));
        let work = move || {
            let _stop_pool = stop_pool;
            write(wal, &queue, listener);
        };
        let for_pool = Arc::clone(&writer.queue);
        writer.threads.push(thread::Builder::new().name("wal".to_owned()).spawn(work)?);
        let look_after = move || look_after(&pool, &for_pool);
        writer.threads.push(thread::Builder::new().name("wal-pool".to_owned()).spawn(look_after)?);
        Ok(writer)
    }

    /// Queues a request. Never waits.
    ///
    /// # Errors
    /// [`SubmitError`], with the request, when the queue is full or the writer has ended.
    pub fn submit(&self, request: WalRequest) -> Result<(), SubmitError> {
        let bytes = weight(&request);
        let mut inner = self.queue.lock();
        if inner.closed {
            return Err(SubmitError::Closed(request));
        }
        if inner.bytes > 0 && inner.bytes + bytes > QUEUE_BYTES_MAX {
            return Err(SubmitError::Full(request));
        }
        inner.bytes += bytes;
        inner.work.push_back(Queued { what: Work::Request(request), since: Instant::now() });
        self.queue.wake(inner);
        Ok(())
    }

    /// The bytes that wait for the writer.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.queue.lock().bytes
    }

    /// Does what is queued, closes the log in good order and ends the threads.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself; the log is then as after a crash.
            thread.join().ok();
        }
    }
}

impl Drop for WalWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Queue {
    fn push(&self, what: Work) {
        let mut inner = self.lock();
        inner.work.push_back(Queued { what, since: Instant::now() });
        self.wake(inner);
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let asleep = std::mem::take(&mut inner.asleep);
        drop(inner);
        if asleep {
            self.arrived.notify_one();
        }
    }

    /// Everything queued, as soon as there is something; none when the queue is closed and empty.
    fn take(&self, into: &mut VecDeque<Queued>) -> bool {
        assert!(into.is_empty(), "what was taken has been served: the rest would come after what follows it");
        let mut inner = self.lock();
        while inner.work.is_empty() {
            if inner.closed {
                return false;
            }
            inner.asleep = true;
            inner = self.arrived.wait(inner).expect("nothing panics while it holds the queue");
        }
        std::mem::swap(&mut inner.work, into);
        inner.bytes = 0;
        true
    }

    /// Sleeps for a moment, and adds what has been queued to `work`. It goes on counting as queued: what waits for room
    /// is bounded like what waits for the disk. False when the queue is closed.
    fn wait_for_room(&self, work: &mut VecDeque<Queued>) -> bool {
        let waited = self.arrived.wait_timeout_while(self.lock(), ROOM_RETRY, |inner| !inner.closed);
        let mut inner = waited.expect("nothing panics while it holds the queue").0;
        work.append(&mut inner.work);
        !inner.closed
    }

    fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the queue")
    }
}

fn write(mut wal: Wal, queue: &Queue, mut listener: Box<dyn Listener>) {
    let mut work = VecDeque::new();
    let mut wait = |work: &mut VecDeque<Queued>| queue.wait_for_room(work);
    let mut done = Ok(());
    while done.is_ok() && queue.take(&mut work) {
        done = wal.serve(Pending { work: &mut work, listener: &mut *listener, wait: &mut wait });
    }
    match done.and_then(|()| wal.log.close()) {
        Ok(()) => {}
        Err(WalError::DiskFull) => tracing::warn!("the log is closed, and its disk had no room for all of it"),
        Err(error) => {
            queue.close();
            listener.failed(&error);
        }
    }
}

/// Looks after the files at hand, and tells the writer's listener when the room on the disk changes.
fn look_after(pool: &Pool, queue: &Queue) {
    pool.take_time();
    let mut known = Room::Enough;
    while pool.wait(known == Room::Low) {
        let room = match pool.look_after() {
            Ok(room) => room,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                tracing::warn!(%error, "could not prepare a segment, will try again");
                Room::Low
            }
        };
        if room != known {
            match room {
                Room::Low => tracing::warn!("the log's disk has no room for another segment"),
                Room::Enough => tracing::info!("the log's disk has room again"),
            }
            queue.push(Work::Room(room));
        }
        known = room;
    }
}

/// Ends the pool's thread with the writer's, however that ends.
struct StopOnDrop(Arc<Pool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What a request counts for in the queue.
fn weight(request: &WalRequest) -> u64 {
    let content = match request {
        WalRequest::Persist(persist) => persist.append.iter().map(Entry::bytes).sum(),
        WalRequest::Reset { membership, .. } => membership.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64),
        WalRequest::Compact { .. } => 0,
    };
    REQUEST_BYTES + content
}
