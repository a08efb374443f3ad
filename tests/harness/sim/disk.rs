//! A disk with a write-ahead log on it, seen from above the log's own recovery: writes are whole or not at all, in
//! order, and durable only when a flush that began after them has ended.
//!
//! One flush runs at a time and takes with it everything queued when it began, as the real log does. A crash keeps
//! what is durable and any first part of what was queued: a flush may have done its work without saying so.

use super::image::LogImage;
use super::rng::Rng;
use raft::{HardState, IoId, MemberId, Persist, Term};
use std::collections::{BTreeMap, VecDeque};

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
    queued: VecDeque<Persist>,
    /// How many of the queued writes the running flush covers.
    flushing: usize,
    /// Tells the completion of the running flush from that of one a crash has forgotten.
    pub flush: u64,
    last_io: Option<IoId>,
    /// No room for entries: a write that carries some waits, and everything behind it.
    pub full: bool,
    /// How many times slower than usual.
    pub slowness: u64,
}

impl Disk {
    /// A disk with this log on it.
    #[must_use]
    pub fn new(image: LogImage) -> Self {
        Self {
            durable: image.clone(),
            live: image,
            votes: BTreeMap::new(),
            queued: VecDeque::new(),
            flushing: 0,
            flush: 0,
            last_io: None,
            full: false,
            slowness: 1,
        }
    }

    /// Queues a write.
    ///
    /// # Errors
    /// What is wrong with it: its number, or what it does to the log.
    pub fn submit(&mut self, persist: Persist) -> Result<(), String> {
        if self.last_io.is_some_and(|last| persist.io.0 != last.0 + 1) {
            return Err(format!("write {} follows {:?}", persist.io, self.last_io));
        }
        self.last_io = Some(persist.io);
        self.live.apply(&persist)?;
        self.queued.push_back(persist);
        Ok(())
    }

    /// Starts a flush of everything that is queued and may be written; true when there is one to wait for.
    pub fn start_flush(&mut self) -> bool {
        if self.flushing > 0 {
            return false;
        }
        let blocked = self.queued.iter().position(|write| self.full && !write.append.is_empty());
        self.flushing = blocked.unwrap_or(self.queued.len());
        self.flush += u64::from(self.flushing > 0);
        self.flushing > 0
    }

    /// Ends the running flush. The last write it made durable.
    pub fn end_flush(&mut self) -> Option<IoId> {
        let count = std::mem::take(&mut self.flushing);
        self.make_durable(count)
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queued.is_empty()
    }

    /// Writes that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Loses power: what was queued is durable up to a random point and gone from there on.
    pub fn crash(&mut self, rng: &mut Rng) -> usize {
        let kept = usize::try_from(rng.below(self.queued.len() as u64 + 1)).expect("not above a length");
        self.make_durable(kept);
        let lost = self.queued.len();
        self.queued.clear();
        self.flushing = 0;
        self.flush += 1;
        self.last_io = None;
        self.live = self.durable.clone();
        lost
    }

    fn make_durable(&mut self, count: usize) -> Option<IoId> {
        let mut last = None;
        for write in self.queued.drain(..count) {
            self.durable.apply(&write).expect("it was applied to the live log already");
            if let Some(HardState { term, vote: Some(vote) }) = write.hard_state {
                self.votes.insert(term, vote);
            }
            last = Some(write.io);
        }
        while self.votes.len() > VOTES_KEPT {
            self.votes.pop_first();
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{Entry, EntryKind, LogId};

    fn write(io: u64) -> Persist {
        let entry = Entry::new(LogId::new(1, io), EntryKind::Command, 0, b"");
        Persist { io: IoId(io), hard_state: None, truncate_from: None, append: vec![entry] }
    }

    #[test]
    fn a_flush_covers_what_was_queued_when_it_began() {
        let mut disk = Disk::new(LogImage::format(None));
        disk.submit(write(1)).expect("in order");
        assert!(disk.start_flush());
        disk.submit(write(2)).expect("in order");
        assert!(!disk.start_flush());
        assert_eq!(disk.end_flush(), Some(IoId(1)));
        assert_eq!(disk.durable.last().last, LogId::new(1, 1));
        assert_eq!(disk.live.last().last, LogId::new(1, 2));
    }

    #[test]
    fn a_crash_keeps_a_first_part_of_the_queue_and_every_length_of_it_happens() {
        let mut rng = Rng::new(5);
        let mut kept = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut disk = Disk::new(LogImage::format(None));
            (1..=3).for_each(|io| disk.submit(write(io)).expect("in order"));
            disk.crash(&mut rng);
            assert_eq!(disk.live.last(), disk.durable.last());
            kept.insert(disk.durable.last().last.index.0);
        }
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_full_disk_still_takes_the_hard_state() {
        let mut disk = Disk::new(LogImage::format(None));
        disk.full = true;
        let state = HardState { term: Term(2), vote: Some(MemberId(1)) };
        disk.submit(Persist { hard_state: Some(state), append: vec![], ..write(1) }).expect("in order");
        disk.submit(Persist { io: IoId(2), ..write(1) }).expect("in order");
        assert!(disk.start_flush());
        assert_eq!(disk.end_flush(), Some(IoId(1)));
        assert!(!disk.start_flush());
        assert_eq!(disk.votes.get(&Term(2)), Some(&MemberId(1)));
    }

    #[test]
    fn a_write_out_of_order_is_refused() {
        let mut disk = Disk::new(LogImage::format(None));
        disk.submit(write(1)).expect("in order");
        assert!(disk.submit(write(3)).is_err());
    }
}
