//! An open log: how it is opened, and how requests become groups.

use super::error::{Identity, OpenError, WalError};
use super::group::Gathered;
use super::index::LogIndex;
use super::log::Log;
use super::options::{OpenReport, Options, Remembered};
use super::pool::Pool;
use super::reader::WalReader;
use super::recover::{Found, recover};
use super::request::{Completion, Group, Listener, Room, WalRequest};
use super::segment::segment_of;
use super::writer::{Queued, WalWriter, Work};
use crate::disk::Disk;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// A log that is open. Give it to its thread with [`Wal::start`], or drive it by hand with [`Wal::perform`].
pub struct Wal {
    pub(super) log: Log,
    index: Arc<LogIndex>,
}

/// A log, and what it remembers.
pub struct Recovered {
    /// For the engine.
    pub remembered: Remembered,
    /// For people.
    pub report: OpenReport,
    /// To go on with.
    pub wal: Wal,
}

impl Wal {
    /// Opens the log in a directory, or begins one.
    ///
    /// # Errors
    /// [`OpenError`] when there is none, it is another one's, it is corrupt, or the disk fails. Nothing is repaired.
    pub fn open(disk: Arc<dyn Disk>, identity: Identity, options: &Options) -> Result<Recovered, OpenError> {
        let listing = |source| OpenError::Io { doing: "listing", file: "the log".to_owned(), source };
        // A process that was killed between giving a segment its name and syncing it has left a name that only memory
        // has. What is written under it from now on would go with it.
        disk.sync_dir().map_err(listing)?;
        let names = disk.list().map_err(listing)?;
        let mut sequences: Vec<u64> = names.iter().filter_map(|name| segment_of(name)).collect();
        sequences.sort_unstable();
        if sequences.is_empty() && !options.create_if_missing {
            return Err(OpenError::Missing);
        }
        let index = Arc::new(LogIndex::default());
        let found = match sequences[..] {
            [] => None,
            _ => Some(recover(&*disk, identity, &sequences, options.recent_bytes, &index)?),
        };
        let pool = Arc::new(Pool::open(Arc::clone(&disk), options, &names).map_err(listing)?);
        let log = Log::new(disk, identity, options, pool, Arc::clone(&index));
        let wal = Self { log, index };
        match found {
            None => wal.begin().map_err(OpenError::Create),
            Some(found) => Ok(wal.resume(found)),
        }
    }

    fn begin(mut self) -> Result<Recovered, WalError> {
        self.log.begin()?;
        let report = OpenReport { created: true, ..OpenReport::default() };
        Ok(Recovered { remembered: Remembered::default(), report, wal: self })
    }

    fn resume(mut self, found: Found) -> Recovered {
        let state = found.state;
        let remembered = Remembered {
            hard_state: state.hard_state,
            start: state.start,
            terms: state.terms.clone(),
            last: state.last,
            recent: found.recent,
            memberships: state.memberships.clone(),
            commit: state.commit,
        };
        self.log.pool.retire(found.leftover);
        self.log.resume(state, found.segments, found.end, found.chain);
        Recovered { remembered, report: found.report, wal: self }
    }

    /// Reads entries back; goes on working after [`Wal::start`].
    #[must_use]
    pub fn reader(&self) -> WalReader {
        WalReader::new(Arc::clone(&self.index))
    }

    /// Gives the log to its thread, and the files at hand to another.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self, listener: Box<dyn Listener>) -> io::Result<WalWriter> {
        WalWriter::start(self, listener)
    }

    /// Does as the thread does with a queue of these requests, here and now: for a simulation. Waits for nothing.
    ///
    /// # Errors
    /// [`WalError`] when the log cannot go on, or finds no room; nothing after what was reported will be durable then.
    pub fn perform(
        &mut self,
        requests: impl IntoIterator<Item = WalRequest>,
        listener: &mut dyn Listener,
    ) -> Result<(), WalError> {
        let since = Instant::now();
        let queued = |request| Queued { what: Work::Request(request), since };
        let mut work = requests.into_iter().map(queued).collect();
        self.serve(Pending { work: &mut work, listener, wait: &mut |_| false })
    }

    /// Does as the thread that looks after spares and dropped segments: for a simulation.
    ///
    /// # Errors
    /// What the disk says.
    pub fn look_after(&mut self) -> io::Result<Room> {
        self.log.pool.look_after()
    }

    /// Closes a log that has no thread, in good order.
    ///
    /// # Errors
    /// [`WalError`] when the last mark could not be written; the log is then as after a crash.
    pub fn close(mut self) -> Result<(), WalError> {
        self.log.close()
    }

    /// Serves what was queued, in order, with as few writes and syncs as that takes. Where the disk has no room it
    /// waits, as long as `wait` says, and serves what has been queued meanwhile as well.
    pub(super) fn serve(&mut self, mut queue: Pending<'_>) -> Result<(), WalError> {
        while !queue.work.is_empty() {
            self.serve_queued(&mut queue)?;
        }
        Ok(())
    }

    fn serve_queued(&mut self, queue: &mut Pending<'_>) -> Result<(), WalError> {
        let mut group = Waiting::default();
        while let Some(Queued { what, since }) = queue.work.pop_front() {
            match what {
                Work::Request(WalRequest::Persist(persist)) => {
                    if let Err(persist) = group.gathered.take(persist) {
                        self.commit(&mut group, queue)?;
                        group.gathered.take(persist).expect("an empty group takes any request");
                    }
                    group.since.get_or_insert(since);
                }
                Work::Request(WalRequest::Compact { through }) => {
                    self.commit(&mut group, queue)?;
                    let start = self.with_room(queue, |log| log.compact(through))?;
                    start.into_iter().for_each(|start| queue.listener.completed(Completion::Compacted { start }));
                }
                Work::Request(WalRequest::Reset { start, membership }) => {
                    self.commit(&mut group, queue)?;
                    self.with_room(queue, |log| log.reset(start, membership.clone()))?;
                    queue.listener.completed(Completion::Reset { start });
                }
                Work::Room(room) => queue.listener.completed(Completion::Room(room)),
            }
        }
        self.commit(&mut group, queue)
    }

    /// Makes a group durable and reports it; an empty one is nothing.
    fn commit(&mut self, waiting: &mut Waiting, queue: &mut Pending<'_>) -> Result<(), WalError> {
        let Waiting { gathered, since } = std::mem::take(waiting);
        let Some(since) = since else { return Ok(()) };
        let taken = Instant::now();
        // Nothing to write is durable already: everything before it has been synced.
        let bytes = if gathered.is_empty() { 0 } else { self.with_room(queue, |log| log.write(&gathered))? };
        let written = Instant::now();
        if bytes > 0 {
            self.log.sync()?;
        }
        let group = Group {
            persists: gathered.persists,
            entries: gathered.entries,
            bytes,
            queued: taken.saturating_duration_since(since),
            write: written - taken,
            sync: written.elapsed(),
        };
        queue.listener.completed(Completion::Persisted { io: gathered.io, group });
        Ok(())
    }

    /// Tries until there is room.
    fn with_room<T>(
        &mut self,
        queue: &mut Pending<'_>,
        attempt: impl Fn(&mut Log) -> Result<T, WalError>,
    ) -> Result<T, WalError> {
        loop {
            match attempt(&mut self.log) {
                Err(WalError::DiskFull) if (queue.wait)(queue.work) => self.do_what_cannot_wait(queue)?,
                tried => return tried,
            }
        }
    }

    /// Does what gives room, or tells of it, before what waits for room: behind it, the leader would never hear that
    /// the disk is full, and the segments that nobody needs would stay. Not across a reset, which they may follow from.
    fn do_what_cannot_wait(&mut self, queue: &mut Pending<'_>) -> Result<(), WalError> {
        let is_reset = |queued: &Queued| matches!(queued.what, Work::Request(WalRequest::Reset { .. }));
        let before_reset = queue.work.iter().position(is_reset).unwrap_or(queue.work.len());
        let behind = queue.work.split_off(before_reset);
        let mut cut = None;
        queue.work.retain(|queued| match &queued.what {
            Work::Room(room) => {
                queue.listener.completed(Completion::Room(*room));
                false
            }
            Work::Request(WalRequest::Compact { through }) => {
                cut = cut.max(Some(*through));
                false
            }
            Work::Request(_) => true,
        });
        queue.work.extend(behind);
        let Some(through) = cut else { return Ok(()) };
        match self.log.compact(through) {
            Ok(start) => start.into_iter().for_each(|start| queue.listener.completed(Completion::Compacted { start })),
            Err(WalError::DiskFull) => {
                let again = Work::Request(WalRequest::Compact { through });
                queue.work.push_front(Queued { what: again, since: Instant::now() });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What is queued, and whom to tell what becomes of it.
pub(super) struct Pending<'q> {
    pub(super) work: &'q mut VecDeque<Queued>,
    pub(super) listener: &'q mut dyn Listener,
    /// Waits a moment for room, and adds what has been queued meanwhile. Says whether to try again.
    pub(super) wait: &'q mut dyn FnMut(&mut VecDeque<Queued>) -> bool,
}

/// A group that is being gathered, and since when its first request was queued.
#[derive(Default)]
struct Waiting {
    gathered: Gathered,
    since: Option<Instant>,
}
