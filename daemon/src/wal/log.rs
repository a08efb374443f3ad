//! The log as its one writer sees it: batches into the current segment, new segments, compaction. No thread, no clock.
//!
//! The order of effects that everything rests on:
//!
//! * A batch is synced before the next one is written. So at most one batch is ever in doubt, the last one.
//! * A segment's header is durable before the segment gets its name, and its name before its first batch is written.
//!   All batches of the segment before it are durable by then.
//! * The mark that a segment is not needed is durable before the segment is handed on.

use super::batch::{BatchWriter, Place, SECTOR_BYTES, batch_bytes};
use super::control::Control;
use super::error::{Identity, WalError};
use super::group::Gathered;
use super::header::{HEADER_BYTES, Header};
use super::index::LogIndex;
use super::options::Options;
use super::pool::Pool;
use super::segment::{Segment, segment_name};
use super::state::LogState;
use crate::disk::{Disk, File, is_full};
use bytes::Bytes;
use raft::planted::{Bug, is_planted};
use raft::{Entry, Index, LogId};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Writes up to this size may use the ballast when the disk is full: term, vote, marks, the first entry of a term.
const SMALL_WRITE_BYTES: u64 = 64 << 10;

/// The log and where it goes on.
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    identity: Identity,
    segment_bytes: u64,
    salt_seed: u64,
    pub(super) pool: Arc<Pool>,
    index: Arc<LogIndex>,
    state: LogState,
    /// Every segment, ascending; batches go to the last one.
    segments: VecDeque<Arc<Segment>>,
    /// Where the next batch goes.
    end: u64,
    /// The last chain value.
    chain: u32,
    /// What the disk knows of `state.commit`.
    commit_written: Index,
    batch: BatchWriter,
    failed: bool,
}

impl Log {
    /// A log that has no segment yet.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: &Options,
        pool: Arc<Pool>,
        index: Arc<LogIndex>,
    ) -> Self {
        Self {
            disk,
            identity,
            segment_bytes: options.segment_bytes,
            salt_seed: options.salt_seed,
            pool,
            index,
            state: LogState::default(),
            segments: VecDeque::new(),
            end: 0,
            chain: 0,
            commit_written: Index::ZERO,
            batch: BatchWriter::default(),
            failed: false,
        }
    }

    /// Begins the first segment. One of full length is written before, so that the first minutes of a member are as
    /// fast as the later ones.
    pub(super) fn begin(&mut self) -> Result<(), WalError> {
        let prepared = self.pool.prepare_one();
        self.or_full("preparing", prepared)?;
        self.put(&[], &[])?;
        self.sync()
    }

    /// Goes on where recovery has found the end.
    pub(super) fn resume(&mut self, state: LogState, segments: VecDeque<Arc<Segment>>, end: u64, chain: u32) {
        assert!(!segments.is_empty(), "a log that was found has a segment");
        (self.commit_written, self.state, self.segments) = (state.commit, state, segments);
        (self.end, self.chain) = (end, chain);
    }

    /// Writes a group, as one batch. Not durable before [`Log::sync`].
    pub(super) fn write(&mut self, group: &Gathered) -> Result<u64, WalError> {
        self.refuse_after_failure()?;
        let follows = self.state.follows(group.truncate_from, group.appends.iter().flatten());
        assert!(follows, "what is written follows the log: {group:?} after {}", self.state.last);
        let mut controls = Vec::new();
        controls.extend(group.hard_state.map(Control::HardState));
        controls.extend(group.truncate_from.map(Control::TruncateFrom));
        self.state.commit = self.state.commit.max(group.commit);
        self.put(&controls, &group.appends)
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), WalError> {
        self.refuse_after_failure()?;
        let mut synced = self.current().file.sync();
        if synced.is_err() && is_planted(Bug::SyncRetried) {
            synced = self.current().file.sync();
        }
        self.or_fail("syncing", synced)
    }

    /// Drops the segments whose entries are all at or below `through`. Answers with the new start, if there is one.
    pub(super) fn compact(&mut self, through: Index) -> Result<Option<LogId>, WalError> {
        let keep = through.next().min(self.state.last.index);
        let Some((first_segment, before)) = self.index.segment_start(keep) else { return Ok(None) };
        if before <= self.state.start.index {
            return Ok(None);
        }
        let start = self.state.id_at(before).expect("what the index holds is in the log");
        if is_planted(Bug::PurgeBeforeMark) {
            self.index.compact(start.index, first_segment);
            self.drop_before(first_segment);
            self.pool.look_after().ok();
        }
        self.put(&[Control::Start { start, first_segment }], &[])?;
        self.sync()?;
        self.drop_before(first_segment);
        Ok(Some(start))
    }

    /// Drops every entry, unless the log reaches `start`.
    pub(super) fn reset(&mut self, start: LogId, membership: Option<(Index, Bytes)>) -> Result<(), WalError> {
        if self.state.reaches(start) {
            return Ok(());
        }
        // The segment is known only once there is room for the mark in it.
        let room = membership.as_ref().map_or(0, |(_, bytes)| bytes.len()) + 64;
        self.make_room(room, 0)?;
        let first_segment = self.current().sequence;
        self.put(&[Control::Reset { start, first_segment, membership }], &[])?;
        self.sync()?;
        self.drop_before(first_segment);
        Ok(())
    }

    /// Leaves a sign that everything before it has been durable.
    pub(super) fn close(&mut self) -> Result<(), WalError> {
        self.put(&[Control::Closed], &[])?;
        self.sync()
    }

    /// Writes one batch, into a new segment if it does not fit.
    fn put(&mut self, controls: &[Control], appends: &[Vec<Entry>]) -> Result<u64, WalError> {
        self.refuse_after_failure()?;
        let records: usize = appends.iter().flatten().map(|entry| entry.record().len()).sum();
        let encoded =
            controls.iter().map(encoded_bytes).sum::<usize>() + encoded_bytes(&Control::CommitHint(Index::ZERO));
        self.make_room(encoded, records)?;
        self.batch.begin(Place { salt: self.current().salt, offset: self.end, previous: self.chain });
        if self.end == HEADER_BYTES as u64 {
            self.batch.control(&self.checkpoint());
        }
        if self.state.commit > self.commit_written {
            self.batch.control(&Control::CommitHint(self.state.commit));
        }
        controls.iter().for_each(|control| self.batch.control(control));
        appends.iter().flatten().for_each(|entry| self.batch.entry(entry));
        let written = self.write_batch(batch_bytes(encoded, records) <= SMALL_WRITE_BYTES)?;
        self.commit_written = self.commit_written.max(self.state.commit);
        controls.iter().for_each(|control| self.note(control));
        self.note_entries(appends, written);
        Ok(written)
    }

    /// Writes the batch that has been put together and moves on behind it.
    fn write_batch(&mut self, small: bool) -> Result<u64, WalError> {
        let sealed = self.batch.seal();
        let file = Arc::clone(&self.current().file);
        let mut written = file.write_at(self.end, &self.batch.parts());
        if is_full(&written) && small && self.give_up_ballast()? {
            written = file.write_at(self.end, &self.batch.parts());
        }
        if is_full(&written) && is_planted(Bug::GapLeft) {
            self.end += SECTOR_BYTES;
        }
        self.or_full("writing", written)?;
        let bytes = sealed.end - self.end;
        (self.end, self.chain) = (sealed.end, sealed.chain);
        Ok(bytes)
    }

    /// What a control record means for what is kept in memory.
    fn note(&mut self, control: &Control) {
        self.state.apply(control).expect("the writer writes what follows from its own state");
        match control {
            Control::TruncateFrom(from) => self.index.truncate_from(*from),
            Control::Reset { start, .. } => self.index.reset(start.index),
            Control::Start { start, first_segment } => self.index.compact(start.index, *first_segment),
            Control::Checkpoint { .. } | Control::HardState(_) | Control::CommitHint(_) | Control::Closed => {}
        }
    }

    /// The same for the entries of the batch that ends here.
    fn note_entries(&mut self, appends: &[Vec<Entry>], bytes: u64) {
        let mut entries = appends.iter().flatten();
        let Some(first) = entries.clone().next().map(Entry::index) else { return };
        for entry in &mut entries {
            self.state.append(entry).expect("entries follow each other");
        }
        let segment = self.segments.back().expect("a log has a segment");
        self.index.append(segment, self.end - bytes, bytes, first, self.state.last.index);
    }

    /// Begins a segment if a batch does not fit into this one. One that is larger than any segment gets one of its own.
    fn make_room(&mut self, controls: usize, records: usize) -> Result<(), WalError> {
        let needed = batch_bytes(controls, records);
        let fits = self.end + needed <= self.segment_bytes || self.end == HEADER_BYTES as u64;
        if self.segments.is_empty() || !fits { self.begin_segment(needed <= SMALL_WRITE_BYTES) } else { Ok(()) }
    }

    fn begin_segment(&mut self, small: bool) -> Result<(), WalError> {
        self.refuse_after_failure()?;
        let mut begun = self.try_begin_segment();
        if is_full(&begun) && small && self.give_up_ballast()? {
            begun = self.try_begin_segment();
        }
        let (segment, chain) = self.or_full("beginning a segment after", begun)?;
        self.segments.push_back(Arc::new(segment));
        (self.end, self.chain) = (HEADER_BYTES as u64, chain);
        Ok(())
    }

    fn try_begin_segment(&self) -> io::Result<(Segment, u32)> {
        let sequence = self.segments.back().map_or(1, |segment| segment.sequence + 1);
        let salt = salt(self.salt_seed, sequence);
        let (name, file) = self.pool.take()?;
        let header = Header {
            identity: self.identity,
            sequence,
            salt,
            base: self.state.last,
            previous_end: self.end,
            previous_chain: self.chain,
            length: file.size()?,
        };
        let (bytes, chain) = header.encode();
        let named = write_header(&*file, &bytes).and_then(|()| self.disk.rename(&name, &segment_name(sequence)));
        if let Err(error) = named {
            // What is left of it is removed at the next start, if not now.
            self.disk.remove(&name).ok();
            return Err(error);
        }
        if !is_planted(Bug::NameNotSynced) {
            // The name is there already: this is no lack of room that another attempt finds as it was.
            self.disk.sync_dir().map_err(io::Error::other)?;
        }
        Ok((Segment { sequence, salt, file }, chain))
    }

    fn drop_before(&mut self, first_segment: u64) {
        let gone = self.segments.partition_point(|segment| segment.sequence < first_segment);
        self.pool.retire(self.segments.drain(..gone));
    }

    fn checkpoint(&self) -> Control {
        let first_segment = self.segments.front().expect("a log has a segment").sequence;
        Control::Checkpoint { first_segment, state: self.state.clone() }
    }

    fn current(&self) -> &Segment {
        self.segments.back().expect("a log has a segment")
    }

    fn give_up_ballast(&mut self) -> Result<bool, WalError> {
        let given_up = self.pool.give_up_ballast();
        self.or_fail("giving up the ballast for", given_up)
    }

    fn refuse_after_failure(&self) -> Result<(), WalError> {
        if self.failed { Err(WalError::Poisoned) } else { Ok(()) }
    }

    /// After any failure the log is in doubt, and nothing is tried again: a second sync can succeed without the bytes
    /// that the first one lost.
    fn or_fail<T>(&mut self, doing: &'static str, result: io::Result<T>) -> Result<T, WalError> {
        self.failed |= result.is_err();
        result.map_err(|source| {
            let file = self.segments.back().map_or_else(|| segment_name(1), |segment| segment.name());
            WalError::Io { doing, file, source }
        })
    }

    /// The same for what is not synced yet. Lack of room leaves the log as it was: nothing counts that lies behind its
    /// end, and the next attempt writes there again.
    fn or_full<T>(&mut self, doing: &'static str, result: io::Result<T>) -> Result<T, WalError> {
        if is_full(&result) { Err(WalError::DiskFull) } else { self.or_fail(doing, result) }
    }
}

fn write_header(file: &dyn File, bytes: &[u8]) -> io::Result<()> {
    file.write_at(0, &[IoSlice::new(bytes)])?;
    file.sync()
}

fn encoded_bytes(control: &Control) -> usize {
    let mut out = Vec::new();
    control.encode(&mut out);
    out.len()
}

/// A number of its own for each segment of each start (SplitMix64).
fn salt(seed: u64, sequence: u64) -> u64 {
    let mut mixed = seed.wrapping_add(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
