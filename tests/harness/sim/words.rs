//! What a trace and the marks say of roles, of what an engine takes and of what it writes: a number for the hash, words
//! for people.

use raft::{Entry, EntryKind, Input, Persist, RoleName};

/// The word for a role in the marks.
pub(super) fn role_mark(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "follower",
        RoleName::Learner => "learner",
        RoleName::PreCandidate => "pre-candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    }
}

/// A number for what an engine takes.
pub(super) fn number_of(input: &Input) -> u64 {
    match input {
        Input::Tick => 1,
        Input::Received(envelope) => 2 ^ envelope.from.0 << 8 ^ envelope.term.0 << 16,
        Input::Persisted(io) => 3 ^ io.0 << 8,
        Input::Applied(index) => 4 ^ index.0 << 8,
        Input::Propose(proposals) => 5 ^ (proposals.len() as u64) << 8,
        Input::Read(token) => 6 ^ token.0 << 8,
        Input::ChangeMembership { .. } => 7,
        Input::TransferLeader { .. } => 8,
        Input::LinkUp { link, .. } => 9 ^ link.0 << 8,
        Input::LinkDown { link, .. } => 10 ^ link.0 << 8,
        Input::LogRead { .. } => 11,
        Input::Compacted { through } => 12 ^ through.index.0 << 8,
        Input::Installed { last, .. } => 13 ^ last.index.0 << 8,
        Input::DiskFull(full) => 14 ^ u64::from(*full) << 8,
    }
}

/// Words for it.
pub(super) fn describe(input: &Input) -> String {
    match input {
        Input::Received(envelope) => format!("{envelope}"),
        Input::Propose(proposals) => {
            format!("propose {} from {:?}", proposals.len(), proposals.first().map(|p| p.token))
        }
        Input::LogRead { peer, stream, result } => {
            format!("log read for {peer} {stream}: {:?}", result.as_ref().map(Vec::len))
        }
        other => format!("{other:?}"),
    }
}

/// Words for a write.
pub(super) fn describe_write(persist: &Persist) -> String {
    let Persist { io, hard_state, truncate_from, append, .. } = persist;
    let configurations = append.iter().filter(|entry| entry.kind() == EntryKind::Membership).count();
    format!(
        "{io} state {hard_state:?} cut {truncate_from:?} append {:?}..{:?} ({configurations} configurations)",
        append.first().map(Entry::id),
        append.last().map(Entry::id)
    )
}
