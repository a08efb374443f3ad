//! Who is a member, and how that changes: as data, without a cluster.
//!
//! * A change moves at most one voter in a single step; anything larger goes through a joint configuration, in
//!   which both halves must agree to everything (thesis 4.3).
//! * A voter that becomes a learner while it still votes in the outgoing half waits in `learners_next`.
//! * `removed` only grows: an id never returns, because its disk may have been replaced meanwhile.
//!
//! The rules of the low steps are those of etcd-io/raft's `confchange`, and its cases are our tests.

mod change;
mod codec;

use crate::quorum::{self, Ballot};
use crate::types::{Index, LogId, MemberId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use change::plan;
pub use codec::MembershipDecodeError;

/// One configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// They elect and commit.
    pub voters: BTreeSet<MemberId>,
    /// While joint: the voters of the configuration being left. They elect and commit too.
    pub voters_outgoing: BTreeSet<MemberId>,
    /// They receive the log.
    pub learners: BTreeSet<MemberId>,
    /// While joint: voters of the outgoing half that will be learners.
    pub learners_next: BTreeSet<MemberId>,
    /// The leader leaves the joint configuration by itself once it is committed.
    pub auto_leave: bool,
    /// What the caller keeps about each member: its name and addresses, opaque to consensus.
    pub nodes: BTreeMap<MemberId, Bytes>,
    /// Who has been removed, ever.
    pub removed: BTreeSet<MemberId>,
}

impl Membership {
    /// The first configuration of a new cluster.
    #[must_use]
    pub fn bootstrap(voters: impl IntoIterator<Item = (MemberId, Bytes)>) -> Self {
        let nodes: BTreeMap<_, _> = voters.into_iter().collect();
        Self { voters: nodes.keys().copied().collect(), nodes, ..Self::default() }
    }

    /// Both halves must agree.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether it takes part in elections and commits, in either half.
    #[must_use]
    pub fn is_voter(&self, id: MemberId) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Whether it receives the log.
    #[must_use]
    pub fn is_member(&self, id: MemberId) -> bool {
        self.is_voter(id) || self.learners.contains(&id)
    }

    /// Everybody who receives the log, ascending, each once.
    pub fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        let all: BTreeSet<_> = self.voters.iter().chain(&self.voters_outgoing).chain(&self.learners).copied().collect();
        all.into_iter()
    }

    /// Everybody who votes in either half, ascending, each once.
    pub fn all_voters(&self) -> impl Iterator<Item = MemberId> + '_ {
        let outgoing_only = self.voters_outgoing.difference(&self.voters);
        self.voters.iter().chain(outgoing_only).copied()
    }

    /// Whether `id` alone is a quorum.
    #[must_use]
    pub(crate) fn is_sole_voter(&self, id: MemberId) -> bool {
        self.voters.len() == 1 && self.voters.contains(&id) && self.voters_outgoing.iter().all(|other| *other == id)
    }

    /// The greatest value that a quorum has reached, or none where nobody votes.
    pub(crate) fn quorum_of<T: Ord + Copy>(&self, value: impl Fn(MemberId) -> T) -> Option<T> {
        let incoming = quorum::reached(&self.voters, &value);
        let outgoing = quorum::reached(&self.voters_outgoing, &value);
        quorum::lesser(incoming, outgoing)
    }

    /// What the votes cast so far amount to.
    pub(crate) fn ballot(&self, votes: &BTreeMap<MemberId, bool>) -> Ballot {
        quorum::ballot(&self.voters, votes).and(quorum::ballot(&self.voters_outgoing, votes))
    }
}

/// Where a snapshot stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPoint {
    /// The last entry that is in it.
    pub last: LogId,
    /// Where the configuration in force there stands.
    pub membership_at: Index,
    /// The configuration in force there.
    pub membership: Membership,
}

/// The configurations of a log: the one in force and those it may fall back to when its entry is truncated.
///
/// A configuration is in force as soon as its entry is appended, not when it is committed (thesis 4.1).
#[derive(Clone, Debug)]
pub(crate) struct Memberships {
    /// Ascending; never empty, and the first one is committed. The committed ones before the last committed one are dropped.
    history: Vec<(Index, Membership)>,
}

impl Memberships {
    /// Those of a log that follows `start`. Where none stands there, as in the log of a member that was added and has heard of
    /// itself only from an entry, nothing is certain before that is committed: the empty one stands for it.
    pub(crate) fn new(start: Index, mut history: Vec<(Index, Membership)>) -> Self {
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "configurations ascend");
        if history.first().is_none_or(|(at, _)| *at > start) {
            history.insert(0, (Index::ZERO, Membership::default()));
        }
        Self { history }
    }

    /// The configuration in force.
    pub(crate) fn effective(&self) -> &Membership {
        &self.last().1
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> Index {
        self.last().0
    }

    fn last(&self) -> &(Index, Membership) {
        self.history.last().expect("a history has one configuration at least")
    }

    /// The one that is certain, given what is committed, and where it stands.
    pub(crate) fn committed(&self, commit: Index) -> (Index, &Membership) {
        self.in_force_at(commit).expect("the first one stands no later than the log begins, and that is committed")
    }

    /// Every one that may be the committed one, given what is known to be committed: after a restart that may be little
    /// of what is.
    pub(crate) fn possible(&self, commit: Index) -> impl Iterator<Item = &Membership> {
        let certain = self.committed(commit).0;
        self.history.iter().filter(move |(at, _)| *at >= certain).map(|(_, membership)| membership)
    }

    /// The one in force when the log ended at `index`, if it is remembered, and where it stands.
    pub(crate) fn in_force_at(&self, index: Index) -> Option<(Index, &Membership)> {
        self.history.iter().rev().find(|(at, _)| *at <= index).map(|(at, membership)| (*at, membership))
    }

    pub(crate) fn push(&mut self, at: Index, membership: Membership) {
        assert!(at > self.at() || self.at() == Index::ZERO, "configurations ascend");
        self.history.push((at, membership));
    }

    /// Entries from `from` on are gone, and with them their configurations. True when the one in force was.
    pub(crate) fn truncate(&mut self, from: Index) -> bool {
        let before = self.history.len();
        // The first one is never uncommitted.
        while self.history.len() > 1 && self.at() >= from {
            self.history.pop();
        }
        self.history.len() < before
    }

    /// Everything up to `commit` stays for good: older configurations are not needed to fall back to.
    pub(crate) fn forget_before(&mut self, commit: Index) {
        let certain = self.history.iter().rposition(|(at, _)| *at <= commit).unwrap_or(0);
        self.history.drain(..certain);
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
