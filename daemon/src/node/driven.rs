//! The loop without a runtime, threads, sockets or a clock: somebody else says what has come and what time it is, and
//! gets what the loop wants done, in order. For a simulator; between its doors it is the loop of every member.
//!
//! ```text
//!   Handle ──────────────┐                       ┌─▶ Effect::Log, Read, Apply, Switch, Fetch
//!   arrived, called, up ─┼─▶ inbox ─▶ turn(now) ─┤
//!   reports ─────────────┘                       └─▶ departing: frames, as they would stand on a socket
//! ```

use super::completion::{Completion, Outcome};
use super::doors::{Doors, FetchDoor, LogDoor, StoreDoor, Witness};
use super::follow::{Company, known_cluster};
use super::full::Tree;
use super::inbox::Batch;
use super::log::completion_of;
use super::retention::Retention;
use super::shared::Shared;
use super::turn::{self, Node};
use super::{Handle, Inbox, Stop};
use crate::bootstrap::{Identity, NodeInfo};
use crate::config::settings::Snapshot;
use crate::install::{Installed, Limits, Progress, Ready, Server, Switch};
use crate::metrics::Stages;
use crate::transport::gate::Gate;
use crate::transport::hello::{BindReply, Introduction, Lane, PROTOCOL_VERSION, Refusal};
use crate::transport::{Directory, Local, PeerEvent, Peers, Wires, call};
use crate::wal::{self, SubmitError, WalReader, WalRequest};
use admin_api::Id;
use bytes::Bytes;
use mvcc::Store;
use raft::{
    Answer, Boot, Brief, Config, Entry, Envelope, Event, Index, Input, LinkId, LogRead, LogReadFailure, MemberId,
    Membership, Message, Now, Output, Raft, ReadRound, SnapshotPoint, Status, Term, Time, Token,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// What a member is that starts.
pub struct Start {
    /// Who it is.
    pub identity: Identity,
    /// How it describes itself.
    pub info: NodeInfo,
    /// The engine's settings.
    pub config: Config,
    /// What the log remembers.
    pub boot: Boot,
    /// When it starts.
    pub now: Now,
    /// Its state machine.
    pub store: Arc<Store>,
    /// The log as it is read.
    pub reader: WalReader,
    /// How much of the log is kept.
    pub retention: Snapshot,
    /// A number for whatever the engine takes.
    pub number: fn(&Input) -> u64,
    /// Words for it, if somebody reads them.
    pub words: Option<fn(&Input) -> String>,
}

/// How far members are known to hold what is committed, by a heartbeat.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Who says so.
    pub from: MemberId,
    /// As leader of this term.
    pub term: Term,
    /// What it says.
    pub reached: Vec<(MemberId, Index)>,
}

impl Beat {
    fn of(input: &Input) -> Option<Self> {
        let Input::Received(Envelope { from, term, message: Message::Heartbeat { reached, .. }, .. }) = input else {
            return None;
        };
        Some(Self { from: *from, term: *term, reached: reached.clone() })
    }
}

/// What the loop has done, or wants done, in order.
#[derive(Debug)]
pub enum Effect {
    /// The engine took something; what follows is what that led to.
    Told {
        /// Which kind of thing, and from whom.
        number: u64,
        /// The same in words.
        words: String,
        /// It was asked from which index on a read is linearizable.
        read: Option<Token>,
        /// A leader says how far members are.
        beat: Option<Beat>,
    },
    /// The engine has answered.
    Said {
        /// Where it stands.
        brief: Brief,
        /// What happened.
        events: Vec<Event>,
        /// Reads it has confirmed.
        reads: Vec<Token>,
        /// The round of the heartbeats it sends.
        round: Option<ReadRound>,
    },
    /// For the log. Answered by [`Driven::log_done`].
    Log(WalRequest),
    /// Entries are to be read back. Answered by [`Driven::read_back`].
    Read(LogRead),
    /// Entries are to be applied. Answered by [`Driven::applied`].
    Apply(Vec<Entry>),
    /// The store is to be switched, after what is to be applied. Answered by [`Driven::switched`].
    Switch(Box<Switch>),
    /// A snapshot is needed that covers at least this entry. Answered by [`Driven::fetched`], some day.
    Fetch(Index),
}

/// What is behind the doors.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<Vec<Effect>>>);

struct DrivenLog {
    effects: Effects,
    reader: WalReader,
}

struct DrivenWitness {
    effects: Effects,
    number: fn(&Input) -> u64,
    words: Option<fn(&Input) -> String>,
}

/// One member's loop, driven by hand.
pub struct Driven {
    node: Node,
    batch: Batch,
    inbox: Arc<Inbox>,
    handle: Handle,
    local: Arc<Local>,
    wires: Wires,
    effects: Effects,
    installing: Option<oneshot::Receiver<Installed>>,
}

impl Effects {
    fn push(&self, effect: Effect) {
        self.0.lock().expect("nothing panics while it holds the effects").push(effect);
    }

    fn take(&self, into: &mut Vec<Effect>) {
        into.append(&mut self.0.lock().expect("nothing panics while it holds the effects"));
    }
}

impl LogDoor for DrivenLog {
    fn submit(&mut self, request: WalRequest) -> Result<(), SubmitError> {
        self.effects.push(Effect::Log(request));
        Ok(())
    }

    fn read(&self, ask: LogRead) {
        self.effects.push(Effect::Read(ask));
    }

    fn tail(&self, bytes_max: u64) -> Index {
        self.reader.tail(bytes_max)
    }

    fn bytes(&self) -> u64 {
        self.reader.bytes()
    }

    fn queued_bytes(&self) -> u64 {
        0
    }

    fn close(self: Box<Self>) {}
}

impl StoreDoor for Effects {
    fn apply(&self, entries: &mut Vec<Entry>) {
        self.push(Effect::Apply(std::mem::take(entries)));
    }

    fn switch(&self, switch: Switch) {
        self.push(Effect::Switch(Box::new(switch)));
    }
}

impl FetchDoor for Effects {
    fn want(&self, at_least: Index, _: &BTreeMap<MemberId, NodeInfo>) {
        self.push(Effect::Fetch(at_least));
    }
}

impl Witness for DrivenWitness {
    fn told(&mut self, input: &Input) {
        let (number, words) = ((self.number)(input), self.words.map(|words| words(input)).unwrap_or_default());
        let read = if let Input::Read(token) = input { Some(*token) } else { None };
        self.effects.push(Effect::Told { number, words, read, beat: Beat::of(input) });
    }

    fn said(&mut self, brief: &Brief, out: &Output) {
        let confirmed = |answer: &Answer| if let Answer::Read(token, Ok(_)) = answer { Some(*token) } else { None };
        let reads = out.answers.iter().filter_map(confirmed).collect();
        let round = out.send.iter().find_map(|envelope| match envelope.message {
            Message::Heartbeat { round, .. } => Some(round),
            _ => None,
        });
        self.effects.push(Effect::Said { brief: *brief, events: out.events.clone(), reads, round });
    }
}

impl Driven {
    /// A member that starts.
    #[must_use]
    pub fn start(start: Start) -> Self {
        let Start { identity, info, config, boot, now, store, reader, retention, number, words } = start;
        let (effects, inbox) = (Effects::default(), Arc::new(Inbox::default()));
        let election = config.election;
        let raft = Raft::new(config, boot, now);
        let introduction = Introduction {
            version: PROTOCOL_VERSION,
            member: None,
            storage: identity.storage,
            info: info.clone(),
            token: String::new(),
            cluster: None,
        };
        let gate = Arc::new(Gate::new(introduction, identity.boot));
        gate.open(Id(identity.member.0), known_cluster(identity.cluster, &raft));
        let wires = Wires::new(Arc::clone(&inbox));
        let peers = Peers::carried_by(Box::new(wires.clone()), identity.member, Arc::new(Directory::default()));
        let local = Arc::new(Local::new(identity.clone(), info, Arc::clone(&gate), None));
        let shared = Arc::new(Shared::new(identity, store, Arc::clone(&inbox)));
        let handle = Handle::new(Arc::clone(&shared));
        let doors = Doors {
            log: Box::new(DrivenLog { effects: effects.clone(), reader }),
            store: Box::new(effects.clone()),
            fetcher: Box::new(effects.clone()),
            witness: Some(Box::new(DrivenWitness { effects: effects.clone(), number, words })),
        };
        let node = Node::new(turn::Parts {
            raft,
            now,
            shared,
            gate,
            peers,
            company: Company::default(),
            doors,
            stages: Arc::new(Stages::new()),
            progress: Arc::new(Progress::default()),
            snapshots: Server::new(handle.clone(), Limits { bytes_per_second: 0 }),
            election,
            retention: Retention::new(retention),
            uses_object_store: false,
        });
        Self { node, batch: Batch::default(), inbox, handle, local, wires, effects, installing: None }
    }

    /// The door for clients. What it promises is kept by turns.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The sequence of the next command that is proposed here.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.handle.next_sequence()
    }

    /// When the next turn is due though nothing has come; never, while the member switches to a snapshot.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        (!self.node.is_switching()).then(|| self.node.deadline())
    }

    /// One turn of the loop, with everything that has come. What it wants done is added to `effects`.
    pub fn turn(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.node.is_switching() {
            let completions = self.inbox.try_take_completions();
            self.node.go_on_switching(now, completions);
        }
        if !self.node.is_switching() && self.node.stop.is_none() {
            self.inbox.try_take(&mut self.batch);
            self.node.turn(now, &mut self.batch);
        }
        self.effects.take(effects);
    }

    /// Why the member has to end, if it has to.
    #[must_use]
    pub fn stop(&self) -> Option<&Stop> {
        self.node.stop.as_ref()
    }

    /// The member switches to a snapshot and does nothing else.
    #[must_use]
    pub fn is_switching(&self) -> bool {
        self.node.is_switching()
    }

    /// Where it stands.
    #[must_use]
    pub fn brief(&self) -> Brief {
        self.node.raft.brief()
    }

    /// Everything the engine knows.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        self.node.raft.status(now)
    }

    /// The configuration in force.
    #[must_use]
    pub fn membership(&self) -> (Index, &Membership) {
        self.node.raft.membership()
    }

    /// Where a snapshot of this entry stands in the log.
    #[must_use]
    pub fn snapshot_point(&self, index: Index) -> Option<SnapshotPoint> {
        self.node.raft.snapshot_point(index)
    }

    // What the log, the store and whoever fetches report.

    /// The log has done something.
    pub fn log_done(&self, completion: &wal::Completion) {
        self.inbox.complete(completion_of(completion));
    }

    /// Entries were read back, or not.
    pub fn read_back(&self, ask: &LogRead, result: Result<Vec<Entry>, LogReadFailure>) {
        self.inbox.complete(Completion::LogRead { peer: ask.peer, stream: ask.stream, result });
    }

    /// Everything up to `through` is applied, which led to this.
    pub fn applied(&self, through: Index, term: Term, outcomes: Vec<Outcome>) {
        self.inbox.complete(Completion::Applied { through, term, outcomes });
    }

    /// The store survives a crash with everything up to here.
    pub fn flushed(&self, through: Index) {
        self.inbox.complete(Completion::Flushed(through));
    }

    /// The store has been switched.
    pub fn switched(&self) {
        self.inbox.complete(Completion::Switched);
    }

    /// The disk of the log has announced that it is full, or has room again.
    pub fn disk_full(&self, full: bool) {
        self.inbox.complete(Completion::DiskFull(Tree::Log, full));
    }

    /// What is to be written to the data directory waits for room, or does not any more.
    pub fn data_disk_full(&self, full: bool) {
        self.inbox.complete(Completion::DiskFull(Tree::Data, full));
    }

    /// A snapshot is ready to be switched to. [`Driven::installed`] tells what became of it.
    pub fn fetched(&mut self, switch: Switch) {
        let (done, installing) = oneshot::channel();
        self.installing = Some(installing);
        self.inbox.complete(Completion::Snapshot(Box::new(Ready { switch, done })));
    }

    /// What became of the snapshot that was ready; told once.
    pub fn installed(&mut self) -> Option<Installed> {
        let installed = self.installing.as_mut()?.try_recv().ok()?;
        self.installing = None;
        Some(installed)
    }

    // Links and what comes on them.

    /// The peers that the loop links to from now on (true) or does not any more (false), since this was asked last.
    #[must_use]
    pub fn link_changes(&self) -> Vec<(MemberId, bool)> {
        self.wires.changes()
    }

    /// Calls another member, which both notice.
    ///
    /// # Errors
    /// Why nothing can be sent there; nothing but a refusal has a name.
    pub fn call(&self, to: &Self) -> Result<(), Option<Refusal>> {
        call((&self.local, &self.inbox), (&to.local, &to.inbox))
    }

    /// A process with an empty disk asks to be the member that was added where it is.
    #[must_use]
    pub fn bind(&self, info: NodeInfo) -> oneshot::Receiver<BindReply> {
        let (reply, answer) = oneshot::channel();
        self.inbox.peer_now(PeerEvent::Bind { info, reply });
        answer
    }

    /// The link to a peer stands from now on, if the loop wants one.
    pub fn link_up(&self, peer: MemberId, link: LinkId) {
        self.wires.up(peer, link);
    }

    /// Whether the loop wants a link to this peer, standing or not.
    #[must_use]
    pub fn links_to(&self, peer: MemberId) -> bool {
        self.wires.has(peer)
    }

    /// The link to a peer is gone, if it is still this one.
    pub fn link_down(&self, peer: MemberId, link: LinkId) {
        if self.wires.standing(peer) == Some(link) {
            self.wires.down(peer);
        }
    }

    /// Takes every frame that is to be sent, lane by lane.
    pub fn departing(&self, each: impl FnMut(MemberId, Lane, Bytes)) {
        self.wires.departing(each);
    }

    /// A frame has come from a peer.
    ///
    /// # Errors
    /// What is wrong with it. A connection would end.
    pub fn arrived(&self, peer: MemberId, frame: Bytes) -> Result<(), String> {
        self.wires.arrived(peer, frame)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
