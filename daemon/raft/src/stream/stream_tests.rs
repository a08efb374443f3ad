//! A stream against a follower that keeps its word, over a network that does not: whatever is lost, delivered twice
//! or late, the stream never believes more than is durable there, and once the network is calm it brings the
//! follower up to date.

use super::*;
use crate::entry::{Entry, EntryKind};
use crate::input::LogReadFailure;
use crate::message::{Ack, Message, Reject};
use crate::output::LogRead;
use crate::status::StreamState;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Messages the network holds; more are dropped, as a bounded outbox does.
const NETWORK_MAX: usize = 20;

/// What the follower says.
#[derive(Clone, Debug)]
enum Reply {
    Ack(Ack),
    Reject(Reject),
    Beat(Beat),
}

/// A follower: its log (the entry at index 1 first), how much of it is on disk, and the answers that wait for that.
#[derive(Debug, Default)]
struct Follower {
    start: Index,
    log: Vec<LogId>,
    durable: usize,
    owed: Option<(StreamId, LogId)>,
}

impl Follower {
    fn last(&self) -> LogId {
        self.log.last().copied().unwrap_or(LogId::ZERO)
    }

    fn holds(&self, id: LogId) -> bool {
        id.index <= self.start || self.log.get(id.index.0 as usize - 1) == Some(&id)
    }

    fn receive(&mut self, message: Message, now: Time) -> Option<Reply> {
        match message {
            Message::Append { stream, prev, entries, .. } if self.holds(prev) => {
                for id in entries.iter().map(Entry::id).filter(|id| id.index > self.start) {
                    if self.holds(id) {
                        continue;
                    }
                    self.log.truncate(id.index.0 as usize - 1);
                    self.durable = self.durable.min(self.log.len());
                    self.log.push(id);
                }
                let through = entries.last().map_or(prev, Entry::id);
                let owed = self.owed.filter(|(to, id)| *to == stream && id.index > through.index && self.holds(*id));
                self.owed = owed.or(Some((stream, through)));
                self.flushed()
            }
            Message::Append { stream, prev, .. } => {
                let held = prev.index.0.checked_sub(1).and_then(|at| self.log.get(at as usize)).copied();
                let first = |term| self.log.iter().find(|id| id.term == term).map_or(Index::ZERO, |id| id.index);
                let conflict = held.map(|id| (id.term, first(id.term)));
                Some(Reply::Reject(Reject { stream, prev, last: self.last(), conflict }))
            }
            Message::Heartbeat { stream, sent_at, .. } => {
                let beat = Beat { stream, echo: sent_at.min(now), applied: Index::ZERO, credit_bytes: 1 << 20 };
                Some(Reply::Beat(beat))
            }
            _ => None,
        }
    }

    fn flush(&mut self) -> Option<Reply> {
        self.durable = self.log.len();
        self.flushed()
    }

    fn flushed(&mut self) -> Option<Reply> {
        let (stream, durable) = self.owed.take_if(|(_, id)| id.index.0 as usize <= self.durable)?;
        Some(Reply::Ack(Ack { stream, durable, applied: Index::ZERO, credit_bytes: 1 << 20 }))
    }

    fn install(&mut self, log: &[Entry], through: Index) {
        if through <= self.start {
            return;
        }
        let covered = log.iter().take(through.0 as usize).map(Entry::id);
        let kept = if self.holds(log[through.0 as usize - 1].id()) {
            self.log.split_off(through.0 as usize)
        } else {
            Vec::new()
        };
        self.log = covered.chain(kept).collect();
        (self.start, self.durable) = (through, self.log.len());
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    NewTermEntry,
    ToFollower { lose: bool, twice: bool, at: usize },
    ToLeader { lose: bool, twice: bool, at: usize },
    Flush,
    Beat,
    Link,
    Restart { lose: usize },
    Compact(u64),
    Disk { ok: bool },
    DiskCut,
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..20u64).prop_map(Step::Append),
        1 => Just(Step::NewTermEntry),
        12 => (any::<u8>(), 0..3usize).prop_map(|(luck, at)| Step::ToFollower { lose: luck < 20, twice: luck > 235, at }),
        12 => (any::<u8>(), 0..3usize).prop_map(|(luck, at)| Step::ToLeader { lose: luck < 20, twice: luck > 235, at }),
        6 => Just(Step::Flush),
        2 => Just(Step::Beat),
        1 => Just(Step::Link),
        1 => (0..4usize).prop_map(|lose| Step::Restart { lose }),
        1 => (0..30u64).prop_map(Step::Compact),
        3 => any::<bool>().prop_map(|ok| Step::Disk { ok }),
        1 => Just(Step::DiskCut),
        3 => (1..2_000_000u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 0..200)
}

struct World {
    stream: Stream,
    log: Log,
    all: Vec<Entry>,
    lag: LagRing,
    recovery: Recovery,
    now: Time,
    links: u64,
    term: u64,
    follower: Follower,
    down: VecDeque<Message>,
    up: VecDeque<Reply>,
    read: Option<LogRead>,
    /// The follower lost entries that the stream counts, and the stream cannot know it yet.
    deceived: bool,
}

impl World {
    /// The two logs share `common` entries of term 1; each went on for a while with another leader.
    fn new(common: u64, ours: u64, theirs: u64) -> Self {
        let mut config = Config::new(MemberId(1), 1);
        (config.append_bytes_max, config.inflight_messages_max, config.cache_bytes_max) = (400, 5, 800);
        let now = Time(10_000_000);
        let id = |term| move |index| LogId::new(term, index);
        let shared = (1..=common).map(id(1));
        let follower = shared.clone().chain((common + 1..=common + theirs).map(id(2))).collect::<Vec<_>>();
        let mut world = Self {
            stream: Stream::new(MemberId(2), &config, 3),
            log: Log::new(LogId::ZERO, Vec::new(), LogId::ZERO, Vec::new(), config.cache_bytes_max),
            all: Vec::new(),
            lag: LagRing::new(Index::ZERO, &[], now, 0),
            recovery: Recovery::new(),
            now,
            links: 0,
            term: 3,
            follower: Follower { durable: follower.len(), log: follower, ..Follower::default() },
            down: VecDeque::new(),
            up: VecDeque::new(),
            read: None,
            deceived: false,
        };
        world.append(shared.chain((common + 1..=common + ours).map(id(3))).collect());
        world.link();
        world
    }

    fn append(&mut self, ids: Vec<LogId>) {
        let entries = ids.into_iter().map(|id| Entry::new(id, EntryKind::Command, 0, &[0; 60])).collect::<Vec<_>>();
        self.all.extend(entries.iter().cloned());
        self.lag.append(self.now, &entries);
        self.log.append(entries);
        self.log.set_durable(self.log.last());
    }

    fn append_more(&mut self, count: u64) {
        let last = self.log.last().index.0;
        self.append((last + 1..=last + count).map(|index| LogId::new(self.term, index)).collect());
    }

    /// A new connection. What the one before still delivers comes late.
    fn link(&mut self) {
        self.links += 1;
        self.stream.on_link_up(LinkId(self.links), StreamId(self.links));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(count) => self.append_more(*count),
            Step::NewTermEntry => {
                self.term += 1;
                self.append_more(1);
            }
            Step::ToFollower { lose, twice, at } => self.deliver_down(*lose, *twice, *at),
            Step::ToLeader { lose, twice, at } => self.deliver_up(*lose, *twice, *at),
            Step::Flush => {
                let reply = self.follower.flush();
                self.up.extend(reply);
            }
            Step::Beat => self.down.push_front(self.stream.heartbeat(self.now, Index::ZERO, ReadRound(0), Vec::new())),
            Step::Link => self.link(),
            Step::Restart { lose } => self.restart(*lose),
            Step::Compact(keep) => {
                let through = Index(self.log.last().index.0.saturating_sub(*keep));
                if let Some(through) = self.log.id_at(through) {
                    self.log.compact(through);
                }
            }
            Step::Disk { ok: true } => self.disk(Ok(())),
            Step::Disk { ok: false } => self.disk(Err(LogReadFailure::Unreadable)),
            Step::DiskCut => self.disk(Err(LogReadFailure::Compacted)),
            Step::Advance(micros) => self.now = Time(self.now.0 + micros),
        }
        self.stream.tick(self.now);
        self.poll();
        self.check();
    }

    fn deliver_down(&mut self, lose: bool, twice: bool, at: usize) {
        // A stream of bytes keeps its order; only a message that was dropped on purpose leaves a hole.
        let Some(message) = self.down.pop_front() else { return };
        if twice {
            self.down.insert(at.min(self.down.len()), message.clone());
        }
        if lose {
            return;
        }
        if let Message::Snapshot { offer, .. } = message {
            self.follower.install(&self.all, offer.last.index);
            return;
        }
        let reply = self.follower.receive(message, self.now);
        self.up.extend(reply);
    }

    fn deliver_up(&mut self, lose: bool, twice: bool, at: usize) {
        let Some(reply) = self.up.pop_front() else { return };
        if twice {
            self.up.insert(at.min(self.up.len()), reply.clone());
        }
        if lose {
            return;
        }
        match reply {
            Reply::Ack(ack) => {
                let before = self.stream.matched();
                let after = self.stream.on_ack(self.now, &ack, &self.log);
                assert!(after.is_none_or(|after| after > before), "only an advance is reported");
            }
            Reply::Reject(reject) => self.stream.on_reject(self.now, &reject, &self.log),
            Reply::Beat(beat) => {
                self.stream.on_heartbeat_reply(self.now, &beat);
            }
        }
    }

    /// The follower's process ends: what is not on its disk is gone, and some of what is, if its disk lies.
    fn restart(&mut self, lose: usize) {
        let follower = &mut self.follower;
        let kept = follower.durable.saturating_sub(lose).max(follower.start.0 as usize);
        self.deceived |= self.stream.matched().index.0 > kept as u64;
        follower.log.truncate(kept);
        (follower.durable, follower.owed) = (kept, None);
        self.link();
    }

    fn disk(&mut self, works: Result<(), LogReadFailure>) {
        let Some(read) = self.read.take() else { return };
        let wanted = self.all.iter().filter(|entry| (read.from..=read.through).contains(&entry.index()));
        self.stream.on_log_read(self.now, read.stream, works.map(|()| wanted.cloned().collect()));
    }

    fn poll(&mut self) {
        let mut out = StreamOut::default();
        let view = View { log: &self.log, lag: &self.lag, commit: self.log.last().index };
        self.stream.poll(self.now, &view, &mut self.recovery, &mut out);
        self.deceived &= !out.events.iter().any(|event| matches!(event, Event::Regressed { .. }));
        for (_, message) in out.send {
            if let Message::Append { prev, entries, .. } = &message {
                assert!(self.log.contains(*prev), "the base is in the log");
                assert!((prev.index.0 + 1..).zip(entries).all(|(index, entry)| entry.index() == Index(index)));
            }
            if self.down.len() < NETWORK_MAX {
                self.down.push_back(message);
            }
        }
        self.read = out.log_reads.pop().or(self.read.take());
    }

    fn check(&self) {
        let matched = self.stream.matched();
        let durable = self.follower.durable as u64;
        assert!(self.deceived || matched.index.0 <= durable, "{matched} is believed, {durable} are durable");
        assert!(self.deceived || self.follower.holds(matched), "what is believed is in the follower's log");
        let due = self.stream.next_deadline();
        assert!(due.is_none_or(|due| due > self.now), "what was due has been done: a driver would spin");
        if let Phase::Replicate(replicate) = &self.stream.phase {
            assert!(replicate.next > self.stream.matched.index);
            assert!(replicate.in_flight.messages() <= 5);
        }
    }

    /// A calm network: everything is delivered, in order, and time passes.
    fn calm(&mut self) {
        self.link();
        for _ in 0..3000 {
            self.step(&Step::Disk { ok: true });
            self.step(&Step::ToFollower { lose: false, twice: false, at: 0 });
            self.step(&Step::Flush);
            self.step(&Step::ToLeader { lose: false, twice: false, at: 0 });
            let replicating = self.stream.phase.state() == StreamState::Replicate;
            if replicating && self.stream.matched() == self.log.last() {
                return;
            }
            if self.down.is_empty() && self.up.is_empty() && self.read.is_none() {
                self.now = self.stream.next_deadline().unwrap_or(self.now.after(STALL_MIN)).max(self.now);
                self.step(&Step::Beat);
            }
        }
        panic!("not up to date after a long calm: {:#?}", self.stream);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn a_follower_is_never_believed_too_much_and_always_brought_up_to_date(
        common in 0..40u64, ours in 0..40u64, theirs in 0..40u64, steps in steps(),
    ) {
        let mut world = World::new(common, ours, theirs);
        for step in &steps {
            world.step(step);
        }
        world.calm();
        prop_assert!(world.stream.regressed.is_none());
    }
}

#[test]
fn replies_from_nowhere_change_nothing_and_never_panic() {
    let mut runner = proptest::test_runner::TestRunner::default();
    let id = || prop_oneof![(0..60u64, 0..5u64), any::<(u64, u64)>()].prop_map(|(index, term)| LogId::new(term, index));
    let reply = (0..3u64, id(), id(), prop::option::of(id()), any::<bool>());
    runner
        .run(&prop::collection::vec(reply, 1..60), |replies| {
            let mut world = World::new(20, 20, 0);
            for (stream, one, other, conflict, ack) in replies {
                let (stream, applied) = (StreamId(stream), other.index);
                if ack {
                    let ack = Ack { stream, durable: one, applied, credit_bytes: other.term.0 };
                    let _ = world.stream.on_ack(world.now, &ack, &world.log);
                } else {
                    let conflict = conflict.map(|id| (id.term, id.index));
                    let reject = Reject { stream, prev: one, last: other, conflict };
                    world.stream.on_reject(world.now, &reject, &world.log);
                }
                let beat = Beat { stream, echo: Time(one.index.0), applied, credit_bytes: one.term.0 };
                world.stream.on_heartbeat_reply(world.now, &beat);
                world.now = Time(world.now.0 + 300_000);
                world.stream.tick(world.now);
                world.poll();
                prop_assert!(world.stream.matched().index <= world.log.last().index);
            }
            Ok(())
        })
        .expect("no reply breaks the stream");
}
