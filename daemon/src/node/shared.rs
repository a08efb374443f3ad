//! What the loop and its handles share: the inbox one way, small snapshots the other.

use super::view::{Leadership, MemberView, MembersView, StatusView};
use super::{Inbox, Inspection};
use crate::bootstrap::{Identity, NodeInfo};
use bytes::{Bytes, BytesMut};
use mvcc::{Body, PublishedMember, RequestId, Store};
use raft::{Brief, Index, MemberId, RoleName, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use tokio::sync::watch;

/// Sequences of one run of the process start here, times its number: an entry of an earlier run never finds a
/// waiter of this one. Leaves room for a million million proposals in a run and eight million runs.
const SEQUENCES_PER_BOOT: u64 = 1 << 40;
/// The greatest boot that keeps sequences below 2^63, above which the loop numbers commands of peers.
const BOOTS: u64 = 1 << 23;

/// The members as the configuration in force names them.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    pub(super) at: Index,
    pub(super) committed: bool,
    pub(super) joint: bool,
    pub(super) members: BTreeMap<MemberId, (NodeInfo, bool)>,
    pub(super) removed: BTreeSet<MemberId>,
}

/// See the module.
pub(crate) struct Shared {
    identity: Identity,
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    sequence: AtomicU64,
    numbers: Numbers,
    leadership: watch::Sender<Leadership>,
    configured: RwLock<Arc<Configured>>,
    seen: RwLock<Option<Inspection>>,
}

/// The numbers of [`StatusView`], each on its own: readers want the latest of each, and no lock.
#[derive(Debug, Default)]
struct Numbers {
    term: AtomicU64,
    leader: AtomicU64,
    role: AtomicU64,
    last: AtomicU64,
    commit: AtomicU64,
    applied: AtomicU64,
}

impl Shared {
    pub(super) fn new(identity: Identity, store: Arc<Store>, inbox: Arc<Inbox>) -> Self {
        let first = (identity.boot % BOOTS) * SEQUENCES_PER_BOOT + 1;
        let nobody = Leadership { term: Term(0), leader: None, role: RoleName::Follower };
        Self {
            identity,
            store,
            inbox,
            sequence: AtomicU64::new(first),
            numbers: Numbers::default(),
            leadership: watch::Sender::new(nobody),
            configured: RwLock::default(),
            seen: RwLock::default(),
        }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// What [`Shared::next_sequence`] will give.
    pub(super) fn peek_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    pub(super) fn encode(&self, sequence: u64, body: &Body) -> Bytes {
        let mut out = BytesMut::with_capacity(body.encoded_hint());
        body.encode_into(RequestId { origin: self.identity.member.0, sequence }, &mut out);
        out.freeze()
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// The loop has finished a turn.
    pub(super) fn publish(&self, brief: &Brief) {
        let set = |number: &AtomicU64, value: u64| number.store(value, Ordering::Release);
        set(&self.numbers.term, brief.term.0);
        set(&self.numbers.leader, brief.leader.unwrap_or_default().0);
        set(&self.numbers.role, role_number(brief.role));
        set(&self.numbers.last, brief.last.0);
        set(&self.numbers.commit, brief.commit.0);
        set(&self.numbers.applied, brief.applied.0);
        let now = Leadership { term: brief.term, leader: brief.leader, role: brief.role };
        self.leadership.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    pub(super) fn status(&self) -> StatusView {
        let get = |number: &AtomicU64| number.load(Ordering::Acquire);
        let leader = MemberId(get(&self.numbers.leader));
        StatusView {
            term: Term(get(&self.numbers.term)),
            leader: Some(leader).filter(|leader| *leader != MemberId::NONE),
            role: role(get(&self.numbers.role)),
            last: Index(get(&self.numbers.last)),
            commit: Index(get(&self.numbers.commit)),
            applied: Index(get(&self.numbers.applied)),
        }
    }

    pub(super) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    pub(super) fn configure(&self, configured: Configured) {
        *self.configured.write().expect("nothing panics while it holds the members") = Arc::new(configured);
    }

    pub(super) fn configured(&self) -> Arc<Configured> {
        self.configured.read().expect("nothing panics while it holds the members").clone()
    }

    pub(super) fn set_seen(&self, seen: Option<Inspection>) {
        *self.seen.write().expect("nothing panics while it holds what was seen") = seen;
    }

    pub(super) fn seen(&self) -> Option<Inspection> {
        self.seen.read().expect("nothing panics while it holds what was seen").clone()
    }

    pub(super) fn members(&self) -> MembersView {
        let configured = self.configured();
        let mut published: BTreeMap<u64, PublishedMember> =
            self.store.members().into_iter().map(|member| (member.id, member)).collect();
        let members = configured.members.iter().map(|(id, (info, learner))| {
            let PublishedMember { name, client_urls, .. } = published.remove(&id.0).unwrap_or_default();
            MemberView { id: *id, info: info.clone(), name, client_urls, learner: *learner }
        });
        MembersView {
            cluster: self.identity.cluster,
            at: configured.at,
            committed: configured.committed,
            joint: configured.joint,
            members: members.collect(),
            removed: configured.removed.clone(),
        }
    }
}

const ROLES: [RoleName; 5] =
    [RoleName::Follower, RoleName::Learner, RoleName::PreCandidate, RoleName::Candidate, RoleName::Leader];

fn role_number(role: RoleName) -> u64 {
    match role {
        RoleName::Follower => 0,
        RoleName::Learner => 1,
        RoleName::PreCandidate => 2,
        RoleName::Candidate => 3,
        RoleName::Leader => 4,
    }
}

fn role(number: u64) -> RoleName {
    usize::try_from(number).ok().and_then(|at| ROLES.get(at)).copied().unwrap_or(RoleName::Follower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_comes_back_from_its_number() {
        for known in ROLES {
            assert_eq!(role(role_number(known)), known);
        }
    }
}
