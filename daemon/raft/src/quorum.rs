//! What a majority of voters has reached or decided. Always computed from scratch: there are a few voters, and an
//! incremental count that loses its order commits without a quorum (openraft #1802).

use crate::types::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ballot {
    /// A majority said yes.
    Won,
    /// A majority cannot say yes any more.
    Lost,
    /// Votes are missing.
    Pending,
}

impl Ballot {
    /// Both halves of a joint configuration.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Lost, _) | (_, Self::Lost) => Self::Lost,
            (Self::Won, Self::Won) => Self::Won,
            _ => Self::Pending,
        }
    }
}

/// More than half.
pub(crate) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The greatest value that a majority of `voters` has reached: theirs or more. None when nobody votes, which holds
/// nothing back.
pub(crate) fn reached<T: Ord + Copy>(voters: &BTreeSet<MemberId>, value: impl Fn(MemberId) -> T) -> Option<T> {
    let enough = majority(voters.len());
    // Quadratic without a buffer: faster than sorting for the handful of voters there are.
    voters
        .iter()
        .map(|id| value(*id))
        .filter(|candidate| voters.iter().filter(|id| value(**id) >= *candidate).count() >= enough)
        .max()
}

/// What both halves have reached, where an empty half holds nothing back.
pub(crate) fn lesser<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// How `voters` have decided. Nobody's vote is needed where nobody votes.
pub(crate) fn ballot(voters: &BTreeSet<MemberId>, votes: &BTreeMap<MemberId, bool>) -> Ballot {
    let (enough, mut yes, mut missing) = (majority(voters.len()), 0, 0);
    for id in voters {
        match votes.get(id) {
            Some(true) => yes += 1,
            Some(false) => {}
            None => missing += 1,
        }
    }
    match () {
        () if voters.is_empty() || yes >= enough => Ballot::Won,
        () if yes + missing >= enough => Ballot::Pending,
        () => Ballot::Lost,
    }
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
