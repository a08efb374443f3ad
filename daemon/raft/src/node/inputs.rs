//! What becomes of each input that is not a message: who of the roles it concerns, and what whoever asked is told when
//! it concerns none.

use super::Raft;
use crate::entry::Entry;
use crate::input::{Change, LogReadFailure, Proposal, Token};
use crate::membership::Membership;
use crate::output::{Answer, MembershipError, Output, ProposeError, ReadError, TransferError};
use crate::role::{Next, Role};
use crate::types::{Index, IoId, LinkId, LogId, MemberId, StreamId};

impl Raft {
    pub(super) fn tick(&mut self, out: &mut Output) -> Next {
        match &mut self.role {
            Role::Follower(follower) => follower.on_tick(&mut self.core, out),
            Role::Candidate(candidate) => candidate.on_tick(&self.core),
            Role::Leader(leader) => leader.on_tick(&self.core),
        }
    }

    pub(super) fn persisted(&mut self, io: IoId, out: &mut Output) -> Next {
        self.core.on_persisted(io, out);
        match &mut self.role {
            Role::Follower(follower) => follower.on_persisted(&mut self.core, out),
            Role::Candidate(candidate) => return candidate.on_persisted(&self.core),
            Role::Leader(leader) => leader.on_persisted(),
        }
        Next::Stay
    }

    pub(super) fn read(&mut self, token: Token, out: &mut Output) {
        match &mut self.role {
            Role::Follower(follower) => follower.on_read(&mut self.core, token, out),
            Role::Candidate(_) => out.answers.push(Answer::Read(token, Err(ReadError::NoLeader))),
            Role::Leader(leader) => leader.on_read(&mut self.core, token, out),
        }
    }

    pub(super) fn change_membership(
        &mut self,
        token: Token,
        expected: Option<Index>,
        changes: &[Change],
        out: &mut Output,
    ) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_change(&mut self.core, token, expected, changes, out),
            Role::Follower(_) | Role::Candidate(_) => {
                let error = MembershipError::NotLeader { leader: self.leader() };
                out.answers.push(Answer::Membership(token, Err(error)));
            }
        }
    }

    pub(super) fn link_up(&mut self, peer: MemberId, link: LinkId) {
        let known = self.core.links.entry(peer).or_insert(link);
        *known = link.max(*known);
        if let Role::Leader(leader) = &mut self.role {
            leader.on_link_up(&mut self.core, peer, link);
        }
    }

    pub(super) fn link_down(&mut self, peer: MemberId, link: LinkId) {
        if self.core.links.get(&peer) == Some(&link) {
            self.core.links.remove(&peer);
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.on_link_down(peer, link);
        }
    }

    pub(super) fn log_read(
        &mut self,
        peer: MemberId,
        stream: StreamId,
        result: Result<Vec<Entry>, LogReadFailure>,
        out: &mut Output,
    ) {
        let core = &mut self.core;
        if peer == core.id() {
            core.applies.on_log_read(stream, result, &core.config, core.now.mono, out);
        } else if let Role::Leader(leader) = &mut self.role {
            leader.on_log_read(core, peer, stream, result);
        }
    }

    pub(super) fn disk_full(&mut self, full: bool) {
        self.core.disk_full = full;
        if let Role::Leader(leader) = &mut self.role {
            leader.on_disk_full(&self.core);
        }
    }

    pub(super) fn propose(&mut self, proposals: &[Proposal], out: &mut Output) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_propose(&mut self.core, proposals, out),
            Role::Follower(_) | Role::Candidate(_) => {
                let error = ProposeError::NotLeader { leader: self.leader() };
                out.answers.extend(proposals.iter().map(|p| Answer::Proposed(p.token, Err(error))));
            }
        }
    }

    pub(super) fn transfer(&mut self, token: Token, to: Option<MemberId>, out: &mut Output) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_transfer(&self.core, token, to, out),
            Role::Follower(_) | Role::Candidate(_) => {
                let error = TransferError::NotLeader { leader: self.leader() };
                out.answers.push(Answer::Transfer(token, Err(error)));
            }
        }
    }

    pub(super) fn installed(&mut self, last: LogId, at: Index, membership: Membership, out: &mut Output) -> Next {
        match &mut self.role {
            Role::Follower(follower) => {
                self.core.on_installed(last, at, membership, out);
                follower.on_installed(&mut self.core, last, out);
                Next::Stay
            }
            // A log that another leader's snapshot has replaced is no base for leading or standing.
            Role::Candidate(_) | Role::Leader(_) => {
                self.close(out);
                self.core.on_installed(last, at, membership, out);
                Next::Follow(None)
            }
        }
    }
}
