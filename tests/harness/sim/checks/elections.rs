//! S1 and S7: leaders, terms and votes.

use super::configs::is_quorum;
use super::{Verdict, ensure};
use raft::{HardState, MemberId, Membership, Term};
use std::collections::BTreeMap;

/// Every leader, vote and hard state there has been.
#[derive(Debug, Default)]
pub struct Elections {
    leaders: BTreeMap<Term, MemberId>,
    grants: BTreeMap<(MemberId, Term), MemberId>,
    states: BTreeMap<MemberId, HardState>,
}

impl Elections {
    /// `member` says that it leads in `term`; `voted` tells whose durable vote it has.
    ///
    /// # Errors
    /// S1 when another one leads in that term, or too few have voted.
    pub fn leading(
        &mut self,
        member: MemberId,
        term: Term,
        membership: &Membership,
        voted: impl Fn(MemberId) -> bool,
    ) -> Verdict {
        let first = *self.leaders.entry(term).or_insert(member);
        ensure("S1", first == member, || format!("{member} leads in term {term}, and so does {first}"))?;
        ensure("S1", is_quorum(membership, voted), || {
            format!("{member} leads in term {term} without durable votes of a quorum of {:?}", membership.voters)
        })
    }

    /// `member` writes this hard state.
    ///
    /// # Errors
    /// S7 when it goes back.
    pub fn hard_state(&mut self, member: MemberId, state: HardState) -> Verdict {
        let before = self.states.insert(member, state).unwrap_or_default();
        let forward = state.term > before.term
            || (state.term == before.term && (before.vote.is_none() || state.vote == before.vote));
        ensure("S7", forward, || format!("{member} goes from {before:?} to {state:?}"))
    }

    /// `member` starts again and finds this hard state on its disk.
    ///
    /// # Errors
    /// Never: what a crash loses was not durable, and what was durable is checked where it is promised.
    pub fn restarted(&mut self, member: MemberId, state: HardState) {
        self.states.insert(member, state);
    }

    /// `member` tells `candidate` that it has its vote; `durable` is the vote its disk holds for that term.
    ///
    /// # Errors
    /// S7 when the disk does not hold it, or another candidate has it already.
    pub fn grant(&mut self, member: MemberId, term: Term, candidate: MemberId, durable: Option<MemberId>) -> Verdict {
        ensure("S7", durable == Some(candidate), || {
            format!("{member} grants {candidate} its vote in term {term}, its disk holds {durable:?}")
        })?;
        let first = *self.grants.entry((member, term)).or_insert(candidate);
        ensure("S7", first == candidate, || format!("{member} votes for {first} and {candidate} in term {term}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_refused;
    use super::*;
    use bytes::Bytes;

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);

    fn three() -> Membership {
        Membership::bootstrap((1..=3).map(|id| (MemberId(id), Bytes::new())))
    }

    fn state(term: u64, vote: Option<MemberId>) -> HardState {
        HardState { term: Term(term), vote }
    }

    #[test]
    fn two_leaders_in_one_term_are_refused() {
        let mut elections = Elections::default();
        elections.leading(A, Term(2), &three(), |_| true).expect("the first one");
        elections.leading(B, Term(3), &three(), |_| true).expect("another term");
        assert_refused(elections.leading(B, Term(2), &three(), |_| true), "S1");
    }

    #[test]
    fn a_leader_without_durable_votes_of_a_quorum_is_refused() {
        assert_refused(Elections::default().leading(A, Term(2), &three(), |voter| voter == A), "S1");
    }

    #[test]
    fn a_term_that_goes_back_and_a_vote_that_changes_are_refused() {
        let mut elections = Elections::default();
        elections.hard_state(A, state(2, None)).expect("forward");
        elections.hard_state(A, state(2, Some(A))).expect("a first vote");
        assert_refused(elections.hard_state(A, state(2, Some(B))), "S7");
        assert_refused(
            Elections { states: [(A, state(3, None))].into(), ..Default::default() }.hard_state(A, state(2, None)),
            "S7",
        );
    }

    #[test]
    fn a_vote_that_is_not_durable_is_refused() {
        assert_refused(Elections::default().grant(A, Term(2), B, None), "S7");
        assert_refused(Elections::default().grant(A, Term(2), B, Some(A)), "S7");
    }

    #[test]
    fn a_second_vote_in_a_term_is_refused_even_if_the_disk_has_forgotten_the_first() {
        let mut elections = Elections::default();
        elections.grant(A, Term(2), A, Some(A)).expect("the first one");
        assert_refused(elections.grant(A, Term(2), B, Some(B)), "S7");
    }
}
