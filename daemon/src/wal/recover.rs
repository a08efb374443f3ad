//! Reading the log back after a stop of any kind.
//!
//! * Needed are the segments from the one the last mark names to the last there is, without a gap.
//! * Each is read from front to back. The segment after it says where it must end, and how; in the last one the first
//!   place without a sound batch is the end.
//! * If a sound batch stands behind that place, the place is corrupt: a batch is only written when the one before it is
//!   durable. Otherwise it is a write that never finished, which nobody was told about; it is cut off.
//! * What cannot be told from an unfinished write is damage to the very last batch; an orderly stop puts another behind.
//! * The last segment is synced and dropped from memory before it is read: what is believed here is on the disk.

use super::batch::{Batch, SECTOR_BYTES};
use super::control::Control;
use super::error::{Identity, OpenError, Problem};
use super::header::{FORMAT_VERSION, HEADER_BYTES, Header, HeaderError};
use super::index::LogIndex;
use super::options::{OpenReport, TornTail};
use super::segment::{Scan, Segment, segment_name};
use super::state::LogState;
use crate::disk::Disk;
use raft::planted::{Bug, is_planted};
use raft::{Entry, Index, LogId};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// What was found.
pub(super) struct Found {
    pub(super) state: LogState,
    /// The segments of the log, ascending.
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// Segments that had been dropped and not handed on yet.
    pub(super) leftover: Vec<Arc<Segment>>,
    /// Where the next batch goes, and the chain it continues.
    pub(super) end: u64,
    pub(super) chain: u32,
    pub(super) recent: Vec<Entry>,
    pub(super) report: OpenReport,
}

/// A segment that has been opened, not read.
pub(super) struct Opened {
    segment: Arc<Segment>,
    header: Header,
    chain: u32,
}

/// Reads the log in these segments, of which there is one at least; `sequences` ascend.
pub(super) fn recover(
    disk: &dyn Disk,
    identity: Identity,
    sequences: &[u64],
    recent_bytes: u64,
    index: &LogIndex,
) -> Result<Found, OpenError> {
    let (leftover, needed) = split_at_gap(sequences);
    let opened =
        needed.iter().map(|&sequence| open_segment(disk, identity, sequence)).collect::<Result<Vec<_>, _>>()?;
    let mut reading = Reading::new(index, recent_bytes);
    let (mut end, mut chain) = (0, 0);
    for (nth, this) in opened.iter().enumerate() {
        let next = opened.get(nth + 1).map(|next| &next.header);
        (end, chain) = reading.segment(this, next)?;
    }
    let mut found = reading.finish(opened.into_iter().map(|opened| opened.segment).collect(), end, chain)?;
    if found.report.cut.is_some() {
        let last = found.segments.back().expect("the last segment is always needed");
        cut(last, end).map_err(|source| io("cutting", last.name(), source))?;
    }
    for &sequence in leftover {
        let name = segment_name(sequence);
        let file = disk.open(&name).map_err(|source| io("opening", name, source))?;
        found.leftover.push(Arc::new(Segment { sequence, salt: 0, file }));
    }
    Ok(found)
}

/// Splits off what stands before the last gap: leftovers of a compaction that a crash has interrupted, unless the log
/// turns out to need what is missing.
fn split_at_gap(sequences: &[u64]) -> (&[u64], &[u64]) {
    let gap = sequences.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    sequences.split_at(gap.map_or(0, |at| at + 1))
}

pub(super) fn open_segment(disk: &dyn Disk, identity: Identity, sequence: u64) -> Result<Opened, OpenError> {
    let name = segment_name(sequence);
    let file = disk.open(&name).map_err(|source| io("opening", name.clone(), source))?;
    let mut bytes = vec![0; HEADER_BYTES];
    let read = file.read_at(0, &mut bytes).map_err(|source| io("reading", name.clone(), source))?;
    let corrupt = |problem| OpenError::Corrupt { file: name.clone(), offset: 0, after: LogId::ZERO, problem };
    let (header, chain) = Header::decode(&bytes[..read]).map_err(|error| match error {
        HeaderError::Version(version) => OpenError::Version { file: name.clone(), version, ours: FORMAT_VERSION },
        HeaderError::Broken => corrupt(Problem::Header),
    })?;
    if header.identity != identity {
        return Err(OpenError::Foreign { file: name, found: header.identity, expected: identity });
    }
    if header.sequence != sequence {
        return Err(corrupt(Problem::Misnamed { found: header.sequence }));
    }
    Ok(Opened { segment: Arc::new(Segment { sequence, salt: header.salt, file }), header, chain })
}

/// Takes away the beginning of an unfinished write, so that it stays cut.
fn cut(last: &Segment, end: u64) -> io::Result<()> {
    last.file.write_at(end, &[IoSlice::new(&[0; SECTOR_BYTES as usize])])?;
    last.file.sync()
}

fn io(doing: &'static str, file: String, source: io::Error) -> OpenError {
    OpenError::Io { doing, file, source }
}

/// What has been read so far.
struct Reading<'a> {
    index: &'a LogIndex,
    /// None before the first checkpoint.
    state: Option<LogState>,
    first_segment: u64,
    recent: Recent,
    report: OpenReport,
}

impl<'a> Reading<'a> {
    fn new(index: &'a LogIndex, recent_bytes: u64) -> Self {
        Self {
            index,
            state: None,
            first_segment: 0,
            recent: Recent { entries: VecDeque::new(), bytes: 0, bytes_max: recent_bytes },
            report: OpenReport::default(),
        }
    }

    /// Reads one segment. Answers with the place of its end and the last chain value.
    fn segment(&mut self, this: &Opened, next: Option<&Header>) -> Result<(u64, u32), OpenError> {
        let reading = |source| io("reading", this.segment.name(), source);
        if next.is_none() {
            this.segment.file.sync().and_then(|()| this.segment.file.drop_cache()).map_err(reading)?;
        }
        let mut scan = Scan::new(Arc::clone(&this.segment)).map_err(reading)?;
        let (expected, found) = (this.header.length, scan.size());
        if found < expected {
            return Err(self.corrupt(this, found, Problem::Shortened { expected, found }));
        }
        let (mut at, mut chain) = (HEADER_BYTES as u64, this.chain);
        self.report.segments += 1;
        while next.is_none_or(|next| at < next.previous_end) {
            let batch = scan.batch(at).map_err(reading)?.and_then(|batch| follows(batch, chain));
            let taken = batch.and_then(|batch| self.batch(&this.segment, at, batch));
            match taken {
                Ok((end, crc)) => (at, chain) = (end, crc),
                Err(problem) if next.is_none() && is_unsound(&problem) => {
                    self.last_end(&mut scan, this, at, problem).map_err(reading)??;
                    return Ok((at, chain));
                }
                Err(problem) => return Err(self.corrupt(this, at, problem)),
            }
        }
        match next {
            Some(next) if (next.previous_end, next.previous_chain) != (at, chain) => {
                let problem = Problem::SegmentEnd { expected: next.previous_end, found: at };
                Err(self.corrupt(this, at, problem))
            }
            _ => Ok((at, chain)),
        }
    }

    /// Decides what a place without a sound batch in the last segment is.
    fn last_end(
        &mut self,
        scan: &mut Scan,
        this: &Opened,
        at: u64,
        problem: Problem,
    ) -> io::Result<Result<(), OpenError>> {
        if scan.next_sound(at)?.is_some() && !is_planted(Bug::CutAnywhere) {
            return Ok(Err(self.corrupt(this, at, problem)));
        }
        // Where the writer had not been yet, there are zeros, or what an earlier life of the file has left.
        if !matches!(problem, Problem::NoBatch | Problem::Ends) {
            self.report.cut = Some(TornTail { segment: this.segment.sequence, offset: at, problem });
        }
        Ok(Ok(()))
    }

    /// Takes up one batch. Answers with the place of its end and its chain value.
    fn batch(&mut self, segment: &Arc<Segment>, at: u64, batch: Batch) -> Result<(u64, u32), Problem> {
        self.report.closed = false;
        for control in &batch.controls {
            self.control(control)?;
        }
        let state = self.state.as_mut().ok_or(Problem::NoCheckpoint)?;
        for entry in &batch.entries {
            state.append(entry)?;
        }
        if let (Some(first), Some(last)) = (batch.entries.first(), batch.entries.last()) {
            self.index.append(segment, at, batch.header.end() - at, first.index(), last.index());
        }
        self.report.batches += 1;
        self.report.entries += batch.entries.len() as u64;
        self.report.bytes += batch.header.end() - at;
        self.recent.extend(batch.entries);
        Ok((batch.header.end(), batch.header.crc))
    }

    fn control(&mut self, control: &Control) -> Result<(), Problem> {
        match control {
            Control::Checkpoint { first_segment, state } => {
                if self.state.is_some() && *first_segment != self.first_segment {
                    return Err(Problem::Checkpoint);
                }
                self.first_segment = *first_segment;
                if self.state.is_none() {
                    if !state.is_sound() {
                        return Err(Problem::Contradiction);
                    }
                    self.index.reset(state.start.index);
                    self.state = Some(state.clone());
                }
            }
            Control::TruncateFrom(from) => {
                self.index.truncate_from(*from);
                self.recent.retain(|at| at < *from);
            }
            Control::Start { start, first_segment } => {
                self.index.compact(start.index, *first_segment);
                self.recent.retain(|at| at > start.index);
                self.first_segment = *first_segment;
            }
            Control::Reset { start, first_segment, .. } => {
                self.index.reset(start.index);
                self.recent.retain(|_| false);
                self.first_segment = *first_segment;
            }
            Control::Closed => self.report.closed = true,
            Control::HardState(_) | Control::CommitHint(_) => {}
        }
        self.state.as_mut().ok_or(Problem::NoCheckpoint)?.apply(control)
    }

    fn finish(mut self, mut segments: VecDeque<Arc<Segment>>, end: u64, chain: u32) -> Result<Found, OpenError> {
        let (oldest, last) = (segments[0].sequence, segments[segments.len() - 1].sequence);
        // The very first segment may have been named and not written to yet; any other follows a checkpoint.
        if self.state.is_none() && oldest > 1 {
            return Err(OpenError::MissingSegment { missing: oldest - 1, first: oldest - 1, last });
        }
        let state = self.state.take().unwrap_or_default();
        if self.first_segment != 0 && self.first_segment < oldest {
            return Err(OpenError::MissingSegment { missing: oldest - 1, first: self.first_segment, last });
        }
        if self.first_segment > last {
            return Err(OpenError::MissingSegment { missing: last + 1, first: self.first_segment, last });
        }
        if let Some(first) = first_lost(&state, self.index) {
            let file = segments[segments.len() - 1].name();
            return Err(OpenError::Corrupt { file, offset: end, after: state.last, problem: Problem::Lost { first } });
        }
        let gone = segments.partition_point(|segment| segment.sequence < self.first_segment);
        let leftover = segments.drain(..gone).collect();
        Ok(Found { state, segments, leftover, end, chain, recent: self.recent.entries.into(), report: self.report })
    }

    fn corrupt(&self, this: &Opened, offset: u64, problem: Problem) -> OpenError {
        let after = self.state.as_ref().map_or(LogId::ZERO, |state| state.last);
        OpenError::Corrupt { file: this.segment.name(), offset, after, problem }
    }
}

/// The end of the log, as far as it is wanted in memory.
struct Recent {
    entries: VecDeque<Entry>,
    bytes: u64,
    bytes_max: u64,
}

impl Recent {
    fn extend(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.bytes += entry.bytes();
            self.entries.push_back(entry);
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
    }

    fn retain(&mut self, wanted: impl Fn(Index) -> bool) {
        self.entries.retain(|entry| wanted(entry.index()));
        self.bytes = self.entries.iter().map(Entry::bytes).sum();
    }
}

fn follows(batch: Batch, chain: u32) -> Result<Batch, Problem> {
    if batch.header.previous == chain {
        Ok(batch)
    } else {
        Err(Problem::Chain { stored: batch.header.previous, expected: chain })
    }
}

/// Whether this is a batch that is not whole, and not one that is whole and wrong.
fn is_unsound(problem: &Problem) -> bool {
    match problem {
        Problem::Ends
        | Problem::NoBatch
        | Problem::BatchChecksum { .. }
        | Problem::Lengths
        | Problem::Record { .. } => true,
        Problem::Chain { .. }
        | Problem::Control { .. }
        | Problem::ControlShort
        | Problem::Header
        | Problem::Misnamed { .. }
        | Problem::SegmentEnd { .. }
        | Problem::Shortened { .. }
        | Problem::Gap { .. }
        | Problem::Checkpoint
        | Problem::Contradiction
        | Problem::NoCheckpoint
        | Problem::Lost { .. } => false,
    }
}

/// The first entry that should be there and stands nowhere.
fn first_lost(state: &LogState, index: &LogIndex) -> Option<Index> {
    let (first, last) = (state.start.index.next(), state.last.index);
    let found = (index.first(), index.last());
    let whole = if state.last == state.start { found == (None, None) } else { found == (Some(first), Some(last)) };
    (!whole).then_some(first)
}
