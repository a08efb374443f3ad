//! The log in words, for a person: a line for each record, and at the end where reading stopped and why.

use super::batch::Batch;
use super::control::Control;
use super::header::{HEADER_BYTES, Header, HeaderError};
use super::segment::{Scan, Segment, segment_name, segment_of};
use crate::disk::Disk;
use raft::{Entry, EntryKind};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// The lines. Segments are read as they are asked for; nothing is changed.
pub struct Dump<'a> {
    disk: &'a dyn Disk,
    segments: VecDeque<u64>,
    reading: Option<Reading>,
    lines: VecDeque<String>,
}

/// A segment that is being read.
struct Reading {
    scan: Scan,
    name: String,
    at: u64,
    chain: u32,
}

/// The lines of the log in a directory, which may be in use.
///
/// # Errors
/// When the directory cannot be listed; what happens later is a line.
pub fn dump(disk: &dyn Disk) -> io::Result<Dump<'_>> {
    let mut segments: Vec<u64> = disk.list()?.iter().filter_map(|name| segment_of(name)).collect();
    segments.sort_unstable();
    let mut lines = VecDeque::new();
    if segments.is_empty() {
        lines.push_back("there is no segment".to_owned());
    }
    Ok(Dump { disk, segments: segments.into(), reading: None, lines })
}

impl Iterator for Dump<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while self.lines.is_empty() {
            match self.reading.take() {
                Some(reading) => self.batch(reading),
                None => {
                    let sequence = self.segments.pop_front()?;
                    self.segment(sequence);
                }
            }
        }
        self.lines.pop_front()
    }
}

impl Dump<'_> {
    fn segment(&mut self, sequence: u64) {
        let name = segment_name(sequence);
        match open(self.disk, sequence) {
            Ok(Ok((header, reading))) => {
                self.lines.push_back(format!(
                    "{name} segment {} of {}: follows entry {}, the one before it ends at {}",
                    header.sequence, header.identity, header.base, header.previous_end
                ));
                self.reading = Some(reading);
            }
            Ok(Err(HeaderError::Version(version))) => self.lines.push_back(format!("{name} has version {version}")),
            Ok(Err(HeaderError::Broken)) => self.lines.push_back(format!("{name} has no sound header")),
            Err(error) => self.lines.push_back(format!("{name} {error}")),
        }
    }

    fn batch(&mut self, mut reading: Reading) {
        let Reading { scan, name, at, chain } = &mut reading;
        match scan.batch(*at) {
            Ok(Ok(batch)) => {
                self.lines.push_back(batch_line(name, *at, *chain, &batch));
                self.lines.extend(batch.controls.iter().map(control_line));
                self.lines.extend(batch.entries.iter().map(entry_line));
                (*at, *chain) = (batch.header.end(), batch.header.crc);
                self.reading = Some(reading);
            }
            Ok(Err(problem)) => self.lines.push_back(match scan.next_sound(*at) {
                Ok(None) => format!("{name} +{at} ends: {problem}; nothing sound follows"),
                Ok(Some(next)) => format!("{name} +{at} CORRUPT: {problem}; a sound batch follows at +{next}"),
                Err(error) => format!("{name} +{at} ends: {problem}; {error}"),
            }),
            Err(error) => self.lines.push_back(format!("{name} +{at} {error}")),
        }
    }
}

fn open(disk: &dyn Disk, sequence: u64) -> io::Result<Result<(Header, Reading), HeaderError>> {
    let name = segment_name(sequence);
    let file = disk.open(&name)?;
    let mut bytes = vec![0; HEADER_BYTES];
    let read = file.read_at(0, &mut bytes)?;
    let (header, chain) = match Header::decode(&bytes[..read]) {
        Ok(sound) => sound,
        Err(error) => return Ok(Err(error)),
    };
    let scan = Scan::new(Arc::new(Segment { sequence, salt: header.salt, file }))?;
    Ok(Ok((header, Reading { scan, name, at: HEADER_BYTES as u64, chain })))
}

fn batch_line(name: &str, at: u64, chain: u32, batch: &Batch) -> String {
    let header = &batch.header;
    let broken = if header.previous == chain { "" } else { " CHAIN BROKEN" };
    let (controls, entries) = (batch.controls.len(), batch.entries.len());
    let bytes = header.length();
    format!(
        "{name} +{at} batch of {bytes} bytes, {controls} controls, {entries} entries, chain {:08x}{broken}",
        header.crc
    )
}

fn control_line(control: &Control) -> String {
    match control {
        Control::Checkpoint { first_segment, state } => format!(
            "    checkpoint start={} last={} term={} vote={} commit={} memberships={:?} from segment {first_segment}",
            state.start,
            state.last,
            state.hard_state.term,
            vote(state.hard_state.vote),
            state.commit,
            state.memberships.iter().map(|(at, _)| at.0).collect::<Vec<_>>(),
        ),
        Control::HardState(hard) => format!("    hard state term={} vote={}", hard.term, vote(hard.vote)),
        Control::TruncateFrom(from) => format!("    truncate from={from}"),
        Control::CommitHint(commit) => format!("    commit hint={commit}"),
        Control::Start { start, first_segment } => format!("    start={start} from segment {first_segment}"),
        Control::Reset { start, first_segment, .. } => format!("    reset start={start} from segment {first_segment}"),
        Control::Closed => "    closed".to_owned(),
    }
}

fn entry_line(entry: &Entry) -> String {
    let kind = match entry.kind() {
        EntryKind::Command => "command",
        EntryKind::Noop => "noop",
        EntryKind::Membership => "membership",
    };
    format!("    entry {} {kind} {} bytes at {} us", entry.id(), entry.bytes(), entry.wall_us())
}

fn vote(vote: Option<raft::MemberId>) -> String {
    vote.map_or_else(|| "none".to_owned(), |member| member.to_string())
}
