//! The thread that flushes the store and sweeps what is compacted, and the one place where applying waits for it.
//!
//! * It flushes when the buffer is large enough to make a good commit, or when something has waited long enough.
//! * Sweeping takes a slice of every round; with nothing else to do it takes rounds of its own, with pauses.
//! * When the buffer is full the apply thread waits in [`Keeper::make_room`]: memory stays bounded, and the wait is
//!   counted.
//! * A stop flushes what is quickly written; more than that is left to the log, which replays it.
//! * A fault ends the thread and is told once; whoever waits is let go, as the member is about to stop.

use mvcc::{Fault, Flushed, Store};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

/// When to flush.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A buffer of this size is flushed at once. Larger ones make commits cheaper for each row, and take memory and a
    /// longer replay.
    pub flush_bytes: usize,
    /// Rows wait no longer than this. It bounds what a restart replays of a store that is seldom written.
    pub flush_interval: Duration,
    /// Applying waits while the buffers take more: one being filled, one being flushed, and a batch on top.
    pub buffer_bytes_max: usize,
    /// A larger buffer is not flushed at the end, so that a stop takes little time.
    pub flush_bytes_at_stop: usize,
    /// Rows swept in one round. Each costs about as much as writing one.
    pub sweep_rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            flush_bytes: 16 << 20,
            flush_interval: Duration::from_secs(2),
            buffer_bytes_max: 64 << 20,
            flush_bytes_at_stop: 1 << 20,
            sweep_rows: 10_000,
        }
    }
}

/// Between rounds that only sweep, the thread rests for so many times as long as the last one took: sweeping takes
/// a fifth of one core at most.
const SWEEP_REST_FACTOR: u32 = 4;

/// The shortest rest, so that small rounds do not become many.
const SWEEP_REST_MIN: Duration = Duration::from_millis(20);

/// What the keeper tells.
pub trait KeeperEvents: Send {
    /// A round is over: how far it came and how long it took. Replay now starts after `round.applied`.
    fn flushed(&mut self, round: Flushed, took: Duration);
    /// The storage failed. Nothing more will be flushed; the member has to stop.
    fn fault(&mut self, fault: Fault);
}

/// Keeps a store flushed. Dropping it flushes a last time, if that is quickly done, and ends the thread.
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    pace: Pace,
    wanted: Mutex<Wanted>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes whoever waits for room.
    room: Condvar,
    stalls: AtomicU64,
    stall_us: AtomicU64,
}

/// What is asked of the thread, and whether it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Nothing in particular.
    Idle,
    /// A flush now.
    Flush,
    /// A last flush if it is a small one, then the end.
    Stop,
    /// It has ended.
    Ended,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(store: Arc<Store>, pace: Pace, events: impl KeeperEvents + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            pace,
            wanted: Mutex::new(Wanted::Idle),
            work: Condvar::new(),
            room: Condvar::new(),
            stalls: AtomicU64::new(0),
            stall_us: AtomicU64::new(0),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("store-keeper".into()).spawn(move || shared.run(events))?
        };
        Ok(Self { shared, thread: Some(thread) })
    }

    /// To be called by the apply thread between batches: asks for a flush if one is due, and waits while the buffers
    /// are full.
    pub fn make_room(&self) {
        let (shared, pace) = (&self.shared, &self.shared.pace);
        if shared.store.buffered_bytes() < pace.flush_bytes {
            return;
        }
        shared.want_flush();
        if shared.store.buffered_bytes() < pace.buffer_bytes_max {
            return;
        }
        let began = Instant::now();
        let full =
            |wanted: &mut Wanted| *wanted != Wanted::Ended && shared.store.buffered_bytes() >= pace.buffer_bytes_max;
        shared.stalls.fetch_add(1, Ordering::Relaxed);
        drop(shared.room.wait_while(shared.wanted(), full).expect("no holder of this lock panics"));
        shared.stall_us.fetch_add(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often applying had to wait for room, and how long it waited in all so far.
    #[must_use]
    pub fn stalls(&self) -> (u64, Duration) {
        let [stalls, us] = [&self.shared.stalls, &self.shared.stall_us].map(|counter| counter.load(Ordering::Relaxed));
        (stalls, Duration::from_micros(us))
    }

    /// Asks for a flush soon, without waiting for it.
    pub fn flush_soon(&self) {
        self.shared.want_flush();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        {
            let mut wanted = self.shared.wanted();
            if *wanted != Wanted::Ended {
                *wanted = Wanted::Stop;
            }
        }
        self.shared.work.notify_one();
        if thread.join().is_err() {
            tracing::error!("the store's keeper panicked");
        }
    }
}

impl Shared {
    fn run(&self, mut events: impl KeeperEvents) {
        let mut rest = self.pace.flush_interval;
        loop {
            let stop = self.wait(rest) == Wanted::Stop;
            if stop && self.store.buffered_bytes() > self.pace.flush_bytes_at_stop {
                self.ended();
                return;
            }
            let began = Instant::now();
            match self.store.flush(self.pace.sweep_rows) {
                Ok(round) => {
                    let took = began.elapsed();
                    events.flushed(round, took);
                    rest = self.rest(round.sweep_pending, took);
                }
                Err(fault) => {
                    self.ended();
                    events.fault(fault);
                    return;
                }
            }
            if stop {
                self.ended();
                return;
            }
            let _wanted = self.wanted(); // nobody is between looking and waiting now
            self.room.notify_all();
        }
    }

    fn rest(&self, sweep_pending: bool, round: Duration) -> Duration {
        match () {
            () if self.store.buffered_bytes() >= self.pace.flush_bytes => Duration::ZERO,
            () if sweep_pending => (round * SWEEP_REST_FACTOR).max(SWEEP_REST_MIN).min(self.pace.flush_interval),
            () => self.pace.flush_interval,
        }
    }

    /// Sleeps until something is wanted or `rest` is over, and says what.
    fn wait(&self, rest: Duration) -> Wanted {
        let idle = |wanted: &mut Wanted| *wanted == Wanted::Idle;
        let (mut wanted, _) =
            self.work.wait_timeout_while(self.wanted(), rest, idle).expect("no holder of this lock panics");
        let found = *wanted;
        if found == Wanted::Flush {
            *wanted = Wanted::Idle;
        }
        found
    }

    fn want_flush(&self) {
        let mut wanted = self.wanted();
        if *wanted == Wanted::Idle {
            *wanted = Wanted::Flush;
            self.work.notify_one();
        }
    }

    fn ended(&self) {
        let mut wanted = self.wanted();
        *wanted = Wanted::Ended;
        self.room.notify_all();
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
