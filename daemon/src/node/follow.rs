//! Keeping everybody else in step with the membership: the links, the gate, and what handles show.

use super::shared::Configured;
use super::{Node, Stop};
use crate::bootstrap::{ClusterId, NodeInfo};
use crate::transport::hello::KnownCluster;
use admin_api::Id;
use raft::{MemberId, Membership, Raft, RoleName, Time};
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::warn;

/// How long a member that has left keeps its link: long enough to be told, and for its last acknowledgements.
const LINGER: Duration = Duration::from_secs(5);
/// How long a member that has been removed goes on at least: what it has said, the answer to whoever removed it among
/// it, is then sent.
const DEPART_MIN: Duration = Duration::from_millis(200);
/// How long it goes on at most, for a successor to take over and for answers it waits for itself.
const DEPART_MAX: Duration = Duration::from_secs(3);
/// Members that call and are in no configuration here yet. Only a member of the same cluster passes the gate.
const GUESTS_MAX: usize = 16;

/// Who is linked to besides the members.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// They know a newer configuration than this member does.
    guests: BTreeMap<MemberId, NodeInfo>,
    /// They left, and are linked to until then.
    leaving: BTreeMap<MemberId, (NodeInfo, Time)>,
    members: BTreeMap<MemberId, NodeInfo>,
}

/// The last moments of a member that has been removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    earliest: Time,
    latest: Time,
}

impl Departure {
    /// When it is to be looked at again.
    pub(super) fn due(self, now: Time) -> Time {
        if now < self.earliest { self.earliest } else { self.latest }
    }
}

impl Company {
    /// For a member that joins: whom to talk to until the log has told.
    pub(super) fn of(known: &KnownCluster) -> Self {
        let guests = known.members.iter().map(|(id, info)| (MemberId(id.0), info.clone())).collect();
        Self { guests, ..Self::default() }
    }

    /// Everybody who is linked to.
    pub(super) fn everybody(&self) -> BTreeMap<MemberId, NodeInfo> {
        let leaving = self.leaving.iter().map(|(id, (info, _))| (*id, info.clone()));
        let mut all: BTreeMap<_, _> = leaving.collect();
        all.extend(self.guests.clone());
        all.extend(self.members.clone());
        all
    }
}

impl Node {
    /// The configuration in force has changed, or whether it is committed.
    pub(super) fn follow_membership(&mut self) {
        let configured = configured(&self.raft);
        let members = possible_members(&self.raft);
        let until = self.now.mono.after(LINGER);
        let company = &mut self.company;
        for (id, info) in std::mem::take(&mut company.members) {
            if !members.contains_key(&id) {
                company.leaving.insert(id, (info, until));
            }
        }
        company.guests.retain(|id, _| !members.contains_key(id) && !configured.removed.contains(id));
        company.leaving.retain(|id, _| !members.contains_key(id));
        self.gate.follow(known(self.shared.identity().cluster, &members, &self.raft));
        company.members = members;
        self.shared.configure(configured);
        self.link();
    }

    /// A peer has called. One that no configuration here knows is linked to, so that it can be answered.
    pub(super) fn on_called(&mut self, peer: MemberId, info: NodeInfo) {
        if self.peers.knows(peer) {
            self.peers.retry(peer);
        } else if self.company.guests.len() < GUESTS_MAX {
            warn!(peer = %Id(peer.0), name = info.name, "a member of a newer configuration has called");
            self.company.guests.insert(peer, info);
            self.link();
        }
    }

    /// Ends the links of members that left some time ago.
    pub(super) fn see_off(&mut self) {
        let (now, before) = (self.now.mono, self.company.leaving.len());
        self.company.leaving.retain(|_, (_, until)| *until > now);
        if self.company.leaving.len() < before {
            self.link();
        }
    }

    /// This member has been removed: it ends as soon as nobody depends on it.
    pub(super) fn depart(&mut self) {
        let (earliest, latest) = (self.now.mono.after(DEPART_MIN), self.now.mono.after(DEPART_MAX));
        self.departure.get_or_insert(Departure { earliest, latest });
    }

    /// Ends a member that has been removed, has handed over and owes nobody an answer; or whose time is up.
    pub(super) fn settle_departure(&mut self) {
        let Some(Departure { earliest, latest }) = self.departure else { return };
        let owing = self.raft.brief().role == RoleName::Leader || self.calls.len() > 0;
        if self.now.mono >= if owing { latest } else { earliest } {
            self.stop.get_or_insert(Stop::Removed);
        }
    }

    pub(super) fn has_leaving(&self) -> bool {
        !self.company.leaving.is_empty()
    }

    pub(super) fn link(&mut self) {
        self.peers.follow(&self.company.everybody());
    }
}

/// What the gate tells of the cluster before anything has changed.
pub(super) fn known_cluster(id: ClusterId, raft: &Raft) -> KnownCluster {
    known(id, &possible_members(raft), raft)
}

/// Who may be a member, by every configuration that may be the committed one: one of those that the configuration in force
/// leaves out may lead next, and must reach this member to take it back. So must the disk that is the member in the end: a
/// disk is told that it is one only once that is committed, so until this member knows, any that says so may be.
fn possible_members(raft: &Raft) -> BTreeMap<MemberId, NodeInfo> {
    let (_, certain) = raft.committed_membership();
    let bound = |id: MemberId| certain.nodes.get(&id).and_then(|_| info_of(certain, id).storage);
    let mut all = BTreeMap::new();
    for membership in raft.possible_memberships() {
        all.extend(membership.members().map(|id| (id, NodeInfo { storage: bound(id), ..info_of(membership, id) })));
    }
    all
}

/// What the gate tells of the cluster. Removals count only once they are certain: a caller ends because of them, and
/// one that the next leader takes back must not have ended anybody. A log that has just been read holds more than is
/// known to be committed. Whoever leaves by a joint configuration votes until it is left, and is needed for leaving it:
/// turned away before, it could hold up every election for good.
fn known(id: ClusterId, members: &BTreeMap<MemberId, NodeInfo>, raft: &Raft) -> KnownCluster {
    let (_, certain) = raft.committed_membership();
    let gone = certain.removed.iter().filter(|id| !certain.is_member(**id));
    KnownCluster {
        id,
        membership_at: raft.membership().0.0,
        members: members.iter().map(|(id, info)| (Id(id.0), info.clone())).collect(),
        removed: gone.map(|id| Id(id.0)).collect(),
    }
}

fn configured(raft: &Raft) -> Configured {
    let (at, membership) = raft.membership();
    let members = membership.members().map(|id| (id, (info_of(membership, id), !membership.is_voter(id))));
    Configured {
        at,
        committed: raft.membership_committed(),
        joint: membership.is_joint(),
        members: members.collect(),
        removed: membership.removed.clone(),
    }
}

fn info_of(membership: &Membership, id: MemberId) -> NodeInfo {
    let info = membership.nodes.get(&id).map(|bytes| NodeInfo::decode(bytes)).transpose();
    let info = info.unwrap_or_else(|error| {
        warn!(member = %id, %error, "the configuration describes a member in a way that cannot be read");
        None
    });
    info.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::StorageId;
    use raft::{Boot, Config, Entry, EntryKind, HardState, Index, LogId, Now, Term};

    const CLUSTER: ClusterId = ClusterId(7);

    /// Member 1 after a start: the log goes on to the removal of member 3, of which `commit` says whether it is
    /// committed.
    fn started(commit: u64) -> Raft {
        started_with(commit, |without| {
            without.nodes.remove(&MemberId(3));
        })
    }

    fn started_with(commit: u64, change: impl FnOnce(&mut Membership)) -> Raft {
        started_from(commit, vec![(Index::ZERO, founded())], change)
    }

    fn founded() -> Membership {
        Membership::bootstrap((1..=3).map(|id| (MemberId(id), NodeInfo::default().encode())))
    }

    /// The log begins with these configurations: with none in that of a member that was added.
    fn started_from(
        commit: u64,
        mut memberships: Vec<(Index, Membership)>,
        change: impl FnOnce(&mut Membership),
    ) -> Raft {
        let mut without = founded();
        without.voters.remove(&MemberId(3));
        without.removed.insert(MemberId(3));
        change(&mut without);
        let last = LogId::new(1, 1);
        memberships.push((last.index, without.clone()));
        let boot = Boot {
            hard_state: HardState { term: Term(1), vote: None },
            terms: vec![(last.index, last.term)],
            last,
            recent: vec![Entry::new(last, EntryKind::Membership, 0, &without.encode())],
            memberships,
            applied: Index(commit),
            ..Boot::default()
        };
        Raft::new(Config::new(MemberId(1), 1), boot, Now { mono: Time(1), wall_us: 1 })
    }

    #[test]
    fn nobody_is_told_to_have_been_removed_by_what_a_log_holds_uncommitted() {
        let known = known_cluster(CLUSTER, &started(0));
        assert!(known.removed.is_empty(), "the next leader may take it back: {:?}", known.removed);
        assert_eq!(known_cluster(CLUSTER, &started(1)).removed, [Id(3)].into());
    }

    #[test]
    fn a_newcomer_tells_nobody_to_have_been_removed_by_the_first_configuration_it_has_heard_of() {
        let newcomer = |commit| known_cluster(CLUSTER, &started_from(commit, vec![], |_| {}));
        let uncertain = newcomer(0);
        assert!(uncertain.removed.is_empty(), "the next leader may take it back: {:?}", uncertain.removed);
        assert!(uncertain.members.contains_key(&Id(1)), "it lets in whom it has heard of");
        assert_eq!(newcomer(1).removed, [Id(3)].into());
    }

    #[test]
    fn whoever_may_lead_next_is_let_in_though_the_configuration_in_force_leaves_it_out() {
        let (uncommitted, committed) = (started(0), started(1));
        assert!(!configured(&uncommitted).members.contains_key(&MemberId(3)), "it is not shown as a member");
        assert!(known_cluster(CLUSTER, &uncommitted).members.contains_key(&Id(3)));
        assert!(possible_members(&uncommitted).contains_key(&MemberId(3)), "it is linked to");
        assert!(!known_cluster(CLUSTER, &committed).members.contains_key(&Id(3)));
        assert!(!possible_members(&committed).contains_key(&MemberId(3)));
    }

    #[test]
    fn nobody_is_told_that_its_disk_was_replaced_by_what_a_log_holds_uncommitted() {
        let [mine, another] = [2, 3].map(|byte| StorageId::from_bytes([byte; 16]));
        let takes = |commit, disk| {
            let raft = started_with(commit, |bound| {
                let info = NodeInfo { storage: Some(mine), ..NodeInfo::default() };
                bound.nodes.insert(MemberId(2), info.encode());
            });
            known_cluster(CLUSTER, &raft).members[&Id(2)].takes(disk)
        };
        assert!(takes(0, mine) && takes(0, another), "the next leader may have bound it to the other one");
        assert!(takes(1, mine) && !takes(1, another));
    }

    #[test]
    fn whoever_leaves_by_a_joint_configuration_is_let_in_until_that_is_left() {
        let joint = started_with(1, |joint| joint.voters_outgoing = (1..=3).map(MemberId).collect());
        let known = known_cluster(CLUSTER, &joint);
        assert!(known.members.contains_key(&Id(3)) && known.removed.is_empty(), "{:?}", known.removed);
    }
}
