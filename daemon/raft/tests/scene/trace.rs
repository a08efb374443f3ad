//! What was seen, a line for each thing.

use raft::{Answer, Entry, Event, MemberId, Term};
use std::fmt::{Debug, Display};

pub(crate) fn event(id: MemberId, term: Term, event: &Event) -> Option<String> {
    let line = match event {
        Event::Following { term, leader: Some(leader) } => format!("{id}@{term} follows {leader}"),
        Event::Following { term, leader: None } => format!("{id}@{term} follows nobody"),
        Event::PreCandidate { term } => format!("{id} would stand in {term}"),
        Event::Candidate { term } => format!("{id}@{term} stands"),
        Event::Leading { term } => format!("{id}@{term} leads"),
        Event::MembershipEffective { at } => format!("{id} membership effective at {at}"),
        Event::MembershipCommitted { at } => format!("{id} membership committed at {at}"),
        Event::Removed { at } => format!("{id} is removed, as of {at}"),
        Event::Stream { peer, from, to, reason } => format!("{id}@{term} {peer}: {from:?} → {to:?} ({reason:?})"),
        // The end of a reign is seen by who follows.
        Event::StreamClosed { reason: raft::CloseReason::TermOver, .. } => return None,
        Event::StreamClosed { peer, reason } => format!("{id}@{term} {peer}: closed ({reason:?})"),
        Event::Regressed { peer, acknowledged, found } => {
            format!("{id}@{term} {peer}: acknowledged {acknowledged}, has {found}")
        }
        Event::Refused { peer, why } => format!("{id} refuses a message from {peer}: {why}"),
    };
    Some(line)
}

pub(crate) fn answer(id: MemberId, answer: &Answer) -> String {
    match answer {
        Answer::Proposed(token, result) => format!("{id} proposed #{}: {}", token.0, shown(result)),
        Answer::Read(token, result) => format!("{id} read #{}: {}", token.0, shown(result)),
        Answer::Membership(token, result) => format!("{id} membership #{}: {}", token.0, shown(result)),
        Answer::Transfer(token, result) => format!("{id} transfer #{}: {}", token.0, shown(result)),
    }
}

fn shown<T: Display, E: Display + Debug>(result: &Result<T, E>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("{error}"),
    }
}

pub(crate) fn applied(id: MemberId, entries: &[Entry]) -> Option<String> {
    let shown = |entry: &Entry| match entry.kind() {
        raft::EntryKind::Command => format!("{entry} {}", String::from_utf8_lossy(&entry.payload())),
        raft::EntryKind::Noop => format!("{entry} noop"),
        raft::EntryKind::Membership => format!("{entry} membership"),
    };
    let all: Vec<_> = entries.iter().map(shown).collect();
    (!all.is_empty()).then(|| format!("{id} applies {}", all.join(", ")))
}

pub(crate) fn ids(ids: impl IntoIterator<Item = MemberId>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}
