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

    /// Does as the thread does with a queue of these requests, here and now: for a simulation.
    ///
    /// # Errors
    /// [`WalError`] when the log cannot go on; nothing after what was reported will be durable then.
    pub fn perform(
        &mut self,
        requests: impl IntoIterator<Item = WalRequest>,
        listener: &mut dyn Listener,
    ) -> Result<(), WalError> {
        let since = Instant::now();
        self.serve(requests.into_iter().map(|request| Queued { what: Work::Request(request), since }), listener)
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

    /// Serves what was queued, in order, with as few writes and syncs as that takes.
    pub(super) fn serve(
        &mut self,
        work: impl IntoIterator<Item = Queued>,
        listener: &mut dyn Listener,
    ) -> Result<(), WalError> {
        let mut group = Waiting::default();
        for Queued { what, since } in work {
            match what {
                Work::Request(WalRequest::Persist(persist)) => {
                    if let Err(persist) = group.gathered.take(persist) {
                        self.commit(&mut group, listener)?;
                        group.gathered.take(persist).expect("an empty group takes any request");
                    }
                    group.since.get_or_insert(since);
                }
                Work::Request(WalRequest::Compact { through }) => {
                    self.commit(&mut group, listener)?;
                    if let Some(start) = self.log.compact(through)? {
                        listener.completed(Completion::Compacted { start });
                    }
                }
                Work::Request(WalRequest::Reset { start, membership }) => {
                    self.commit(&mut group, listener)?;
                    self.log.reset(start, membership)?;
                    listener.completed(Completion::Reset { start });
                }
                Work::Room(room) => listener.completed(Completion::Room(room)),
            }
        }
        self.commit(&mut group, listener)
    }

    /// Makes a group durable and reports it; an empty one is nothing.
    fn commit(&mut self, waiting: &mut Waiting, listener: &mut dyn Listener) -> Result<(), WalError> {
        let Waiting { gathered, since } = std::mem::take(waiting);
        let Some(since) = since else { return Ok(()) };
        let taken = Instant::now();
        // Nothing to write is durable already: everything before it has been synced.
        let bytes = if gathered.is_empty() { 0 } else { self.log.write(&gathered)? };
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
        listener.completed(Completion::Persisted { io: gathered.io, group });
        Ok(())
    }
}

/// A group that is being gathered, and since when its first request was queued.
#[derive(Default)]
struct Waiting {
    gathered: Gathered,
    since: Option<Instant>,
}
