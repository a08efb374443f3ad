//! The writer on its thread.

use super::bench::*;
use crate::disk::{Disk, Fate, File, SimDisk};
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

/// More than may use the ballast, and more than a spare holds.
const LARGE: usize = 80_000;

/// A log with `entries` of them, and a disk without room for anything but what is at hand.
fn full(entries: u64) -> (SimDisk, WalWriter, WalReader, Receiver<Result<Completion, String>>) {
    let disk = SimDisk::new();
    let (writer, reader, heard) = started(Arc::new(disk.clone()));
    for io in 1..=entries {
        writer.submit(persist(io)).unwrap();
        assert_eq!(persisted(&heard).0, IoId(io));
    }
    let waiting = std::time::Instant::now();
    while spares(&disk) < options().spare_segments || disk.contents("ballast").is_none() {
        assert!(waiting.elapsed() < PATIENCE, "the pool makes spares");
        std::thread::yield_now();
    }
    disk.set_budget(Some(disk.used_bytes()));
    (disk, writer, reader, heard)
}

fn spares(disk: &SimDisk) -> usize {
    let names = disk.list().unwrap();
    names.iter().filter(|name| name.starts_with("spare-") && !name.ends_with(".new")).count()
}

fn persist_large(io: u64) -> WalRequest {
    WalRequest::Persist(Persist { io: IoId(io), ..append(vec![entry(io, 1, LARGE)]) })
}

/// The next report that is this one.
fn hears<T>(heard: &Receiver<Result<Completion, String>>, wanted: impl Fn(&Completion) -> Option<T>) -> T {
    loop {
        let completion = heard.recv_timeout(PATIENCE).expect("a report comes").expect("nothing fails");
        if let Some(found) = wanted(&completion) {
            return found;
        }
    }
}

fn low(completion: &Completion) -> Option<()> {
    matches!(completion, Completion::Room(Room::Low)).then_some(())
}

#[test]
fn what_finds_no_room_waits_for_it_and_the_lack_is_told_meanwhile() {
    let (disk, writer, reader, heard) = full(1);
    writer.submit(persist_large(2)).unwrap();
    hears(&heard, low);
    // Enough for several groups behind the one that waits.
    (3..=300).for_each(|io| writer.submit(if io % 3 == 0 { persist_large(io) } else { persist(io) }).unwrap());
    assert!(reader.read(Index(1), Index(1), u64::MAX).is_ok(), "reading goes on");
    assert!(matches!(reader.read(Index(2), Index(2), u64::MAX), Err(ReadError::Absent(_))));
    disk.set_budget(None);
    while persisted(&heard).0 < IoId(300) {}
    writer.close();
    let found = open(&disk.crash(Fate::Lost)).unwrap();
    assert!(found.report.closed && found.remembered.last.index == Index(300));
    let entries = found.wal.reader().read(Index(2), Index(4), u64::MAX).unwrap();
    assert_eq!(entries, [entry(2, 1, LARGE), entry(3, 1, LARGE), entry(4, 1, 100)]);
}

#[test]
fn compaction_does_not_wait_behind_what_waits_for_the_room_it_gives() {
    let (_disk, writer, _, heard) = full(400);
    writer.submit(persist_large(401)).unwrap();
    hears(&heard, low);
    writer.submit(WalRequest::Compact { through: Index(400) }).unwrap();
    let start = hears(&heard, |completion| match completion {
        Completion::Compacted { start } => Some(*start),
        _ => None,
    });
    assert!(start.index > Index(200), "{start}");
    assert_eq!(persisted(&heard).0, IoId(401));
}

#[test]
fn a_log_that_waits_for_room_can_be_closed() {
    let (disk, writer, _, heard) = full(1);
    writer.submit(persist_large(2)).unwrap();
    hears(&heard, low);
    writer.close();
    assert!(heard.into_iter().all(|told| told.is_ok()), "that is no failure");
    assert_eq!(open(&disk).unwrap().remembered.last.index, Index(1));
}
