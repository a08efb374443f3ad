//! From one configuration to the next.

use super::Membership;
use crate::input::Change;
use crate::output::MembershipError;
use crate::types::MemberId;
use bytes::Bytes;

/// Why a step between configurations is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StepError {
    #[error("config is already joint")]
    AlreadyJoint,
    #[error("can't leave a non-joint config")]
    NotJoint,
    #[error("can't make a zero-voter config joint")]
    NoVotersToJoin,
    #[error("can't apply simple config change in joint config")]
    SimpleInJoint,
    #[error("more than one voter changed without entering joint config")]
    TooManyVoters,
    #[error("removed all voters")]
    NoVoters,
}

/// The configuration that `changes` lead to: in one step where one voter moves at most, else through a joint one
/// that is left by itself.
///
/// # Errors
/// [`MembershipError`] when a change contradicts the configuration it starts from.
pub(crate) fn plan(current: &Membership, changes: &[Change]) -> Result<Membership, MembershipError> {
    // Each change is checked against what the ones before it lead to.
    let mut seen = current.clone();
    for change in changes {
        check(&seen, change)?;
        seen.apply_one(change);
    }
    let next = match current.simple(changes) {
        Err(StepError::TooManyVoters) => current.enter_joint(true, changes),
        simple => simple,
    };
    next.map_err(|_| MembershipError::NoVoters)
}

fn check(current: &Membership, change: &Change) -> Result<(), MembershipError> {
    let id = change.member();
    let known = current.is_member(id);
    match change {
        _ if id == MemberId::NONE => Err(MembershipError::Unknown(id)),
        _ if current.removed.contains(&id) && !known => Err(MembershipError::Tombstoned(id)),
        Change::AddLearner(..) if current.learners.contains(&id) => Err(MembershipError::Exists(id)),
        Change::AddVoter(..) if current.voters.contains(&id) => Err(MembershipError::Exists(id)),
        Change::AddLearner(..) | Change::AddVoter(..) => Ok(()),
        _ if !known => Err(MembershipError::Unknown(id)),
        Change::Promote(_) if !current.learners.contains(&id) => Err(MembershipError::NotLearner(id)),
        Change::Promote(_) | Change::Remove(_) | Change::Update(..) => Ok(()),
    }
}

impl Change {
    /// Whom it is about.
    #[must_use]
    pub fn member(&self) -> MemberId {
        match self {
            Self::AddLearner(id, _)
            | Self::AddVoter(id, _)
            | Self::Promote(id)
            | Self::Remove(id)
            | Self::Update(id, _) => *id,
        }
    }
}

impl Membership {
    /// One step that moves one voter at most.
    pub(crate) fn simple(&self, changes: &[Change]) -> Result<Self, StepError> {
        if self.is_joint() {
            return Err(StepError::SimpleInJoint);
        }
        let mut next = self.clone();
        next.apply(changes)?;
        if self.voters.symmetric_difference(&next.voters).count() > 1 {
            return Err(StepError::TooManyVoters);
        }
        Ok(next)
    }

    /// Into a configuration in which the voters before and after must both agree.
    pub(crate) fn enter_joint(&self, auto_leave: bool, changes: &[Change]) -> Result<Self, StepError> {
        if self.is_joint() {
            return Err(StepError::AlreadyJoint);
        }
        if self.voters.is_empty() {
            return Err(StepError::NoVotersToJoin);
        }
        let mut next = Self { voters_outgoing: self.voters.clone(), auto_leave, ..self.clone() };
        next.apply(changes)?;
        Ok(next)
    }

    /// Out of it, into the incoming half alone.
    pub(crate) fn leave_joint(&self) -> Result<Self, StepError> {
        if !self.is_joint() {
            return Err(StepError::NotJoint);
        }
        let mut next = self.clone();
        next.learners.append(&mut next.learners_next);
        let outgoing = std::mem::take(&mut next.voters_outgoing);
        next.auto_leave = false;
        for id in outgoing {
            next.forget_stranger(id);
        }
        Ok(next)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StepError> {
        changes.iter().filter(|change| change.member() != MemberId::NONE).for_each(|change| self.apply_one(change));
        if self.voters.is_empty() { Err(StepError::NoVoters) } else { Ok(()) }
    }

    fn apply_one(&mut self, change: &Change) {
        match change {
            Change::AddVoter(id, node) => self.make_voter(*id, Some(node)),
            Change::Promote(id) => self.make_voter(*id, None),
            Change::AddLearner(id, node) => self.make_learner(*id, node),
            Change::Remove(id) => self.remove(*id),
            Change::Update(id, node) => {
                if let Some(known) = self.nodes.get_mut(id) {
                    known.clone_from(node);
                }
            }
        }
    }

    fn make_voter(&mut self, id: MemberId, node: Option<&Bytes>) {
        self.remember(id, node);
        self.learners.remove(&id);
        self.learners_next.remove(&id);
        self.voters.insert(id);
    }

    fn make_learner(&mut self, id: MemberId, node: &Bytes) {
        self.remember(id, Some(node));
        self.learners_next.remove(&id);
        self.voters.remove(&id);
        // It votes in the outgoing half until that is left: nobody is voter and learner at once.
        if self.voters_outgoing.contains(&id) {
            self.learners_next.insert(id);
        } else {
            self.learners.insert(id);
        }
    }

    fn remove(&mut self, id: MemberId) {
        if self.is_member(id) {
            self.removed.insert(id);
        }
        self.voters.remove(&id);
        self.learners.remove(&id);
        self.learners_next.remove(&id);
        self.forget_stranger(id);
    }

    /// A member that moves without a new address keeps the one it has.
    fn remember(&mut self, id: MemberId, node: Option<&Bytes>) {
        match node {
            Some(node) if !node.is_empty() || !self.nodes.contains_key(&id) => {
                self.nodes.insert(id, node.clone());
            }
            _ => {}
        }
    }

    fn forget_stranger(&mut self, id: MemberId) {
        if !self.is_member(id) {
            self.nodes.remove(&id);
        }
    }
}
