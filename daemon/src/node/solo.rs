//! A member that is a cluster of its own, for tests of what stands on a [`Handle`]: commands are applied in the order
//! they come, to a store in memory, without a log.

use super::completion::Completion;
use super::inbox::Batch;
use super::request::{CallRequest, Question};
use super::shared::{Configured, Shared};
use super::{Applied, ChangeFailure, FullDisks, Handle, Inbox, Inspection, ProposeFailure, TransferFailure};
use crate::bootstrap::{ClusterId, Identity, NodeInfo, StorageId};
use mvcc::{Apply, Body, Command, MemoryBackend, PublishedMember, Store};
use raft::{Brief, Change, Index, LogId, MemberId, Membership, RoleName, SnapshotPoint, Term, TransferError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// The member, and the hand of the test on it.
#[derive(Clone)]
pub(crate) struct Solo {
    shared: Arc<Shared>,
    brief: Arc<Mutex<Brief>>,
    refusals: Arc<Mutex<VecDeque<ProposeFailure>>>,
    /// Taken for each turn.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Its id.
pub(crate) const MEMBER: u64 = 7;
/// Its cluster.
pub(crate) const CLUSTER: u64 = 77;

impl Solo {
    /// Starts it on the runtime of the test; it ends with the runtime.
    pub(crate) fn start() -> Self {
        Self::start_as(MEMBER)
    }

    /// With another id: it still believes that [`MEMBER`] leads.
    pub(crate) fn start_as(member: u64) -> Self {
        let identity = Identity {
            cluster: ClusterId(CLUSTER),
            member: MemberId(member),
            storage: StorageId::from_bytes([1; 16]),
            name: "solo".into(),
            boot: 1,
        };
        let store = Arc::new(Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail"));
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::new(Shared::new(identity, Arc::clone(&store), Arc::clone(&inbox)));
        let brief = Brief {
            term: Term(3),
            role: if member == MEMBER { RoleName::Leader } else { RoleName::Follower },
            leader: Some(MemberId(MEMBER)),
            last: Index(1),
            commit: Index(1),
            applied: Index(1),
        };
        let solo = Self { shared, brief: Arc::new(Mutex::new(brief)), refusals: Arc::default(), turn: Arc::default() };
        solo.change(|_| {});
        solo.configure(BTreeMap::from([(MemberId(MEMBER), (info("http://127.0.0.1:2380"), false))]));
        let turns = solo.clone();
        tokio::spawn(async move { turns.run(&inbox, &store).await });
        solo
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Makes the member say something else of itself.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Brief)) {
        let mut brief = self.brief.lock().expect("tests do not panic here");
        change(&mut brief);
        self.shared.publish(&brief);
    }

    /// Lets one more command that comes end so, without being applied.
    pub(crate) fn refuse(&self, failure: ProposeFailure) {
        self.refusals().push_back(failure);
    }

    /// Lets everything that is asked of it wait for as long as the test keeps this.
    pub(crate) async fn hold(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Ends the member: nothing is taken any more.
    pub(crate) fn stop(&self) {
        self.shared.inbox().close();
    }

    fn refusals(&self) -> MutexGuard<'_, VecDeque<ProposeFailure>> {
        self.refusals.lock().expect("tests do not panic here")
    }

    /// Tells the members; this one has published its name.
    fn configure(&self, members: BTreeMap<MemberId, (NodeInfo, bool)>) {
        let configured = Configured { at: Index(1), committed: true, members, ..Configured::default() };
        self.shared.configure(configured);
    }

    async fn run(&self, inbox: &Inbox, store: &Store) {
        let me = PublishedMember { id: MEMBER, name: "solo".into(), client_urls: vec!["http://127.0.0.1:2379".into()] };
        self.apply(store, &Command { id: mvcc::RequestId::default(), body: Body::PublishMember(me) });
        let mut batch = Batch::default();
        loop {
            inbox.take(&mut batch).await;
            let _turn = self.turn.lock().await;
            for request in batch.proposals.drain(..) {
                let refusal = self.refusals().pop_front();
                let command = Command::decode(&request.payload).expect("encoded by the handle");
                request.reply.send(refusal.map_or_else(|| Ok(self.apply(store, &command)), Err)).ok();
            }
            for read in batch.reads.drain(..) {
                read.send(Ok(())).ok();
            }
            if batch.completions.iter().any(|completion| matches!(completion, Completion::Recover)) {
                return self.stop();
            }
            batch.calls.drain(..).for_each(|call| self.call(call));
            batch.questions.drain(..).for_each(|question| self.answer(question));
            batch.clear();
        }
    }

    fn apply(&self, store: &Store, command: &Command) -> Applied {
        let mut index = Index::ZERO;
        self.change(|brief| {
            (brief.last, brief.commit, brief.applied) = (brief.last.next(), brief.last.next(), brief.last.next());
            index = brief.applied;
        });
        let apply = Apply { index: index.0, command, answered: true };
        let outcome = store.apply(&[apply]).expect("memory does not fail").remove(0);
        Applied { outcome, index, term: Term(3) }
    }

    fn answer(&self, question: Question) {
        match question {
            Question::Inspect(reply) => drop(reply.send(self.inspect())),
            Question::SnapshotPoint(index, reply) => {
                let last = LogId { term: Term(3), index };
                let membership = Membership::bootstrap([(MemberId(MEMBER), bytes::Bytes::new())]);
                drop(reply.send(Some(SnapshotPoint { last, membership_at: Index(0), membership })));
            }
        }
    }

    fn inspect(&self) -> Inspection {
        let brief = *self.brief.lock().expect("tests do not panic here");
        let last = LogId { term: brief.term, index: brief.last };
        let raft = raft::Status {
            id: MemberId(MEMBER),
            term: brief.term,
            role: brief.role,
            leader: brief.leader,
            last,
            durable: last,
            commit: brief.commit,
            applied: brief.applied,
            first: Index(1),
            membership_at: Index(1),
            membership_committed: true,
            transferring: false,
            quorum_heard: true,
            followers: Vec::new(),
        };
        Inspection {
            raft,
            proposals_pending: 0,
            proposals_failed: 0,
            reads_failed: 0,
            leader_changes: 0,
            refused_messages: 0,
            wal_queued_bytes: 0,
            log_bytes: 0,
            full: FullDisks::default(),
            log_cuts: 0,
            log_held_entries: 0,
            log_held_for_staged_entries: 0,
            snapshots: crate::install::SnapshotsView::default(),
            snapshot_wanted: false,
        }
    }

    fn call(&self, call: CallRequest) {
        match call {
            CallRequest::ChangeMembership { expected, changes, reply } => {
                reply.send(self.change_membership(expected, changes)).ok();
            }
            CallRequest::TransferLeader { reply, .. } => {
                reply.send(Err(TransferFailure::Refused(TransferError::TimedOut))).ok();
            }
        }
    }

    fn change_membership(&self, expected: Option<Index>, changes: Vec<Change>) -> Result<Index, ChangeFailure> {
        assert!(expected.is_none_or(|expected| expected == Index(1)));
        let mut members = self.shared.configured().members.clone();
        let decode = |info: &[u8]| NodeInfo::decode(info).expect("encoded by the caller");
        for change in changes {
            match change {
                Change::AddLearner(id, info) => drop(members.insert(id, (decode(&info), true))),
                Change::AddVoter(id, info) => drop(members.insert(id, (decode(&info), false))),
                Change::Promote(id) => members.entry(id).or_default().1 = false,
                Change::Remove(id) => drop(members.remove(&id)),
                Change::Update(id, info) => members.entry(id).or_default().0 = decode(&info),
            }
        }
        self.configure(members);
        Ok(Index(1))
    }
}

fn info(url: &str) -> NodeInfo {
    NodeInfo { peer_urls: vec![url.into()], ..NodeInfo::default() }
}
