//! A cluster in one value: members, their disks and clocks, and the messages between them.

use super::disk::Disk;
use super::trace;
use bytes::Bytes;
use raft::{
    Config, Entry, Envelope, Input, LinkId, LogId, LogRead, MemberId, Membership, Message, Now, Output, Raft, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Steps one verb may cause: more is a loop that never comes to rest.
const STEPS_MAX: usize = 20_000;

pub(crate) struct Member {
    pub(crate) raft: Option<Raft>,
    pub(crate) disk: Disk,
    pub(crate) clock: Time,
    /// Writes stay in flight until they are flushed by a verb.
    pub(crate) slow: bool,
    /// Everything applied since the beginning, also before a restart.
    pub(crate) applied: Vec<LogId>,
}

#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) net: VecDeque<Envelope>,
    /// Pairs that cannot talk, the smaller id first.
    pub(crate) cut: BTreeSet<(MemberId, MemberId)>,
    pub(crate) trace: Vec<String>,
    pub(crate) committed: BTreeMap<u64, LogId>,
    pub(crate) leaders: BTreeMap<u64, MemberId>,
    pub(crate) tokens: u64,
    /// Heartbeats and their replies are written down too.
    pub(crate) chatty: bool,
    links: u64,
    steps: usize,
}

pub(crate) fn pair(a: MemberId, b: MemberId) -> (MemberId, MemberId) {
    (a.min(b), a.max(b))
}

impl Cluster {
    pub(crate) fn start(&mut self, ids: &[MemberId], learners: &[MemberId]) {
        let mut membership = Membership::bootstrap(ids.iter().map(|id| (*id, Bytes::new())));
        for learner in learners {
            membership.learners.insert(*learner);
            membership.nodes.insert(*learner, Bytes::new());
        }
        for id in ids.iter().chain(learners) {
            self.add(*id, Some(membership.clone()));
        }
    }

    /// A new member; without a configuration it waits to be added.
    pub(crate) fn add(&mut self, id: MemberId, membership: Option<Membership>) {
        let disk = Disk::formatted(membership);
        let clock = Time(1_000_000 * id.0);
        self.members.insert(id, Member { raft: None, disk, clock, slow: false, applied: Vec::new() });
        self.boot(id);
    }

    pub(crate) fn boot(&mut self, id: MemberId) {
        let member = self.members.get_mut(&id).expect("a known member");
        member.applied = member.disk.applied.clone();
        let config = Config { cache_bytes_max: 1 << 20, ..Config::new(id, 7) };
        let raft = Raft::new(config, member.disk.boot(), now(member.clock));
        member.raft = Some(raft);
        let others: Vec<_> = self.running().into_iter().filter(|other| *other != id).collect();
        for other in others {
            self.connect(id, other);
        }
    }

    pub(crate) fn crash(&mut self, id: MemberId) {
        let member = self.members.get_mut(&id).expect("a known member");
        member.raft = None;
        member.disk.lose_pending();
        self.net.retain(|envelope| envelope.from != id && envelope.to != id);
        for other in self.running() {
            self.disconnect_one(other, id);
        }
    }

    pub(crate) fn running(&self) -> Vec<MemberId> {
        self.members.iter().filter(|(_, member)| member.raft.is_some()).map(|(id, _)| *id).collect()
    }

    pub(crate) fn raft(&self, id: MemberId) -> Option<&Raft> {
        self.members.get(&id)?.raft.as_ref()
    }

    pub(crate) fn connect(&mut self, a: MemberId, b: MemberId) {
        if self.cut.contains(&pair(a, b)) {
            return;
        }
        self.links += 1;
        let link = LinkId(self.links);
        self.step(a, Input::LinkUp { peer: b, link });
        self.step(b, Input::LinkUp { peer: a, link });
    }

    fn disconnect_one(&mut self, at: MemberId, peer: MemberId) {
        // The driver knows which connection ended; here the newest one is the only one.
        for link in (1..=self.links).rev().map(LinkId) {
            self.step(at, Input::LinkDown { peer, link });
        }
    }

    pub(crate) fn disconnect(&mut self, a: MemberId, b: MemberId) {
        self.cut.insert(pair(a, b));
        self.net.retain(|envelope| pair(envelope.from, envelope.to) != pair(a, b));
        self.disconnect_one(a, b);
        self.disconnect_one(b, a);
    }

    pub(crate) fn heal(&mut self) {
        for (a, b) in std::mem::take(&mut self.cut) {
            if self.raft(a).is_some() && self.raft(b).is_some() {
                self.connect(a, b);
            }
        }
    }

    /// One input for one member, and everything its disk and state machine say to that.
    pub(crate) fn step(&mut self, id: MemberId, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.steps += 1;
            assert!(
                self.steps < STEPS_MAX,
                "the cluster does not come to rest; last: {:?}",
                self.trace.iter().rev().take(20).collect::<Vec<_>>()
            );
            let Some(member) = self.members.get_mut(&id) else { return };
            let Some(raft) = &mut member.raft else { return };
            let mut out = Output::default();
            raft.step(now(member.clock), input, &mut out);
            inputs.extend(self.perform(id, out));
        }
    }

    pub(crate) fn verb_begins(&mut self) {
        self.steps = 0;
    }

    fn perform(&mut self, id: MemberId, out: Output) -> Vec<Input> {
        let mut inputs = Vec::new();
        let term = self.raft(id).expect("it has just stepped").status(Time(0)).term;
        for event in &out.events {
            self.trace.extend(trace::event(id, term, event));
            if let raft::Event::Leading { term } = event {
                let known = *self.leaders.entry(term.0).or_insert(id);
                assert_eq!(known, id, "two leaders in term {term}");
            }
        }
        self.trace.extend(out.answers.iter().map(|answer| trace::answer(id, answer)));
        if let Some(install) = out.install {
            self.trace.push(format!("{id} needs a snapshot from {} reaching {}", install.from, install.offer.last));
        }
        let member = self.members.get_mut(&id).expect("it has just stepped");
        if let Some(persist) = out.persist {
            member.disk.write(persist);
            if !member.slow {
                inputs.extend(member.disk.flush(usize::MAX).map(Input::Persisted));
            }
        }
        for entry in &out.apply {
            let expected = member.applied.last().map_or(1, |id| id.index.0 + 1);
            assert_eq!(entry.index().0, expected, "{id} applies every entry once, in order");
            assert_eq!(member.disk.id_at(entry.index()), Some(entry.id()), "{id} applies what is durable");
            member.applied.push(entry.id());
            member.disk.applied.push(entry.id());
        }
        self.trace.extend(trace::applied(id, &out.apply));
        inputs.extend(out.apply.last().map(|entry| Input::Applied(entry.index())));
        inputs.extend(out.log_reads.iter().map(|read| answer_read(&member.disk, read)));
        for envelope in out.send {
            self.net.push_back(envelope);
        }
        inputs
    }

    pub(crate) fn flush(&mut self, id: MemberId, writes: usize) {
        if let Some(io) = self.members.get_mut(&id).and_then(|member| member.disk.flush(writes)) {
            self.step(id, Input::Persisted(io));
        }
    }

    /// Delivers one message, or loses it if its way is cut.
    pub(crate) fn deliver(&mut self, envelope: Envelope) {
        let idle = matches!(envelope.message, Message::Heartbeat { .. } | Message::HeartbeatReply { .. });
        let lost = self.cut.contains(&pair(envelope.from, envelope.to)) || self.raft(envelope.to).is_none();
        if self.chatty || !idle {
            self.trace.push(format!("{envelope}{}", if lost { " (lost)" } else { "" }));
        }
        if !lost {
            self.step(envelope.to, Input::Received(envelope));
        }
    }

    /// Delivers messages until none are left. No time passes.
    pub(crate) fn settle(&mut self) {
        while let Some(envelope) = self.net.pop_front() {
            self.deliver(envelope);
        }
    }

    /// Time passes for everybody; whoever has something due does it, and everything in between is delivered.
    pub(crate) fn wait(&mut self, time: Duration) {
        let mut left = time;
        loop {
            self.settle();
            let due = |id: MemberId| {
                let member = &self.members[&id];
                let deadline = member.raft.as_ref().map_or(Time(u64::MAX), Raft::next_deadline);
                (deadline.since(member.clock), id)
            };
            let Some((pause, id)) = self.running().into_iter().map(due).min() else { return };
            if pause >= left {
                self.pass(left);
                return;
            }
            self.pass(pause);
            left -= pause;
            self.step(id, Input::Tick);
        }
    }

    /// Clocks move; nobody notices yet.
    pub(crate) fn pass(&mut self, time: Duration) {
        for member in self.members.values_mut() {
            member.clock = member.clock.after(time);
        }
    }

    /// Ticks one member at its next deadline, by its own clock alone.
    pub(crate) fn tick(&mut self, id: MemberId) {
        let member = self.members.get_mut(&id).expect("a known member");
        let Some(raft) = &member.raft else { return };
        member.clock = member.clock.max(raft.next_deadline());
        self.step(id, Input::Tick);
    }
}

fn now(clock: Time) -> Now {
    Now { mono: clock, wall_us: 1_700_000_000_000_000 + clock.0 }
}

fn answer_read(disk: &Disk, read: &LogRead) -> Input {
    let mut bytes = 0;
    let mut entries: Vec<Entry> = disk.read(read.from, read.through);
    let fitting = entries.iter().take_while(|entry| {
        let first = bytes == 0;
        bytes += entry.bytes();
        first || bytes <= read.bytes_max
    });
    let fitting = fitting.count();
    entries.truncate(fitting);
    let result = if entries.is_empty() { Err(raft::LogReadFailure::Compacted) } else { Ok(entries) };
    Input::LogRead { peer: read.peer, stream: read.stream, result }
}
