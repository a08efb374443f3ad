//! A member's log disk: the production log on a [`Medium`], and what it must hold.
//!
//! One flush runs at a time and takes with it everything queued when it began, as the real log does. `durable` is what
//! has been reported, `live` what the member believes it has asked for; what a crash leaves lies between.

use super::checks::{Violation, ensure};
use super::image::{Base, LogImage, Logged};
use super::medium::{Closed, End, Medium, is_log};
use super::rng::Rng;
use quorate::disk::SimDisk;
use quorate::install::Intent;
use quorate::wal::{Completion, Options, Room, WalError, WalReader, WalRequest};
use raft::{Boot, Entry, HardState, Index, IoId, LogId, LogRead, LogReadFailure, MemberId, Membership, Term};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many of the latest votes are remembered for the checks.
const VOTES_KEPT: usize = 64;

/// One member's log disk.
#[derive(Debug)]
pub struct Disk {
    /// What survives a crash.
    pub durable: LogImage,
    /// What will be there once every queued write is durable: the member's own view.
    pub live: LogImage,
    /// The votes that are durable, by term.
    pub votes: BTreeMap<Term, MemberId>,
    /// The bytes.
    pub medium: Medium,
    member: MemberId,
    queued: VecDeque<WalRequest>,
    /// What the log amounts to after the snapshot that it is asked to follow.
    following: Option<Following>,
    /// How many of the queued requests the running flush covers.
    flushing: usize,
    /// Tells the completion of the running flush from that of one a crash has forgotten.
    pub flush: u64,
    last_io: Option<IoId>,
    /// What a sound batch follows: damage to it cannot pass for a write that never finished.
    settled: LogId,
    /// A write behind that took entries back: damage to it brings them up again.
    cut_last: bool,
    /// What the compaction behind that let go: damage to its note brings it up again.
    compacted_last: Vec<Logged>,
    /// No room for entries: a write that carries some waits, and everything behind it.
    pub full: bool,
    /// A write has found no room. It waits until it is tried again, and everything behind it but compactions.
    pub starved: bool,
    /// How many times slower than usual.
    pub slowness: u64,
}

/// What the medium of a disk holds.
#[derive(Clone)]
pub struct Held {
    medium: SimDisk,
    log: LogImage,
    votes: BTreeMap<Term, MemberId>,
}

impl Held {
    /// The configuration that a member starts with that holds no more than this.
    pub fn membership(&self) -> Option<&Membership> {
        self.log.memberships().last().map(|(_, membership)| &**membership)
    }
}

/// Where a snapshot stands: what precedes the next entry, and the configuration in force.
pub type Following = (Base, (Index, Arc<Membership>));

/// What a flush has come to.
#[derive(Debug)]
pub struct Flushed {
    /// What the log has reported.
    pub reported: Vec<Completion>,
    /// The disk has failed: the process must end.
    pub failed: bool,
    /// Something has found no room, and waits.
    pub starved: bool,
}

impl Disk {
    /// A formatted disk with an empty log: with the first configuration of a new cluster, or without one.
    ///
    /// # Panics
    /// When the log cannot be begun on a disk without faults.
    #[must_use]
    pub fn format(member: MemberId, first: Option<Arc<Membership>>, options: Options) -> Self {
        let mut medium = Medium::new(member, options);
        medium.format(first.as_deref()).expect("a new log on a sound disk");
        let image = LogImage::format(first);
        Self {
            durable: image.clone(),
            live: image,
            votes: BTreeMap::new(),
            medium,
            member,
            queued: VecDeque::new(),
            following: None,
            flushing: 0,
            flush: 0,
            last_io: None,
            settled: LogId::ZERO,
            cut_last: false,
            compacted_last: Vec::new(),
            full: false,
            starved: false,
            slowness: 1,
        }
    }

    /// Opens the log for a process that starts over a state machine that has applied everything up to `applied`, and has
    /// perhaps been switched to a snapshot that the log does not follow yet. None when there is no room for that: the
    /// process is to end, with [`Disk::end`], and can start once there is.
    ///
    /// # Errors
    /// S6 when the log does not open or holds anything but what it must.
    pub fn start(
        &mut self,
        salt: u64,
        applied: Index,
        switched: Option<(&Intent, Following)>,
    ) -> Result<Option<Boot>, Violation> {
        let broken = |what: String| Violation { check: "S6", what: format!("{}: {what}", self.member) };
        let remembered = match self.medium.open(salt, switched.as_ref().map(|(intent, _)| *intent)) {
            Ok(remembered) => remembered,
            Err(Closed::NoRoom) => {
                self.followed_in_part(switched.map(|(_, following)| following));
                return Ok(None);
            }
            Err(Closed::Broken(what)) => return Err(broken(what)),
        };
        if let Some((_, (base, membership))) = switched {
            self.durable.install(base, membership);
            self.live = self.durable.clone();
        }
        ensure("S6", remembered.last == self.durable.last().last, || {
            format!("{}: the log ends at {}, not at {}", self.member, remembered.last, self.durable.last().last)
        })?;
        remembered.into_boot(applied).map(Some).map_err(|error| broken(error.to_string()))
    }

    /// Following a snapshot has failed half-way: whether it has taken effect is found out like that of any other request.
    fn followed_in_part(&mut self, following: Option<Following>) {
        let request = following.as_ref().map(|(base, (at, membership))| WalRequest::Reset {
            start: base.last,
            membership: Some((*at, membership.encode())),
        });
        self.queued.extend(request);
        self.following = following;
    }

    /// The log as it is read.
    #[must_use]
    pub fn reader(&self) -> WalReader {
        self.medium.reader()
    }

    /// Queues a request; `following` is where the snapshot stands that the log is to follow, if it is asked to.
    ///
    /// # Errors
    /// What is wrong with it: a write's number, or what it does to the log.
    pub fn submit(&mut self, request: WalRequest, following: Option<Following>) -> Result<(), String> {
        match &request {
            WalRequest::Persist(persist) => {
                if self.last_io.is_some_and(|last| persist.io.0 != last.0 + 1) {
                    return Err(format!("write {} follows {:?}", persist.io, self.last_io));
                }
                self.last_io = Some(persist.io);
                self.live.apply(persist)?;
            }
            WalRequest::Reset { .. } if self.queued() > 0 => {
                return Err(format!("the log is to follow a snapshot while {} writes are under way", self.queued()));
            }
            WalRequest::Reset { start, membership } => {
                let expected =
                    following.as_ref().map(|(base, (at, membership))| (base.last, (*at, membership.encode())));
                let asked = membership.clone().map(|membership| (*start, membership));
                if asked.is_none() || asked != expected {
                    return Err(format!("the log is to follow {asked:?}, the state machine stands at {expected:?}"));
                }
            }
            WalRequest::Compact { .. } => {}
        }
        self.following = following.or(self.following.take());
        self.queued.push_back(request);
        Ok(())
    }

    /// Starts a flush of everything that is queued and may be written; true when there is one to wait for.
    pub fn start_flush(&mut self) -> bool {
        if self.flushing > 0 {
            return false;
        }
        if self.starved {
            self.bring_compactions_forward();
        }
        let waits = |request: &WalRequest| match request {
            WalRequest::Persist(write) => self.starved || self.full && !write.append.is_empty(),
            WalRequest::Reset { .. } => self.starved,
            WalRequest::Compact { .. } => false,
        };
        let blocked = self.queued.iter().position(waits);
        self.flushing = blocked.unwrap_or(self.queued.len());
        self.flush += u64::from(self.flushing > 0);
        self.flushing > 0
    }

    /// They give the room that others wait for. The log's thread takes them out of turn as well.
    fn bring_compactions_forward(&mut self) {
        let is_reset = |request: &WalRequest| matches!(request, WalRequest::Reset { .. });
        let before_reset = self.queued.iter().position(is_reset).unwrap_or(self.queued.len());
        let compacts = |request: &WalRequest| matches!(request, WalRequest::Compact { .. });
        self.queued.make_contiguous()[..before_reset].sort_by_key(|request| !compacts(request));
    }

    /// Ends the running flush.
    pub fn end_flush(&mut self) -> Flushed {
        let count = std::mem::take(&mut self.flushing);
        let (heard, done) = self.medium.perform(self.queued.iter().take(count).cloned().collect());
        if heard.persisted.is_some() {
            (self.settled, self.cut_last) = (self.durable.last().last, false);
            self.compacted_last.clear();
        }
        let followed = heard.all.iter().any(|completion| matches!(completion, Completion::Reset { .. }));
        let is_done = |request: &WalRequest| match request {
            WalRequest::Persist(write) => Some(write.io) <= heard.persisted,
            WalRequest::Reset { .. } => followed,
            // One that stays behind the last of the others is done again, and finds nothing to do.
            WalRequest::Compact { .. } => false,
        };
        let last_done = self.queued.iter().take(count).rposition(is_done);
        let reported = if done.is_ok() { count } else { last_done.map_or(0, |last| last + 1) };
        for request in self.queued.drain(..reported).collect::<Vec<_>>() {
            self.cut_last |= self.became_durable(&request);
        }
        for completion in &heard.all {
            match completion {
                Completion::Compacted { start } => {
                    self.starved = false;
                    self.compacted_last = self.durable.compact(start.index);
                    self.live.compact(start.index);
                }
                Completion::Reset { .. } => self.live = self.durable.clone(),
                Completion::Persisted { .. } | Completion::Room(_) => {}
            }
        }
        while self.votes.len() > VOTES_KEPT {
            self.votes.pop_first();
        }
        let starved = matches!(done, Err(WalError::DiskFull));
        self.starved |= starved;
        Flushed { reported: heard.all, failed: done.is_err() && !starved, starved }
    }

    /// A request has taken effect on the disk. Whether it took entries back.
    fn became_durable(&mut self, request: &WalRequest) -> bool {
        match request {
            WalRequest::Persist(write) => {
                self.durable.apply(write).expect("it was applied to the live log already");
                if let Some(HardState { term, vote: Some(vote) }) = write.hard_state {
                    self.votes.insert(term, vote);
                }
                write.truncate_from.is_some()
            }
            WalRequest::Reset { .. } => {
                let (base, membership) = self.following.take().expect("it came with the request");
                self.durable.install(base, membership);
                true
            }
            WalRequest::Compact { .. } => false,
        }
    }

    /// Looks after the files at hand. Says what the room is now, if that has changed.
    pub fn look_after(&mut self) -> Option<Room> {
        self.medium.look_after()
    }

    /// Reads entries back for a follower, perhaps from a disk with a bit that is the wrong way round.
    ///
    /// # Errors
    /// S3 when what comes back is not what was written.
    pub fn read(
        &self,
        ask: &LogRead,
        rotten: Option<&mut Rng>,
    ) -> Result<Result<Vec<Entry>, LogReadFailure>, Violation> {
        let result = match rotten {
            Some(rng) => self.medium.read_rotten(ask, rng),
            None => self.medium.read(ask),
        };
        let wrong = result.iter().flatten().find(|entry| {
            let known = self.live.entry(entry.index()).into_iter().chain(self.durable.entry(entry.index()));
            known.into_iter().all(|logged| logged.entry.record()[..8] != entry.record()[..8])
        });
        ensure("S3", wrong.is_none(), || format!("{} reads back {wrong:?}, which was never there", self.member))?;
        Ok(result)
    }

    /// Writes of the engine that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.iter().filter(|request| matches!(request, WalRequest::Persist(_))).count()
    }

    /// The process ends, with some of what is queued on its way. How many requests are lost.
    ///
    /// # Errors
    /// S6 when what is left cannot be opened, or is not a step between what was reported and what was asked for.
    pub fn end(&mut self, how: End, rng: &mut Rng) -> Result<usize, Violation> {
        let count = usize::try_from(rng.below(self.queued.len() as u64 + 1)).expect("not above a length");
        let requests = self.queued.iter().take(count).cloned().collect();
        let member = self.member;
        let broken = |what| Violation { check: "S6", what: format!("{member} after {how:?}: {what}") };
        let (remembered, entries) = self.medium.end(requests, how, rng).map_err(broken)?;
        let (reported, mut kept, mut cut) = (self.durable.last().last, 0, false);
        while is_log(&self.durable, &remembered, &entries) != Some(true) {
            let Some(request) = self.queued.pop_front() else {
                let what = format!("found {remembered:?}, durable was {:?}", self.durable.last().last);
                return Err(broken(what));
            };
            (kept, cut) = (kept + 1, self.became_durable(&request) || cut);
        }
        let compacted = self.durable.compact(remembered.start.index);
        if kept > 0 || !compacted.is_empty() {
            self.compacted_last = compacted;
        }
        let lost = self.queued.len();
        self.queued.clear();
        self.following = None;
        if kept > 0 {
            (self.settled, self.cut_last) = (reported, cut);
        }
        (self.flushing, self.last_io, self.starved) = (0, None, false);
        self.flush += 1;
        self.live = self.durable.clone();
        Ok(lost)
    }

    /// What would be there if no sync from now on did what it says.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { medium: self.medium.synced(), log: self.durable.clone(), votes: self.votes.clone() }
    }

    /// The process has ended, and the disk holds no more than this.
    pub fn holds_only(&mut self, held: Held) {
        self.medium.becomes(held.medium);
        (self.durable, self.votes) = (held.log, held.votes);
        self.live = self.durable.clone();
        (self.settled, self.cut_last) = (self.durable.base.last, true);
        self.compacted_last.clear();
    }

    /// Opens a copy of the disk with one bit the wrong way round. Says what the log made of it.
    ///
    /// # Errors
    /// S6 when the log says something that it never held.
    pub fn rot(&self, rng: &mut Rng) -> Result<&'static str, Violation> {
        let Ok((remembered, entries)) = self.medium.rot(rng) else { return Ok("bit flip: noticed") };
        if is_log(&self.durable, &remembered, &entries) == Some(true) {
            return Ok("bit flip: harmless");
        }
        // Damage to the last batch cannot be told from a write that never finished.
        let held = entries.iter().all(|entry| {
            let let_go = || self.compacted_last.iter().find(|logged| logged.entry.index() == entry.index());
            let known = self.durable.entry(entry.index()).or_else(let_go);
            known.is_some_and(|logged| logged.entry.record()[..8] == entry.record()[..8])
        });
        let held = self.cut_last || held && self.settled.index <= remembered.last.index;
        ensure("S6", held, || format!("{} says {remembered:?} after a bit was flipped", self.member))?;
        Ok("bit flip: last batch cut")
    }
}

/// What a log of a run is like: small, so that segments, spares and the ballast all come into play.
#[must_use]
pub fn draw_options(rng: &mut Rng) -> Options {
    Options {
        segment_bytes: rng.between(6, 32) << 10,
        spare_segments: usize::try_from(rng.below(3)).expect("small"),
        ballast_bytes: rng.below(3) * (8 << 10),
        recent_bytes: rng.below(4) << 10,
        ..Options::default()
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
