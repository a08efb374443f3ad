//! S8: configurations and quorums, counted anew here and not by the engine's own arithmetic.

use super::{Verdict, ensure};
use raft::{Index, MemberId, Membership, Term};
use std::collections::BTreeSet;

/// Whether those for which `has` holds decide alone: a majority of each half.
#[must_use]
pub fn is_quorum(membership: &Membership, has: impl Fn(MemberId) -> bool) -> bool {
    let majority = |voters: &BTreeSet<MemberId>| voters.iter().filter(|id| has(**id)).count() * 2 > voters.len();
    majority(&membership.voters) && (membership.voters_outgoing.is_empty() || majority(&membership.voters_outgoing))
}

/// What a leader knows when it appends a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a> {
    /// Who leads.
    pub leader: MemberId,
    /// In this term.
    pub term: Term,
    /// The configuration in its log before.
    pub before: (Index, &'a Membership),
    /// The new one.
    pub after: (Index, &'a Membership),
    /// The last committed entry's index and term.
    pub committed: (Index, Term),
}

impl Proposed<'_> {
    /// Checks the step from one configuration to the next.
    ///
    /// # Errors
    /// S8 when two quorums of the two need not share a member, when the one before is not committed, when the leader
    /// has committed nothing of its own term (Ongaro 2015), or when somebody who was removed returns.
    pub fn check(&self) -> Verdict {
        let Self { leader, before, after, .. } = *self;
        ensure("S8", overlap(before.1, after.1), || {
            format!("{leader} goes from {:?} to {:?}: their quorums need not meet", before.1, after.1)
        })?;
        ensure("S8", before.0 <= self.committed.0, || {
            format!("{leader} appends a configuration at {} before the one at {} is committed", after.0, before.0)
        })?;
        ensure("S8", self.committed.1 == self.term, || {
            format!("{leader} appends a configuration at {} before it has committed in term {}", after.0, self.term)
        })?;
        let forgotten = before.1.removed.difference(&after.1.removed).next();
        let returned = after.1.members().find(|id| before.1.removed.contains(id));
        ensure("S8", forgotten.is_none() && returned.is_none(), || {
            format!("{leader} lets a removed member return: {forgotten:?} {returned:?}")
        })
    }
}

/// Whether every quorum of the one and every quorum of the other share a member: tried for every set of voters, since
/// the rest of them being a quorum of the other one is the worst case.
#[must_use]
pub fn overlap(one: &Membership, other: &Membership) -> bool {
    let voters: Vec<MemberId> =
        one.all_voters().chain(other.all_voters()).collect::<BTreeSet<_>>().into_iter().collect();
    (0u32..1 << voters.len()).all(|set| {
        let within = |id| voters.iter().position(|voter| *voter == id).is_some_and(|at| set & 1 << at != 0);
        !(is_quorum(one, within) && is_quorum(other, |id| !within(id)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::assert_refused;
    use super::*;

    fn simple(voters: &[u64]) -> Membership {
        Membership { voters: voters.iter().copied().map(MemberId).collect(), ..Membership::default() }
    }

    fn joint(voters: &[u64], outgoing: &[u64]) -> Membership {
        Membership { voters_outgoing: outgoing.iter().copied().map(MemberId).collect(), ..simple(voters) }
    }

    fn step<'a>(before: (u64, &'a Membership), after: (u64, &'a Membership), committed: (u64, u64)) -> Proposed<'a> {
        Proposed {
            leader: MemberId(1),
            term: Term(3),
            before: (Index(before.0), before.1),
            after: (Index(after.0), after.1),
            committed: (Index(committed.0), Term(committed.1)),
        }
    }

    #[test]
    fn one_voter_more_or_less_and_a_joint_step_overlap() {
        for (before, after) in [
            (simple(&[1, 2, 3]), simple(&[1, 2, 3, 4])),
            (simple(&[1, 2, 3]), simple(&[1, 2])),
            (simple(&[1, 2, 3]), joint(&[4, 5, 6], &[1, 2, 3])),
            (joint(&[4, 5, 6], &[1, 2, 3]), simple(&[4, 5, 6])),
        ] {
            step((5, &before), (9, &after), (7, 3)).check().expect("a sound step");
        }
    }

    #[test]
    fn two_voters_at_once_are_refused() {
        let (before, after) = (simple(&[1, 2, 3]), simple(&[1, 2, 3, 4, 5]));
        assert_refused(step((5, &before), (9, &after), (7, 3)).check(), "S8");
    }

    #[test]
    fn a_second_change_before_the_first_is_committed_is_refused() {
        let (before, after) = (simple(&[1, 2, 3]), simple(&[1, 2]));
        assert_refused(step((8, &before), (9, &after), (7, 3)).check(), "S8");
    }

    #[test]
    fn a_change_before_a_commit_of_the_own_term_is_refused() {
        let (before, after) = (simple(&[1, 2, 3]), simple(&[1, 2]));
        assert_refused(step((5, &before), (9, &after), (7, 2)).check(), "S8");
    }

    #[test]
    fn the_return_of_a_removed_member_is_refused() {
        let before = Membership { removed: [MemberId(4)].into(), ..simple(&[1, 2, 3]) };
        let after = Membership { removed: [MemberId(4)].into(), ..simple(&[1, 2, 3, 4]) };
        assert_refused(step((5, &before), (9, &after), (7, 3)).check(), "S8");
        let forgets = simple(&[1, 2]);
        assert_refused(step((5, &before), (9, &forgets), (7, 3)).check(), "S8");
    }

    #[test]
    fn a_quorum_of_a_joint_configuration_needs_both_halves() {
        let both = joint(&[1, 2, 3], &[3, 4, 5]);
        assert!(is_quorum(&both, |id| [2, 3, 4].contains(&id.0)));
        assert!(!is_quorum(&both, |id| [1, 2, 3].contains(&id.0)));
    }
}
