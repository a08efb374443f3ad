//! What others may see of the node: small snapshots, cheap to take, never stale by more than one turn of the loop.

use crate::bootstrap::{ClusterId, NodeInfo};
use raft::{Index, MemberId, RoleName, Term};
use std::collections::BTreeSet;

/// Who leads, in the eyes of this member. Changes seldom; [`super::Handle::leadership`] tells when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Its term.
    pub term: Term,
    /// The leader, if one is known.
    pub leader: Option<MemberId>,
    /// What this member is.
    pub role: RoleName,
}

/// Where this member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// Its term.
    pub term: Term,
    /// The leader, if one is known.
    pub leader: Option<MemberId>,
    /// What this member is.
    pub role: RoleName,
    /// The last entry of its log.
    pub last: Index,
    /// The greatest index it knows to be committed.
    pub commit: Index,
    /// The greatest index its store has applied.
    pub applied: Index,
}

impl StatusView {
    /// Whether it leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == RoleName::Leader
    }

    /// Whether it follows without a vote.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.role == RoleName::Learner
    }
}

/// One member, as the configuration in force and its own publication describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Who.
    pub id: MemberId,
    /// What the configuration says of it.
    pub info: NodeInfo,
    /// The name it published once it started; empty until then.
    pub name: String,
    /// The client URLs it published once it started; empty until then.
    pub client_urls: Vec<String>,
    /// Does not vote.
    pub learner: bool,
}

/// The membership in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersView {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Where the configuration stands in the log: what `change_membership` may be told to expect.
    pub at: Index,
    /// It is committed.
    pub committed: bool,
    /// Two configurations are in force at once: a change is half done.
    pub joint: bool,
    /// By id.
    pub members: Vec<MemberView>,
    /// The ids that were removed and never return.
    pub removed: BTreeSet<MemberId>,
}

impl MembersView {
    /// The member with this id.
    #[must_use]
    pub fn get(&self, id: MemberId) -> Option<&MemberView> {
        self.members.iter().find(|member| member.id == id)
    }
}
