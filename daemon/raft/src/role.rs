//! What a member can be. Changing role is moving into another value: what only a leader knows disappears with it.

mod candidate;
mod follower;
mod leader;

pub(crate) use candidate::Candidate;
pub(crate) use follower::Follower;
pub(crate) use leader::Leader;

use crate::types::MemberId;

/// What a member is, with all it needs for that alone.
#[derive(Debug)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one. Learners too.
    Follower(Follower),
    /// Asks for votes, in earnest or to see whether it would get them.
    Candidate(Candidate),
    /// Leads.
    Leader(Box<Leader>),
}

/// What becomes of a role after it has handled something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on.
    Stay,
    /// It follows, in the current term.
    Follow(Option<MemberId>),
    /// It asks whether it would be elected.
    PreCampaign,
    /// It stands for election, perhaps because the old leader asked it to.
    Campaign {
        /// The old leader did.
        transfer: bool,
    },
    /// It leads.
    Lead,
}
