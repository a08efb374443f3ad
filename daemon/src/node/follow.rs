//! Keeping everybody else in step with the membership: the links, the gate, and what handles show.

use super::shared::Configured;
use super::{Node, Stop};
use crate::bootstrap::{ClusterId, NodeInfo};
use crate::transport::hello::KnownCluster;
use admin_api::Id;
use raft::{Index, MemberId, Membership, RoleName, Time};
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
        let (at, membership) = self.raft.membership();
        let configured = configured(at, membership, self.membership_committed);
        let members: BTreeMap<MemberId, NodeInfo> =
            configured.members.iter().map(|(id, (info, _))| (*id, info.clone())).collect();
        let until = self.now.mono.after(LINGER);
        let company = &mut self.company;
        for (id, info) in std::mem::take(&mut company.members) {
            if !members.contains_key(&id) {
                company.leaving.insert(id, (info, until));
            }
        }
        company.guests.retain(|id, _| !members.contains_key(id) && !configured.removed.contains(id));
        company.leaving.retain(|id, _| !members.contains_key(id));
        company.members = members;
        self.gate.follow(self.known(&configured));
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

    /// What the gate tells of the cluster. Removals count only once they are certain: a caller ends because of them.
    fn known(&self, configured: &Configured) -> KnownCluster {
        let before = self.gate.introduction().cluster.map(|known| known.removed).unwrap_or_default();
        let certain = || configured.removed.iter().map(|id| Id(id.0)).collect();
        KnownCluster {
            id: self.shared.identity().cluster,
            membership_at: configured.at.0,
            members: configured.members.iter().map(|(id, (info, _))| (Id(id.0), info.clone())).collect(),
            removed: if configured.committed { certain() } else { before },
        }
    }
}

/// The cluster that a configuration describes, for a gate that opens before anything has changed.
pub(super) fn known_cluster(id: ClusterId, at: Index, membership: &Membership) -> KnownCluster {
    let configured = configured(at, membership, true);
    KnownCluster {
        id,
        membership_at: at.0,
        members: configured.members.into_iter().map(|(id, (info, _))| (Id(id.0), info)).collect(),
        removed: configured.removed.into_iter().map(|id| Id(id.0)).collect(),
    }
}

fn configured(at: Index, membership: &Membership, committed: bool) -> Configured {
    let members = membership.members().map(|id| {
        let info = membership.nodes.get(&id).map(|bytes| NodeInfo::decode(bytes)).transpose();
        let info = info.unwrap_or_else(|error| {
            warn!(member = %id, %error, "the configuration describes a member in a way that cannot be read");
            None
        });
        (id, (info.unwrap_or_default(), !membership.is_voter(id)))
    });
    Configured {
        at,
        committed,
        joint: membership.is_joint(),
        members: members.collect(),
        removed: membership.removed.clone(),
    }
}
