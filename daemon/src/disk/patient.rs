//! A disk whose writes wait for room. A member that has none goes on reading, and goes on writing within a second of
//! there being some.
//!
//! * Only what may be tried again waits: bytes written, lengths and names. Lack of room leaves no name behind, and of
//!   bytes the next attempt writes all again.
//! * A sync never waits. After one has failed nothing is known, whatever the reason.
//! * A file that may be given up does not wait while it is made: it would hold the room that it waits for. It waits from
//!   when it gets another name.
//! * Whoever waits holds what he holds: nobody who must not be held up writes here.
//! * [`Patience::end`] lets go of everybody who waits, and from then on nobody waits.

use super::{Disk, File, is_full};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// How soon a write that found no room is tried again.
const ROOM_RETRY: Duration = Duration::from_millis(500);

/// Hears when writes begin to wait for room (true), and when there is room again (false). Must be quick.
pub type Told = Box<dyn Fn(bool) + Send + Sync>;

/// The waiting of everybody who writes to a disk.
#[derive(Default)]
pub struct Patience {
    inner: Mutex<Inner>,
    ended: Condvar,
}

#[derive(Default)]
struct Inner {
    ended: bool,
    /// Who waits now.
    waiting: usize,
    /// Somebody has waited, and nothing written since was synced.
    short: bool,
    told: Option<Told>,
}

impl Patience {
    /// Has somebody told from now on, and how it stands now.
    pub fn tell(&self, told: Told) {
        let mut inner = self.lock();
        told(inner.short);
        inner.told = Some(told);
    }

    /// Nobody waits any more: what finds no room fails.
    pub fn end(&self) {
        self.lock().ended = true;
        self.ended.notify_all();
    }

    /// Tries until there is room.
    fn with_room<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut tried = attempt();
        if !is_full(&tried) {
            return tried;
        }
        self.lock().begin();
        while is_full(&tried) && self.pause() {
            tried = attempt();
        }
        self.lock().waiting -= 1;
        tried
    }

    /// Says whether to try again.
    fn pause(&self) -> bool {
        let waited = self.ended.wait_timeout_while(self.lock(), ROOM_RETRY, |inner| !inner.ended);
        !waited.expect("nothing panics while it holds this").0.ended
    }

    /// Something that was written has reached the disk.
    fn synced(&self) {
        self.lock().relax();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds this")
    }
}

impl Inner {
    fn begin(&mut self) {
        self.waiting += 1;
        if !std::mem::replace(&mut self.short, true) {
            tracing::warn!("the data disk has no room: what is to be written to it waits for some");
            self.told.iter().for_each(|told| told(true));
        }
    }

    fn relax(&mut self) {
        if self.short && self.waiting == 0 {
            self.short = false;
            tracing::info!("the data disk has room again");
            self.told.iter().for_each(|told| told(false));
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patience")
    }
}

/// A disk, and how its writers wait.
#[derive(Clone)]
pub struct PatientDisk {
    disk: Arc<dyn Disk>,
    patience: Arc<Patience>,
    /// The name of the file that may be given up.
    dispensable: &'static str,
    /// It, while it is made.
    made: Arc<Mutex<Weak<PatientFile>>>,
}

struct PatientFile {
    file: Arc<dyn File>,
    patience: Arc<Patience>,
    waits: AtomicBool,
}

impl PatientDisk {
    /// Writes to `disk` wait as `patience` has it, but those to a new file of the name `dispensable`.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, patience: Arc<Patience>, dispensable: &'static str) -> Self {
        Self { disk, patience, dispensable, made: Arc::default() }
    }

    fn patient(&self, file: Arc<dyn File>, waits: bool) -> Arc<PatientFile> {
        Arc::new(PatientFile { file, patience: Arc::clone(&self.patience), waits: AtomicBool::new(waits) })
    }

    fn made(&self) -> MutexGuard<'_, Weak<PatientFile>> {
        self.made.lock().expect("nothing panics while it holds this")
    }
}

impl PatientFile {
    fn with_room<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        if self.waits.load(Ordering::Relaxed) { self.patience.with_room(attempt) } else { attempt() }
    }
}

impl Disk for PatientDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        if name != self.dispensable {
            return Ok(self.patient(self.patience.with_room(|| self.disk.create(name))?, true));
        }
        let file = self.patient(self.disk.create(name)?, false);
        *self.made() = Arc::downgrade(&file);
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.patient(self.disk.open(name)?, true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.patience.with_room(|| self.disk.rename(from, to))?;
        if from == self.dispensable {
            self.made().upgrade().into_iter().for_each(|file| file.waits.store(true, Ordering::Relaxed));
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

impl File for PatientFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.with_room(|| self.file.set_size(bytes))
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(at, into)
    }

    fn write_at(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.with_room(|| self.file.write_at(at, parts))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.patience.synced();
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    fn full() -> (SimDisk, PatientDisk, Arc<Patience>, Receiver<bool>) {
        let (disk, patience) = (SimDisk::new(), Arc::new(Patience::default()));
        let patient = PatientDisk::new(Arc::new(disk.clone()), Arc::clone(&patience), "next");
        let (sender, told) = channel();
        patience.tell(Box::new(move |short| sender.send(short).expect("somebody listens")));
        assert_eq!(told.recv_timeout(LONG), Ok(false));
        disk.set_budget(Some(disk.used_bytes() + 100));
        (disk, patient, patience, told)
    }

    #[test]
    fn a_write_without_room_waits_for_it_and_both_are_told() {
        let (disk, patient, _patience, told) = full();
        let file = patient.create("f").expect("a name takes no room here");
        let writing = {
            let file = Arc::clone(&file);
            thread::spawn(move || file.write_at(0, &[IoSlice::new(&[7; 1000])]).and_then(|()| file.sync()))
        };
        assert_eq!(told.recv_timeout(LONG), Ok(true));
        let mut read = [0; 4];
        assert!(file.read_at(0, &mut read).is_ok(), "reading goes on");
        disk.set_budget(None);
        assert_eq!(told.recv_timeout(LONG), Ok(false));
        writing.join().expect("no panic").expect("there is room");
        assert_eq!(disk.contents("f"), Some(vec![7; 1000]));
    }

    #[test]
    fn room_is_not_told_while_another_waits() {
        let (disk, patient, _patience, told) = full();
        let (large, small) = (patient.create("large").expect("room"), patient.create("small").expect("room"));
        let writing = thread::spawn(move || large.write_at(0, &[IoSlice::new(&[7; 1000])]).and_then(|()| large.sync()));
        assert_eq!(told.recv_timeout(LONG), Ok(true));
        small.write_at(0, &[IoSlice::new(&[1; 10])]).and_then(|()| small.sync()).expect("this much fits");
        assert!(told.try_recv().is_err());
        disk.set_budget(None);
        assert_eq!(told.recv_timeout(LONG), Ok(false));
        writing.join().expect("no panic").expect("there is room");
    }

    #[test]
    fn a_file_that_may_be_given_up_waits_only_once_it_has_another_name() {
        let (disk, patient, _patience, told) = full();
        let next = patient.create("next").expect("a name takes no room here");
        assert!(is_full(&next.write_at(0, &[IoSlice::new(&[7; 1000])])), "what it took can be freed");
        patient.rename("next", "now").expect("a name takes no room here");
        let writing = thread::spawn(move || next.write_at(0, &[IoSlice::new(&[7; 1000])]).and_then(|()| next.sync()));
        assert_eq!(told.recv_timeout(LONG), Ok(true));
        disk.set_budget(None);
        assert_eq!(told.recv_timeout(LONG), Ok(false));
        writing.join().expect("no panic").expect("there is room");
        assert_eq!(disk.contents("now"), Some(vec![7; 1000]));
    }

    #[test]
    fn nobody_waits_beyond_the_end() {
        let (_disk, patient, patience, told) = full();
        let file = patient.create("f").expect("a name takes no room here");
        let waiting = {
            let file = Arc::clone(&file);
            thread::spawn(move || file.write_at(0, &[IoSlice::new(&[7; 1000])]))
        };
        assert_eq!(told.recv_timeout(LONG), Ok(true));
        patience.end();
        assert!(is_full(&waiting.join().expect("no panic")));
        assert!(is_full(&file.write_at(0, &[IoSlice::new(&[7; 1000])])));
    }
}
