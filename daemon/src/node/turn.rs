//! The loop: waits, takes everything there is, lets the engine step, and hands requests on.

use super::bind::{Binding, bind};
use super::calls::{Caller, Calls};
use super::clock::Clock;
use super::completion::Completion;
use super::doors::{Doors, FetchDoor, StoreDoor, Witness};
use super::follow::{Company, Departure};
use super::foreign::Foreign;
use super::full::{FullDisks, Tree};
use super::inbox::Batch;
use super::log::DiskLog;
use super::perform::PEER_TOKENS;
use super::reads::{READS_WAITING_MAX, Reads};
use super::request::{ProposeRequest, ReadRequest};
use super::retention::{self, Retention};
use super::shared::Shared;
use super::spans::Spans;
use super::switch::Switching;
use super::trace::Trace;
use super::waiters::{Place, Waiters};
use super::{ProposeFailure, ReadFailure, Stop};
use crate::bootstrap::NodeInfo;
use crate::install::{Progress, Ready, Server};
use crate::metrics::Stages;
use crate::stage;
use crate::transport::gate::Gate;
use crate::transport::hello::{BindReply, Refusal};
use crate::transport::{Call, CallReply, Forwarded, NotTaken, NotTakenReason, PeerEvent, Peers};
use crate::wal::WalRequest;
use admin_api::Id;
use bytes::Bytes;
use raft::planted::{Bug, is_planted};
use raft::{
    EntryKind, Index, Input, IoId, LogId, MemberId, MembershipError, Now, Output, Proposal, Raft, RoleName, Term, Time,
    Token, TransferError,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// Committed entries that wait to be applied, beyond which clients are told to slow down; etcd's number.
const APPLY_LAG_MAX: u64 = 5000;
/// Commands proposed or forwarded in one go: what one append carries.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The pause before something that nobody took is offered again. Elections take longer, hand-overs less.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long a request may take besides two election timeouts, as in etcd.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often deadlines of requests are looked at, while there are requests.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// The driver of one member.
pub(super) struct Node {
    pub(super) raft: Raft,
    pub(super) out: Output,
    /// When this turn began.
    pub(super) now: Now,
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Arc<Gate>,
    pub(super) peers: Peers,
    pub(super) company: Company,
    pub(super) log: DiskLog,
    pub(super) store: Box<dyn StoreDoor>,
    pub(super) witness: Option<Box<dyn Witness>>,
    pub(super) stages: Arc<Stages>,
    pub(super) spans: Spans,
    pub(super) waiters: Waiters,
    pub(super) reads: Reads,
    pub(super) calls: Calls,
    pub(super) foreign: Foreign,
    /// Nothing is offered again before this.
    pub(super) paused_until: Option<Time>,
    pub(super) sweep_at: Time,
    /// How long a request may take.
    pub(super) request_timeout: Duration,
    pub(super) membership_changed: bool,
    /// The last write handed to the log.
    pub(super) last_io: IoId,
    /// The last write the log has reported.
    pub(super) persisted_io: IoId,
    pub(super) install_wanted: Option<LogId>,
    pub(super) fetcher: Box<dyn FetchDoor>,
    pub(super) progress: Arc<Progress>,
    pub(super) snapshots: Arc<Server>,
    /// A snapshot that waits for its moment.
    pub(super) ready: Option<Box<Ready>>,
    /// A switch to one is under way.
    pub(super) switching: Option<Switching>,
    pub(super) retention: Retention,
    /// This member has a place for snapshots outside the cluster.
    pub(super) uses_object_store: bool,
    pub(super) full: FullDisks,
    pub(super) log_cuts: u64,
    pub(super) leader_changes: u64,
    pub(super) refused_messages: u64,
    /// This member has been removed, and ends soon.
    pub(super) departure: Option<Departure>,
    pub(super) stop: Option<Stop>,
}

/// What a member's loop is made of.
pub(super) struct Parts {
    pub(super) raft: Raft,
    pub(super) now: Now,
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Arc<Gate>,
    pub(super) peers: Peers,
    pub(super) company: Company,
    pub(super) doors: Doors,
    pub(super) stages: Arc<Stages>,
    pub(super) progress: Arc<Progress>,
    pub(super) snapshots: Arc<Server>,
    /// How long it takes to elect somebody.
    pub(super) election: Duration,
    pub(super) retention: Retention,
    pub(super) uses_object_store: bool,
}

impl Node {
    /// The loop before its first turn.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { raft, now, shared, gate, peers, company, doors, stages, progress, snapshots, .. } = parts;
        let Doors { log, store, fetcher, witness } = doors;
        let calls = Calls::numbered_from(shared.peek_sequence());
        let mut node = Self {
            sweep_at: now.mono,
            raft,
            out: Output::default(),
            now,
            shared,
            gate,
            peers,
            company,
            log: DiskLog::new(log),
            store,
            witness,
            stages,
            spans: Spans::default(),
            waiters: Waiters::default(),
            reads: Reads::default(),
            calls,
            foreign: Foreign::default(),
            paused_until: None,
            request_timeout: REQUEST_TIMEOUT + 2 * parts.election,
            membership_changed: false,
            last_io: IoId::default(),
            persisted_io: IoId::default(),
            install_wanted: None,
            fetcher,
            progress,
            snapshots,
            ready: None,
            switching: None,
            retention: parts.retention,
            uses_object_store: parts.uses_object_store,
            full: FullDisks::default(),
            log_cuts: 0,
            leader_changes: 0,
            refused_messages: 0,
            departure: None,
            stop: None,
        };
        node.follow_membership();
        node.end_turn();
        node
    }

    /// Runs until it is told to stop, or must.
    pub(super) async fn run(mut self, clock: Clock, stop: CancellationToken) -> (Stop, DiskLog, Box<dyn StoreDoor>) {
        let (mut batch, inbox) = (Batch::default(), self.shared.inbox().clone());
        let reason = loop {
            if self.is_switching() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break Stop::Asked,
                    completions = inbox.take_completions() => self.go_on_switching(clock.now(), completions),
                }
            } else {
                let deadline = clock.instant(self.deadline());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break Stop::Asked,
                    () = inbox.take(&mut batch) => {}
                    () = sleep_until(deadline) => {}
                }
                self.turn(clock.now(), &mut batch);
            }
            if let Some(reason) = self.stop.take() {
                break reason;
            }
        };
        inbox.close();
        (reason, self.log, self.store)
    }

    /// When the next turn is due though nothing has come.
    pub(super) fn deadline(&self) -> Time {
        let mut deadline = self.raft.next_deadline();
        if self.has_held() {
            deadline = deadline.min(self.paused_until.unwrap_or(self.sweep_at));
        }
        if self.has_requests() || self.has_leaving() {
            deadline = deadline.min(self.sweep_at);
        }
        self.departure.map_or(deadline, |departure| deadline.min(departure.due(self.now.mono)))
    }

    /// Works through everything that has come, and leaves `batch` empty. Not while the member switches to a snapshot.
    pub(super) fn turn(&mut self, now: Now, batch: &mut Batch) {
        self.now = now;
        if self.raft.next_deadline() <= self.now.mono {
            self.step(Input::Tick);
        }
        for completion in batch.completions.drain(..) {
            self.on_completion(completion);
        }
        for event in batch.peers.drain(..) {
            self.on_peer(event);
        }
        self.take_proposals(&mut batch.proposals);
        self.take_reads(&mut batch.reads);
        for request in batch.calls.drain(..) {
            let (call, caller) = Caller::of(request);
            self.calls.insert(call, caller, self.request_deadline());
        }
        self.hand_on();
        self.end_turn();
        for question in batch.questions.drain(..) {
            self.answer(question);
        }
        self.begin_switch();
    }

    /// What follows from the turn as a whole.
    pub(super) fn end_turn(&mut self) {
        if std::mem::take(&mut self.membership_changed) {
            self.follow_membership();
        }
        if self.now.mono >= self.sweep_at {
            self.waiters.sweep(self.now.mono);
            self.reads.sweep(self.now.mono);
            self.calls.sweep(self.now.mono);
            self.see_off();
            self.sweep_at = self.now.mono.after(SWEEP_EVERY);
        }
        self.settle_departure();
        self.shared.publish(&self.raft.brief());
    }

    pub(super) fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Persisted(io) => {
                self.waiters.trace_all(|trace| trace.persisted(io));
                self.foreign.persisted(io);
                self.persisted_io = io;
                self.step(Input::Persisted(io));
                self.log.drain();
            }
            Completion::Applied { through, term, outcomes } => {
                for outcome in outcomes {
                    self.waiters.finish(outcome.sequence, outcome.applied);
                }
                self.waiters.applied(term);
                self.foreign.applied(through);
                self.reads.applied(through);
                self.spans.applied(through, self.now.mono, &self.stages);
                self.step(Input::Applied(through));
            }
            Completion::Snapshot(ready) => self.ready = Some(ready),
            // Waited for where they are asked for.
            Completion::Switched | Completion::LogReset => {}
            Completion::Flushed(flushed) => self.cut_log(flushed),
            Completion::Compacted(through) => {
                self.log_cuts += 1;
                tracing::info!(%through, "cut the log");
                self.step(Input::Compacted { through });
            }
            Completion::DiskFull(tree, full) => self.disk_full(tree, full),
            Completion::LogRead { peer, stream, result } => self.step(Input::LogRead { peer, stream, result }),
            Completion::Failed(why) => self.stop = Some(Stop::Failed(why)),
            Completion::Recover => drop(self.stop.get_or_insert(Stop::Recovering)),
        }
    }

    fn disk_full(&mut self, tree: Tree, full: bool) {
        self.full.note(tree, full);
        self.step(Input::DiskFull(self.full.any()));
    }

    /// The store has flushed, so more of the log may be of no use any more.
    fn cut_log(&mut self, flushed: Index) {
        let status = self.raft.status(self.now.mono);
        let flushed = if is_planted(Bug::CutUnflushed) { status.applied } else { flushed };
        let leading_for = self.retention.leading_for(status.role == RoleName::Leader, self.now.mono);
        let (first, followers, staged) = (status.first, &status.followers[..], self.staged());
        let view = retention::View { flushed, first, followers, leading_for, staged };
        let cut = self.retention.decide(view, |bytes| self.log.tail(bytes));
        if let Some(through) = cut {
            self.log.submit(WalRequest::Compact { through });
        }
    }

    /// The newest snapshot that a member can fetch from the object store.
    fn staged(&self) -> Option<retention::Staged> {
        let known = self.uses_object_store.then(|| self.shared.store().staged())?;
        let newest = stage::newest(&known)?;
        Some(retention::Staged { index: Index(newest.index), bytes: newest.bytes })
    }

    fn on_peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::LinkUp { peer, link } => self.step(Input::LinkUp { peer, link }),
            PeerEvent::LinkDown { peer, link } => self.step(Input::LinkDown { peer, link }),
            PeerEvent::Message(envelope) => self.step(Input::Received(envelope)),
            PeerEvent::Called { peer, info } => self.on_called(peer, info),
            PeerEvent::Forwarded { peer, term, commands } => self.on_forwarded(peer, term, commands),
            PeerEvent::NotTaken { peer, not_taken } => self.on_not_taken(peer, &not_taken),
            PeerEvent::Call { peer, id, call } => self.on_call(peer, id, call),
            PeerEvent::CallReply { id, reply } => self.on_call_answered(Token(id), reply),
            PeerEvent::Bind { info, reply } => self.on_bind(&info, reply),
            PeerEvent::Refused { peer, refusal } => self.on_refused(peer, refusal),
        }
    }

    fn on_refused(&mut self, peer: MemberId, refusal: Refusal) {
        let stop = match refusal {
            Refusal::DiskReplaced => Stop::DiskReplaced,
            Refusal::Removed => Stop::Removed,
            // The link says so itself, and keeps trying: these pass, or a person must look.
            Refusal::Version | Refusal::OtherCluster | Refusal::NotMe | Refusal::UnknownMember | Refusal::NotReady => {
                return;
            }
        };
        tracing::error!(peer = %Id(peer.0), %refusal, "this member must not go on");
        self.stop = Some(stop);
    }

    // Requests of this process.

    fn take_proposals(&mut self, requests: &mut Vec<ProposeRequest>) {
        let deadline = self.request_deadline();
        let overloaded = self.is_overloaded();
        for ProposeRequest { sequence, payload, reply, trace } in requests.drain(..) {
            if overloaded || !self.waiters.has_room(payload.len()) {
                let _ = reply.send(Err(ProposeFailure::TooManyRequests));
            } else {
                self.waiters.insert(sequence, payload, reply, deadline, trace);
            }
        }
    }

    fn take_reads(&mut self, requests: &mut Vec<ReadRequest>) {
        if requests.is_empty() {
            return;
        }
        if self.reads.len() >= READS_WAITING_MAX {
            for read in requests.drain(..) {
                // A client that has gone needs no answer.
                let _ = read.send(Err(ReadFailure::TooManyRequests));
            }
            return;
        }
        let deadline = self.request_deadline();
        self.reads.insert(std::mem::take(requests), deadline);
    }

    /// Offers what is held to whoever leads.
    fn hand_on(&mut self) {
        if self.paused_until.is_some_and(|until| self.now.mono < until) {
            return;
        }
        self.paused_until = None;
        if let Some(token) = self.reads.ask() {
            self.step(Input::Read(token));
        }
        let brief = self.raft.brief();
        match (brief.role, brief.leader) {
            (RoleName::Leader, _) => self.propose_held(),
            (_, Some(leader)) => self.forward_held(leader, brief.term),
            (_, None) => {}
        }
        self.hand_on_calls(brief.role, brief.leader);
    }

    fn propose_held(&mut self) {
        while self.waiters.has_held() && self.paused_until.is_none() {
            let taken = self.waiters.take_held(BATCH_BYTES_MAX);
            if taken.is_empty() {
                return;
            }
            self.propose(taken.into_iter());
        }
    }

    fn propose(&mut self, commands: impl Iterator<Item = (u64, Bytes)>) {
        let proposal = |(token, payload)| Proposal { token: Token(token), kind: EntryKind::Command, payload };
        let before = self.raft.brief().last;
        self.step(Input::Propose(commands.map(proposal).collect()));
        let last = self.raft.brief().last;
        if last > before {
            self.spans.appended(last, self.now.mono);
        }
    }

    fn forward_held(&mut self, leader: MemberId, term: Term) {
        while self.waiters.has_held() {
            let taken = self.waiters.take_held(BATCH_BYTES_MAX);
            let waiters = &mut self.waiters;
            let forwarded = |(sequence, command)| {
                let trace = waiters.trace(sequence, Trace::forwarded).flatten();
                Forwarded { sequence, command, trace }
            };
            let commands: Vec<Forwarded> = taken.into_iter().map(forwarded).collect();
            let sent = !commands.is_empty() && self.peers.forward(leader, term, &commands);
            let place = if sent { Place::With(leader, term) } else { Place::Held };
            for forwarded in &commands {
                self.waiters.moved(forwarded.sequence, place);
            }
            if !sent {
                return self.pause();
            }
        }
    }

    fn hand_on_calls(&mut self, role: RoleName, leader: Option<MemberId>) {
        if !self.calls.has_held() {
            return;
        }
        for (token, call) in self.calls.take_held() {
            match (role, leader) {
                (RoleName::Leader, _) => self.step(call_input(token, call)),
                (_, Some(leader)) if self.peers.call(leader, token.0, &call) => {}
                (_, Some(_) | None) => {
                    self.calls.hold(token);
                    self.pause();
                }
            }
        }
    }

    // What peers ask.

    fn on_forwarded(&mut self, peer: MemberId, term: Term, commands: Vec<Forwarded>) {
        let none_taken = |reason| {
            let sequences = commands.iter().map(|forwarded| forwarded.sequence).collect();
            BTreeMap::from([(reason, sequences)])
        };
        if self.is_overloaded() {
            return self.tell_not_taken(peer, term, none_taken(NotTakenReason::Busy));
        }
        // Its origin counts on this: see the waiters.
        if term != self.raft.brief().term && !is_planted(Bug::AnyTermTaken) {
            return self.tell_not_taken(peer, term, none_taken(NotTakenReason::NotLeader));
        }
        let payloads = self.foreign.begin(commands);
        self.propose((PEER_TOKENS..).zip(payloads));
        let not_taken = self.foreign.not_taken();
        self.tell_not_taken(peer, term, not_taken);
    }

    fn on_not_taken(&mut self, peer: MemberId, not_taken: &NotTaken) {
        for sequence in &not_taken.sequences {
            match not_taken.reason {
                NotTakenReason::NotLeader => self.waiters.returned(*sequence, peer, not_taken.term),
                NotTakenReason::Busy => {
                    self.waiters.refused(*sequence, peer, not_taken.term, ProposeFailure::TooManyRequests);
                }
                NotTakenReason::NoSpace => {
                    self.waiters.refused(*sequence, peer, not_taken.term, ProposeFailure::NoSpace);
                }
            }
        }
        if not_taken.reason == NotTakenReason::NotLeader {
            self.pause();
        }
    }

    fn on_call(&mut self, peer: MemberId, id: u64, call: Call) {
        let brief = self.raft.brief();
        if brief.role == RoleName::Leader {
            self.calls.insert(call, Caller::Peer(peer, id), self.request_deadline());
            return;
        }
        // Not passed on: the caller looks for the leader itself, or a call could go round in circles.
        let leader = brief.leader;
        let reply = match call {
            Call::ChangeMembership { .. } => CallReply::Membership(Err(MembershipError::NotLeader { leader })),
            Call::TransferLeader { .. } => CallReply::Transfer(Err(TransferError::NotLeader { leader })),
        };
        self.peers.reply(peer, id, &reply);
    }

    /// A process wants to be the member that was added with these peer URLs.
    fn on_bind(&mut self, info: &NodeInfo, reply: tokio::sync::oneshot::Sender<BindReply>) {
        match bind(&self.shared.configured(), info) {
            Binding::Said(member, answer) => {
                tracing::info!(member = %Id(member.0), ?answer, "a process asked to join");
                let _ = reply.send(answer);
            }
            Binding::Asked(member, call) => {
                self.calls.insert(call, Caller::Bind(member, reply), self.request_deadline());
            }
        }
    }

    // What holds for all.

    /// Nothing is offered again for a moment: whoever was asked said no, and will say so again until then.
    pub(super) fn pause(&mut self) {
        self.paused_until.get_or_insert(self.now.mono.after(RETRY_PAUSE));
    }

    fn is_overloaded(&self) -> bool {
        let brief = self.raft.brief();
        brief.commit.0.saturating_sub(brief.applied.0) > APPLY_LAG_MAX
    }

    fn request_deadline(&self) -> Time {
        self.now.mono.after(self.request_timeout)
    }

    fn has_held(&self) -> bool {
        self.waiters.has_held() || self.reads.has_waiting() || self.calls.has_held()
    }

    fn has_requests(&self) -> bool {
        self.waiters.len() > 0 || self.reads.len() > 0 || self.calls.len() > 0
    }
}

fn call_input(token: Token, call: Call) -> Input {
    match call {
        Call::ChangeMembership { expected, changes } => Input::ChangeMembership { token, expected, changes },
        Call::TransferLeader { to } => Input::TransferLeader { token, to },
    }
}
