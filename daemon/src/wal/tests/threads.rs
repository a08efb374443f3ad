//! The writer on its thread.

use super::bench::*;
use crate::disk::{Disk, File, SimDisk};
use crate::wal::*;
use raft::{Index, IoId, Persist};
use std::io::{self, IoSlice};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands on what it hears.
struct Ear(Sender<Result<Completion, String>>);

impl Listener for Ear {
    fn completed(&mut self, completion: Completion) {
        self.0.send(Ok(completion)).ok();
    }

    fn failed(&mut self, error: &WalError) {
        self.0.send(Err(error.to_string())).ok();
    }
}

fn started(disk: Arc<dyn Disk>) -> (WalWriter, WalReader, Receiver<Result<Completion, String>>) {
    let wal = Wal::open(disk, IDENTITY, &options()).unwrap().wal;
    let (sender, receiver) = channel();
    let reader = wal.reader();
    (wal.start(Box::new(Ear(sender))).unwrap(), reader, receiver)
}

fn persist(io: u64) -> WalRequest {
    WalRequest::Persist(Persist { io: IoId(io), ..append(vec![entry(io, 1, 100)]) })
}

/// The next report of a durable write.
fn persisted(heard: &Receiver<Result<Completion, String>>) -> (IoId, Group) {
    loop {
        match heard.recv_timeout(PATIENCE).expect("a report comes") {
            Ok(Completion::Persisted { io, group }) => return (io, group),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A disk whose file syncs wait for permission.
struct GatedDisk {
    disk: SimDisk,
    gate: Arc<Mutex<()>>,
}

struct GatedFile {
    file: Arc<dyn File>,
    gate: Arc<Mutex<()>>,
}

impl GatedDisk {
    fn gated(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(GatedFile { file, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for GatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.create(name).map(|file| self.gated(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(name).map(|file| self.gated(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

impl File for GatedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.file.set_size(bytes)
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(at, into)
    }
    fn write_at(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(at, parts)
    }
    fn sync(&self) -> io::Result<()> {
        drop(self.gate.lock().unwrap());
        self.file.sync()
    }
    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}

#[test]
fn what_arrives_during_a_sync_becomes_one_write() {
    let gate = Arc::new(Mutex::new(()));
    let disk = SimDisk::new();
    let (writer, _, heard) = started(Arc::new(GatedDisk { disk: disk.clone(), gate: Arc::clone(&gate) }));
    let closed = gate.lock().unwrap();
    writer.submit(persist(1)).unwrap();
    // The first one is in its sync, or about to be: it leaves the queue before.
    let waiting = std::time::Instant::now();
    while writer.queued_bytes() > 0 {
        assert!(waiting.elapsed() < PATIENCE, "the writer takes what is queued");
        std::thread::yield_now();
    }
    (2..=100).for_each(|io| writer.submit(persist(io)).unwrap());
    drop(closed);
    assert_eq!(persisted(&heard).0, IoId(1));
    let (io, group) = persisted(&heard);
    assert_eq!((io, group.persists, group.entries), (IoId(100), 99, 99));
    assert!(group.queued > Duration::ZERO);
}

#[test]
fn the_log_is_read_and_compacted_while_it_is_written() {
    let disk = SimDisk::new();
    let (writer, reader, heard) = started(Arc::new(disk.clone()));
    for io in 1..=400 {
        writer.submit(persist(io)).unwrap();
        if io % 50 == 0 {
            while persisted(&heard).0 < IoId(io) {}
            let from = io.saturating_sub(60).max(1);
            match reader.read(Index(from), Index(io), u64::MAX) {
                Ok(entries) => assert!((from..).zip(&entries).all(|(index, found)| *found == entry(index, 1, 100))),
                Err(error) => assert!(matches!(error, ReadError::Compacted(_)), "{error}"),
            }
            writer.submit(WalRequest::Compact { through: Index(io - 20) }).unwrap();
        }
    }
    writer.close();
    let found = open(&disk).unwrap();
    assert!(found.report.closed && found.remembered.start.index > Index(100));
    assert_eq!(found.remembered.last.index, Index(400));
}

#[test]
fn a_log_that_has_failed_says_so_once_and_takes_nothing_more() {
    let disk = SimDisk::new();
    let (writer, _, heard) = started(Arc::new(disk.clone()));
    writer.submit(persist(1)).unwrap();
    assert_eq!(persisted(&heard).0, IoId(1));
    disk.lose_power_after(0);
    writer.submit(persist(2)).unwrap();
    loop {
        match heard.recv_timeout(PATIENCE).expect("the failure is told") {
            Ok(Completion::Room(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break assert!(error.contains("0000000000000001.wal"), "{error}"),
        }
    }
    assert!(matches!(writer.submit(persist(3)), Err(SubmitError::Closed(WalRequest::Persist(_)))));
    writer.close();
    assert!(heard.recv_timeout(PATIENCE).is_err(), "nothing is heard after the failure");
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let gate = Arc::new(Mutex::new(()));
    let (writer, ..) = started(Arc::new(GatedDisk { disk: SimDisk::new(), gate: Arc::clone(&gate) }));
    let closed = gate.lock().unwrap();
    let large = entry(1, 1, 48 << 20);
    let mut taken = 0;
    let back = loop {
        let append = vec![raft::Entry::clone(&large)];
        match writer.submit(WalRequest::Persist(Persist { io: IoId(taken + 1), ..append_of(append, taken) })) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10, "the queue is bounded");
    };
    assert!(matches!(back, SubmitError::Full(WalRequest::Persist(persist)) if persist.io == IoId(taken + 1)));
    drop(closed);
}

/// Each of these writes the same entry over the one before.
fn append_of(entries: Vec<raft::Entry>, nth: u64) -> Persist {
    Persist { truncate_from: (nth > 0).then_some(Index(1)), ..append(entries) }
}
