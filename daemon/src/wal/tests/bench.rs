//! A log beside a model of it: what may be found after a crash is one of the states the model has been in since the
//! last report, and nothing else.

use crate::disk::{Fate, SimDisk};
use crate::wal::*;
use bytes::Bytes;
use raft::{Entry, EntryKind, HardState, Index, IoId, LogId, MemberId, Persist, Term};
use std::sync::Arc;

pub(super) const IDENTITY: Identity = Identity { cluster: 0xc1, member: MemberId(7), storage: [9; 16] };

/// Segments of four pages: a header, and a dozen batches or so.
pub(super) fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        spare_segments: 2,
        ballast_bytes: 32 << 10,
        recent_bytes: 2048,
        salt_seed: 42,
        create_if_missing: true,
    }
}

pub(super) fn open(disk: &SimDisk) -> Result<Recovered, OpenError> {
    Wal::open(Arc::new(disk.clone()), IDENTITY, &options())
}

pub(super) fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    // The content differs from entry to entry and from term to term.
    let payload: Vec<u8> = (0..bytes as u64).map(|n| (index * 31 + term * 7 + n) as u8).collect();
    Entry::new(LogId::new(term, index), EntryKind::Command, index, &payload)
}

pub(super) fn membership(index: u64, term: u64) -> Entry {
    Entry::new(LogId::new(term, index), EntryKind::Membership, index, format!("members {index}").as_bytes())
}

pub(super) fn append(entries: Vec<Entry>) -> Persist {
    Persist { append: entries, ..Persist::default() }
}

/// Everything a listener hears.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) io: Option<IoId>,
    pub(super) groups: Vec<Group>,
    pub(super) starts: Vec<LogId>,
    pub(super) room: Option<Room>,
}

impl Listener for Heard {
    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Persisted { io, group } => {
                assert!(self.io < Some(io), "reports come in order");
                self.io = Some(io);
                self.groups.push(group);
            }
            Completion::Compacted { start } => self.starts.push(start),
            Completion::Reset { .. } => {}
            Completion::Room(room) => self.room = Some(room),
        }
    }

    fn failed(&mut self, _: &WalError) {}
}

/// What a log should say. Compaction does not shorten it: where the log starts is for the log to choose.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) hard_state: HardState,
    /// What the last reset said.
    base: LogId,
    base_membership: Option<(Index, Bytes)>,
    entries: Vec<Entry>,
    pub(super) commit: Index,
    /// The start that has been reported, and the most that may be gone.
    pub(super) start: LogId,
    through: Index,
}

impl Model {
    pub(super) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, Entry::id)
    }

    /// Where the last reset was.
    pub(super) fn base_index(&self) -> u64 {
        self.base.index.0
    }

    fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.base.index { Some(self.base) } else { self.entry(index).map(Entry::id) }
    }

    fn entry(&self, index: Index) -> Option<&Entry> {
        index.0.checked_sub(self.base.index.0 + 1).and_then(|at| self.entries.get(at as usize))
    }

    fn apply(&mut self, request: &WalRequest) {
        match request {
            WalRequest::Persist(persist) => {
                self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
                if let Some(from) = persist.truncate_from {
                    self.entries.retain(|entry| entry.index() < from);
                }
                self.entries.extend(persist.append.iter().cloned());
                self.commit = self.commit.max(persist.commit);
            }
            WalRequest::Compact { through } => self.through = self.through.max(*through),
            WalRequest::Reset { start, .. }
                if self.last() != LogId::ZERO && self.id_at(start.index) == Some(*start) => {}
            WalRequest::Reset { start, membership } => {
                (self.base, self.base_membership, self.start) = (*start, membership.clone(), *start);
                self.entries.clear();
                (self.through, self.commit) = (start.index, self.commit.max(start.index));
            }
        }
    }

    /// Whether a recovered log says this. Everything in it is read back.
    fn check(&self, found: &Recovered) -> Result<(), String> {
        let remembered = &found.remembered;
        let ask = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {remembered:?}")) };
        ask(remembered.hard_state == self.hard_state, "hard state")?;
        ask(remembered.last == self.last(), "last entry")?;
        ask(remembered.commit <= self.commit, "commit")?;
        let start = remembered.start;
        ask(start.index >= self.start.index && start.index <= self.through.max(self.start.index), "start")?;
        ask(self.id_at(start.index) == Some(start), "the term of the start")?;
        let after = |entries: &[Entry]| entries.iter().filter(|entry| entry.index() > start.index).cloned().collect();
        let expected: Vec<Entry> = after(&self.entries);
        ask(read_all(found) == expected, "entries")?;
        ask(expected.ends_with(&remembered.recent), "recent entries")?;
        ask(remembered.terms == runs(&expected), "terms")?;
        ask(remembered.memberships == self.memberships_from(start.index), "memberships")
    }

    fn memberships_from(&self, start: Index) -> Vec<(Index, Bytes)> {
        let entries = self.entries.iter().filter(|entry| entry.kind() == EntryKind::Membership);
        let all = self.base_membership.clone().into_iter().chain(entries.map(|entry| (entry.index(), entry.payload())));
        let all: Vec<_> = all.collect();
        let in_force = all.iter().rposition(|(at, _)| *at <= start).unwrap_or(0);
        all[in_force..].to_vec()
    }
}

fn runs(entries: &[Entry]) -> Vec<(Index, Term)> {
    let mut runs: Vec<(Index, Term)> = Vec::new();
    for entry in entries {
        if runs.last().is_none_or(|&(_, term)| term != entry.term()) {
            runs.push((entry.index(), entry.term()));
        }
    }
    runs
}

/// Every entry of a log, through its reader, some bytes at a time.
pub(super) fn read_all(found: &Recovered) -> Vec<Entry> {
    let (mut next, last, reader) =
        (found.remembered.start.index.next(), found.remembered.last.index, found.wal.reader());
    let mut entries = Vec::new();
    while next <= last {
        let some = reader.read(next, last, 1500).unwrap_or_else(|error| panic!("{error}"));
        next = Index(next.0 + some.len() as u64);
        entries.extend(some);
    }
    entries
}

/// A log, its disk, and the states it may be found in.
pub(super) struct Bench {
    pub(super) disk: SimDisk,
    pub(super) wal: Wal,
    pub(super) heard: Heard,
    /// The states since the last report, the reported one first, the newest last; with the write that led there.
    states: Vec<(Option<IoId>, Model)>,
    next_io: u64,
}

impl Bench {
    pub(super) fn new(disk: &SimDisk) -> Result<Self, OpenError> {
        Ok(Self::on(disk, open(disk)?.wal, Model::default()))
    }

    fn on(disk: &SimDisk, wal: Wal, model: Model) -> Self {
        Self { disk: disk.clone(), wal, heard: Heard::default(), states: vec![(None, model)], next_io: 1 }
    }

    /// The newest state.
    pub(super) fn model(&self) -> &Model {
        &self.states.last().expect("there is always a state").1
    }

    /// Numbers the writes, remembers the states they lead to, and has the log do them.
    pub(super) fn perform(&mut self, requests: Vec<WalRequest>) -> Result<(), WalError> {
        let mut numbered = Vec::new();
        for mut request in requests {
            let mut io = None;
            if let WalRequest::Persist(persist) = &mut request {
                persist.io = IoId(self.next_io);
                io = Some(persist.io);
                self.next_io += 1;
            }
            let mut model = self.model().clone();
            model.apply(&request);
            self.states.push((io, model));
            numbered.push(request);
        }
        let done = self.wal.perform(numbered, &mut self.heard);
        let reported = self.states.iter().rposition(|(io, _)| io.is_some() && *io == self.heard.io);
        let settled = if done.is_ok() { self.states.len() - 1 } else { reported.unwrap_or(0) };
        self.states.drain(..settled);
        if let (Ok(()), Some(start)) = (&done, self.heard.starts.pop()) {
            self.states[0].1.start = start;
        }
        done
    }

    pub(super) fn persist(&mut self, persist: Persist) -> Result<(), WalError> {
        self.perform(vec![WalRequest::Persist(persist)])
    }

    /// Appends so many entries of so many bytes in the newest term, in one write.
    pub(super) fn append(&mut self, count: u64, bytes: usize) -> Result<(), WalError> {
        let last = self.model().last();
        let term = last.term.0.max(1);
        self.persist(append((1..=count).map(|n| entry(last.index.0 + n, term, bytes)).collect()))
    }

    /// What a crash with this fate leaves, after checking that the log on it is one that may be found.
    pub(super) fn crash(&self, fate: Fate) -> Result<Self, String> {
        self.found_on(&self.disk.crash(fate)).map_err(|error| format!("{fate:?}: {error}"))
    }

    /// The process is killed, and its machine goes on: the next one finds what this one has written, synced or not.
    pub(super) fn kill(&self) -> Result<Self, String> {
        self.disk.heal();
        self.found_on(&self.disk)
    }

    fn found_on(&self, image: &SimDisk) -> Result<Self, String> {
        let found = open(image).map_err(|error| error.to_string())?;
        let mut complaints = Vec::new();
        for (_, model) in self.states.iter().rev() {
            match model.check(&found) {
                Ok(()) => {
                    let start = found.remembered.start;
                    return Ok(Self::on(image, found.wal, Model { start, ..model.clone() }));
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
        Err(format!("none of {} states is there: {complaints:#?}", self.states.len()))
    }

    /// Closes the log in good order and opens it again.
    pub(super) fn restart(self) -> Self {
        let Self { disk, wal, states, .. } = self;
        wal.close().expect("the disk is well");
        let found = open(&disk).expect("it was closed in good order");
        assert!(found.report.closed && found.report.cut.is_none(), "{:?}", found.report);
        let model = states.last().expect("there is always a state").1.clone();
        model.check(&found).expect("everything was reported");
        let start = found.remembered.start;
        Self::on(&disk, found.wal, Model { start, ..model })
    }
}
