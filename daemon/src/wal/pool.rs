//! Files at hand: segments written full of zeros before they are needed, segments that are not needed any more, and
//! the ballast that is given up when the disk is full.
//!
//! ```text
//!   spare-N.new   being written      spare-N   ready      ballast   ready to be given up
//! ```
//!
//! * Overwriting blocks that were written before costs a sync much less than making a file longer.
//! * A spare becomes a segment under its new name only with a durable header in it.
//! * A dropped segment becomes a spare only after nothing reads it any more, and its content is overwritten only after
//!   its old name is durably gone: otherwise a crash could bring the old name back with the new content.

use super::options::Options;
use super::request::Room;
use super::segment::Segment;
use crate::disk::{Disk, File, is_full};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

const SPARE_PREFIX: &str = "spare-";
const UNFINISHED_SUFFIX: &str = ".new";
const BALLAST: &str = "ballast";

/// Zeros are written and synced in pieces of this size, so that the log's own syncs never wait behind more than one.
const ZEROS_BYTES: usize = 1 << 20;
/// And with such a pause between them: a segment of zeros then takes about a second, and most of the disk's time is
/// left to the log. Segments fill up ten times slower than that even under load.
const PAUSE: Duration = Duration::from_millis(10);
/// How soon a full disk, or a segment that is still being read, is looked at again.
const RETRY: Duration = Duration::from_millis(500);

/// The files that are no segments of the log.
pub(super) struct Pool {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    spares_wanted: usize,
    ballast_bytes: u64,
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    ready: VecDeque<String>,
    retired: Vec<Arc<Segment>>,
    ballast: bool,
    last_number: u64,
    /// Something has changed since the files were looked after.
    changed: bool,
    stopping: bool,
    /// Zeros may take their time, because a thread of their own writes them.
    unhurried: bool,
}

impl Pool {
    /// Takes up the files an earlier process has left. Unfinished ones go.
    pub(super) fn open(disk: Arc<dyn Disk>, options: &Options, names: &[String]) -> io::Result<Self> {
        let mut inner = Inner { changed: true, ..Inner::default() };
        for name in names {
            if name.ends_with(UNFINISHED_SUFFIX) {
                disk.remove(name)?;
            } else if let Some(number) = name.strip_prefix(SPARE_PREFIX).and_then(|number| number.parse().ok()) {
                inner.last_number = inner.last_number.max(number);
                inner.ready.push_back(name.clone());
            } else if name == BALLAST {
                inner.ballast = true;
            }
        }
        Ok(Self {
            disk,
            segment_bytes: options.segment_bytes,
            spares_wanted: options.spare_segments,
            ballast_bytes: options.ballast_bytes,
            inner: Mutex::new(inner),
            wake: Condvar::new(),
        })
    }

    /// A file to make a segment of: one that is ready, or else a new, empty one.
    pub(super) fn take(&self) -> io::Result<(String, Arc<dyn File>)> {
        let ready = {
            let mut inner = self.lock();
            inner.changed = true;
            inner.ready.pop_front()
        };
        self.wake.notify_one();
        let name = match ready {
            Some(name) => return self.disk.open(&name).map(|file| (name, file)),
            None => self.next_name() + UNFINISHED_SUFFIX,
        };
        self.disk.create(&name).map(|file| (name, file))
    }

    /// Takes over segments that are not part of the log any more.
    pub(super) fn retire(&self, segments: impl IntoIterator<Item = Arc<Segment>>) {
        let mut inner = self.lock();
        inner.retired.extend(segments);
        inner.changed = true;
        self.wake.notify_one();
    }

    /// Frees the ballast. Says whether there was any.
    pub(super) fn give_up_ballast(&self) -> io::Result<bool> {
        if !std::mem::take(&mut self.lock().ballast) {
            return Ok(false);
        }
        self.disk.remove(BALLAST).map(|()| true)
    }

    /// Brings the files to what is wanted of them, as far as the disk has room.
    pub(super) fn look_after(&self) -> io::Result<Room> {
        self.lock().changed = false;
        let looked_after = self.recycle().and_then(|()| self.refill());
        if is_full(&looked_after) { Ok(Room::Low) } else { looked_after.map(|()| Room::Enough) }
    }

    /// From now on files are looked after by a thread that does nothing else.
    pub(super) fn take_time(&self) {
        self.lock().unhurried = true;
    }

    /// Waits until there may be something to look after. Says whether to go on.
    pub(super) fn wait(&self, again_soon: bool) -> bool {
        let mut inner = self.lock();
        if again_soon || !inner.retired.is_empty() {
            let waited = self.wake.wait_timeout_while(inner, RETRY, |inner| !inner.stopping && !inner.changed);
            inner = waited.expect("nothing panics while it holds the pool").0;
        } else {
            let waited = self.wake.wait_while(inner, |inner| !inner.stopping && !inner.changed);
            inner = waited.expect("nothing panics while it holds the pool");
        }
        !inner.stopping
    }

    /// Ends [`Pool::wait`].
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.wake.notify_all();
    }

    /// Hands the files of dropped segments on, oldest first, as far as nobody reads them.
    fn recycle(&self) -> io::Result<()> {
        let (free, pinned): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lock().retired).into_iter().partition(|segment| Arc::strong_count(segment) == 1);
        self.lock().retired.extend(pinned);
        if free.is_empty() {
            return Ok(());
        }
        let mut renamed = Vec::new();
        for segment in free {
            if self.lock().ready.len() + renamed.len() < self.spares_wanted {
                let name = self.next_name();
                self.disk.rename(&segment.name(), &name)?;
                renamed.push(name);
            } else {
                self.disk.remove(&segment.name())?;
            }
        }
        self.disk.sync_dir()?;
        self.lock().ready.extend(renamed);
        Ok(())
    }

    /// The ballast first: it is what lets a full disk be left again.
    fn refill(&self) -> io::Result<()> {
        if !self.lock().ballast && self.ballast_bytes > 0 {
            self.write_zeros(BALLAST, self.ballast_bytes)?;
            self.lock().ballast = true;
        }
        while self.lock().ready.len() < self.spares_wanted {
            let name = self.next_name();
            self.write_zeros(&name, self.segment_bytes)?;
            self.lock().ready.push_back(name);
        }
        Ok(())
    }

    /// Makes one spare now.
    pub(super) fn prepare_one(&self) -> io::Result<()> {
        let name = self.next_name();
        self.write_zeros(&name, self.segment_bytes)?;
        self.lock().ready.push_back(name);
        Ok(())
    }

    /// A file of zeros under its name, or none.
    fn write_zeros(&self, name: &str, bytes: u64) -> io::Result<()> {
        let unfinished = format!("{name}{UNFINISHED_SUFFIX}");
        let file = self.disk.create(&unfinished)?;
        if let Err(error) = self.fill(&*file, bytes) {
            self.disk.remove(&unfinished)?;
            return Err(error);
        }
        self.disk.rename(&unfinished, name)?;
        self.disk.sync_dir()
    }

    fn fill(&self, file: &dyn File, bytes: u64) -> io::Result<()> {
        let piece_of = |left: u64| usize::try_from(left).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
        let zeros = vec![0; piece_of(bytes)];
        let mut at = 0;
        while at < bytes {
            let piece = piece_of(bytes - at);
            file.write_at(at, &[IoSlice::new(&zeros[..piece])])?;
            file.sync()?;
            at += piece as u64;
            self.pause()?;
        }
        Ok(())
    }

    /// Leaves the disk to others for a moment, and ends the work when it is not wanted any more.
    fn pause(&self) -> io::Result<()> {
        let inner = self.lock();
        if !inner.unhurried {
            return Ok(());
        }
        let waited = self.wake.wait_timeout_while(inner, PAUSE, |inner| !inner.stopping);
        match waited.expect("nothing panics while it holds the pool").0.stopping {
            true => Err(io::Error::from(io::ErrorKind::Interrupted)),
            false => Ok(()),
        }
    }

    fn next_name(&self) -> String {
        let mut inner = self.lock();
        inner.last_number += 1;
        format!("{SPARE_PREFIX}{:016}", inner.last_number)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the pool")
    }
}
