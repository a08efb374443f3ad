use super::*;
use mvcc::{Apply, Backend, Body, Change, Command, MemoryBackend, Put, RequestId, View};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Longer than any step of these tests takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum Told {
    Durable(u64),
    Fault(String),
}

impl KeeperEvents for Sender<Told> {
    fn flushed(&mut self, round: Flushed, _took: Duration) {
        let _ = self.send(Told::Durable(round.applied)); // the test may be over
    }

    fn fault(&mut self, fault: Fault) {
        let _ = self.send(Told::Fault(fault.to_string()));
    }
}

/// Commits only while the gate is open, and fails when told to.
#[derive(Default)]
struct Gated {
    inner: MemoryBackend,
    closed: Mutex<bool>,
    opened: Condvar,
    broken: AtomicBool,
}

impl Gated {
    fn set_closed(&self, closed: bool) {
        *self.closed.lock().expect("no holder panics") = closed;
        self.opened.notify_all();
    }
}

impl Backend for Gated {
    fn view(&self) -> Result<Arc<dyn View>, Fault> {
        self.inner.view()
    }

    fn commit(&self, write: &mut dyn FnMut(&mut dyn Change) -> Result<(), Fault>) -> Result<(), Fault> {
        let closed = self.closed.lock().expect("no holder panics");
        drop(self.opened.wait_while(closed, |closed| *closed).expect("no holder panics"));
        match self.broken.load(Ordering::Relaxed) {
            true => Err(Fault::storage("the disk is gone")),
            false => self.inner.commit(write),
        }
    }

    fn allocated(&self) -> u64 {
        self.inner.allocated()
    }
}

/// A store whose rounds come by size only, after about ten puts.
fn kept(pace: Pace) -> (Arc<Gated>, Arc<Store>, Keeper, Receiver<Told>) {
    let backend = Arc::new(Gated::default());
    let store = Arc::new(Store::open(Arc::clone(&backend) as Arc<dyn Backend>).expect("new"));
    let (told, events) = channel();
    let keeper = Keeper::start(Arc::clone(&store), pace, told).expect("a thread");
    (backend, store, keeper, events)
}

fn by_size() -> Pace {
    Pace {
        flush_bytes: 10_000,
        buffer_bytes_max: 40_000,
        flush_interval: PATIENCE * 10,
        flush_bytes_at_stop: 1_000,
        sweep_rows: 100,
    }
}

fn put(store: &Store) {
    let put = Put { key: "key".into(), value: vec![0; 600].into(), ..Put::default() };
    let command = Command { id: RequestId::default(), body: Body::Put(put) };
    let apply = Apply { index: store.applied() + 1, command: &command, answered: true };
    store.apply(&[apply]).expect("no fault").remove(0).expect("allowed");
}

#[test]
fn a_buffer_of_the_right_size_is_flushed() {
    let (_backend, store, keeper, events) = kept(by_size());
    while store.buffered_bytes() < by_size().flush_bytes {
        put(&store);
    }
    assert_eq!(store.durable(), 0);
    keeper.make_room();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Told::Durable(applied)) if applied == store.applied()));
    assert_eq!((store.durable(), store.buffered_bytes()), (store.applied(), 0));
}

#[test]
fn a_row_is_flushed_when_it_has_waited_long_enough() {
    let (_backend, store, _keeper, events) = kept(Pace { flush_interval: Duration::from_millis(5), ..by_size() });
    put(&store);
    while !matches!(events.recv_timeout(PATIENCE), Ok(Told::Durable(1))) {}
    assert_eq!(store.durable(), 1);
}

#[test]
fn applying_waits_while_the_buffers_are_full_and_goes_on_afterwards() {
    let (backend, store, keeper, _events) = kept(by_size());
    backend.set_closed(true);
    thread::scope(|scope| {
        let applier = scope.spawn(|| {
            for _ in 0..200 {
                keeper.make_room();
                put(&store);
                assert!(store.buffered_bytes() < by_size().buffer_bytes_max + 2_000, "memory is bounded");
            }
        });
        let began = Instant::now();
        while keeper.stalls().0 == 0 && began.elapsed() < PATIENCE {
            thread::yield_now();
        }
        assert!(!applier.is_finished() && store.durable() == 0, "it waits");
        backend.set_closed(false);
        applier.join().expect("it went on");
    });
    assert!(keeper.stalls().0 > 0 && keeper.stalls().1 > Duration::ZERO);
}

#[test]
fn stopping_flushes_what_is_left() {
    let (_backend, store, keeper, events) = kept(by_size());
    put(&store);
    drop(keeper);
    assert!(matches!(events.try_recv(), Ok(Told::Durable(1))));
    assert_eq!(store.durable(), 1);
}

#[test]
fn stopping_leaves_a_large_buffer_to_the_log() {
    let (_backend, store, keeper, events) = kept(by_size());
    while store.buffered_bytes() <= by_size().flush_bytes_at_stop {
        put(&store);
    }
    drop(keeper);
    assert!(events.try_recv().is_err(), "no round");
    assert_eq!(store.durable(), 0);
}

#[test]
fn a_fault_is_told_once_and_nobody_waits_for_a_dead_keeper() {
    let (backend, store, keeper, events) = kept(by_size());
    backend.broken.store(true, Ordering::Relaxed);
    while store.buffered_bytes() < by_size().buffer_bytes_max {
        put(&store);
    }
    keeper.make_room();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Told::Fault(text)) if text.contains("the disk is gone")));
    keeper.make_room();
    drop(keeper);
    assert!(events.recv().is_err(), "nothing more is told");
}
