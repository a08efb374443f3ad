//! The only door: one member of a cluster, as a value that takes inputs and gives outputs.
//!
//! A step sorts the input by kind, a message also by term; the role handles it and says what becomes of itself; then
//! what has become due is done and the effects are collected. Terms are compared here and nowhere else.

mod inputs;
mod messages;

use crate::boot::{Boot, Now};
use crate::config::Config;
use crate::core::Core;
use crate::input::Input;
use crate::membership::{Membership, SnapshotPoint};
use crate::output::{Answer, Event, Output, TransferError};
use crate::role::{Candidate, Follower, Leader, Next, Role};
use crate::status::{Brief, RoleName, Status};
use crate::types::{Index, MemberId, Term, Time};

/// One member.
#[derive(Debug)]
pub struct Raft {
    core: Core,
    role: Role,
}

impl Raft {
    /// A member as its disk remembers it, before anything has happened.
    ///
    /// # Panics
    /// When the boot image contradicts itself: a log that ends before it starts, an applied index outside of it,
    /// runs of terms that do not reach its end.
    #[must_use]
    pub fn new(config: Config, boot: Boot, now: Now) -> Self {
        let mut core = Core::new(config, boot, now);
        let role = Role::Follower(Follower::at_boot(&mut core));
        Self { core, role }
    }

    /// Takes one input and adds what it wants done to `out`, which the caller performs and empties before the next.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        self.core.now = Now { mono: now.mono.max(self.core.now.mono), wall_us: now.wall_us };
        let next = self.handle(input, out);
        self.enter(next, out);
        let next = match &mut self.role {
            Role::Leader(leader) => leader.settle(&mut self.core, out),
            Role::Follower(_) | Role::Candidate(_) => Next::Stay,
        };
        self.enter(next, out);
        self.settle_handover(out);
        self.core.finish(out);
    }

    fn handle(&mut self, input: Input, out: &mut Output) -> Next {
        match input {
            // What may end a role.
            Input::Tick => return self.tick(out),
            Input::Received(envelope) => return self.receive(envelope, out),
            Input::Persisted(io) => return self.persisted(io, out),
            Input::Installed { last, membership_at, membership } => {
                return self.installed(last, membership_at, membership, out);
            }
            // What clients ask for.
            Input::Propose(proposals) => self.propose(&proposals, out),
            Input::Read(token) => self.read(token, out),
            Input::ChangeMembership { token, expected, changes } => {
                self.change_membership(token, expected, &changes, out);
            }
            Input::TransferLeader { token, to } => self.transfer(token, to, out),
            // What has become of connections and disks.
            Input::LinkUp { peer, link } => self.link_up(peer, link),
            Input::LinkDown { peer, link } => self.link_down(peer, link),
            Input::LogRead { peer, stream, result } => self.log_read(peer, stream, result, out),
            Input::Applied(index) => self.core.applies.on_applied(index),
            Input::Compacted { through } => self.core.log.compact(through),
            Input::DiskFull(full) => self.disk_full(full),
        }
        Next::Stay
    }

    // Changes of role.

    fn enter(&mut self, next: Next, out: &mut Output) {
        let mut next = next;
        // Alone, a member goes from asking to leading without hearing from anybody.
        while next != Next::Stay {
            next = self.enter_once(next, out);
        }
    }

    fn enter_once(&mut self, next: Next, out: &mut Output) -> Next {
        match next {
            Next::Stay => Next::Stay,
            Next::Follow(leader) => {
                self.follow(self.core.term(), leader, out);
                Next::Stay
            }
            Next::PreCampaign => {
                self.close(out);
                out.events.push(Event::PreCandidate { term: self.core.term().next() });
                let (candidate, next) = Candidate::ask(&mut self.core, out);
                self.role = Role::Candidate(candidate);
                next
            }
            Next::Campaign { transfer } => {
                self.close(out);
                let (term, me) = (self.core.term().next(), self.core.id());
                self.core.enter_term(term, Some(me));
                out.events.push(Event::Candidate { term });
                self.role = Role::Candidate(Candidate::stand(&mut self.core, transfer, out));
                Next::Stay
            }
            Next::Lead => {
                self.role = Role::Leader(Box::new(Leader::new(&mut self.core, out)));
                Next::Stay
            }
        }
    }

    /// Becomes a follower, in this term or a later one.
    fn follow(&mut self, term: Term, leader: Option<MemberId>, out: &mut Output) {
        self.close(out);
        let same_term = term == self.core.term();
        if !same_term {
            self.core.enter_term(term, None);
        }
        let mut follower = Follower::new(&mut self.core, leader);
        if let Role::Follower(before) = &self.role {
            follower.keep_from(before, same_term);
        }
        self.role = Role::Follower(follower);
        out.events.push(Event::Following { term, leader });
    }

    /// Whoever waits for something that ends with the role is told.
    fn close(&mut self, out: &mut Output) {
        match &mut self.role {
            Role::Follower(follower) => follower.close(out),
            Role::Candidate(_) => {}
            Role::Leader(leader) => leader.close(&mut self.core, out),
        }
    }

    /// Whoever handed leadership over learns who has it now, or that nobody took it in time.
    fn settle_handover(&mut self, out: &mut Output) {
        let Some((token, until)) = self.core.handover else { return };
        let result = match self.leader() {
            Some(leader) => Ok(leader),
            None if self.core.now.mono >= until => Err(TransferError::TimedOut),
            None => return,
        };
        self.core.handover = None;
        out.answers.push(Answer::Transfer(token, result));
    }

    // What it shows.

    /// When [`Input::Tick`] is due next, if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let role = match &self.role {
            Role::Follower(follower) => follower.deadline(),
            Role::Candidate(candidate) => candidate.deadline(),
            Role::Leader(leader) => leader.deadline(),
        };
        let handover = self.core.handover.map(|(_, until)| until);
        [self.core.applies.deadline(), handover].into_iter().flatten().fold(role, Time::min)
    }

    fn leader(&self) -> Option<MemberId> {
        match &self.role {
            Role::Follower(follower) => follower.leader(),
            Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.core.id()),
        }
    }

    fn role_name(&self) -> RoleName {
        match &self.role {
            Role::Follower(_) if self.core.membership().is_voter(self.core.id()) => RoleName::Follower,
            Role::Follower(_) => RoleName::Learner,
            Role::Candidate(candidate) if candidate.is_asking() => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// The few numbers that everybody asks for all the time.
    #[must_use]
    pub fn brief(&self) -> Brief {
        Brief {
            term: self.core.term(),
            role: self.role_name(),
            leader: self.leader(),
            last: self.core.log.last().index,
            commit: self.core.commit(),
            applied: self.core.applies.applied(),
        }
    }

    /// The member's view of itself and, while it leads, of its followers.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        let core = &self.core;
        let leading = match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::Candidate(_) => None,
        };
        Status {
            id: core.id(),
            term: core.term(),
            role: self.role_name(),
            leader: self.leader(),
            last: core.log.last(),
            durable: core.log.durable(),
            commit: core.commit(),
            applied: core.applies.applied(),
            first: core.log.first(),
            membership_at: core.memberships.at(),
            membership_committed: core.membership_committed(),
            transferring: leading.is_some_and(|leader| leader.is_transferring()),
            quorum_heard: leading.is_some_and(|leader| leader.has_quorum(core)),
            followers: leading.map_or_else(Vec::new, |leader| leader.followers(core, now)),
        }
    }

    /// The configuration in force and where it stands; it may not be committed yet.
    #[must_use]
    pub fn membership(&self) -> (Index, &Membership) {
        (self.core.memberships.at(), self.core.membership())
    }

    /// Every configuration that may be the committed one, as far as is known here; the one in force is the last. Whoever
    /// is a member of any may lead next.
    pub fn possible_memberships(&self) -> impl Iterator<Item = &Membership> {
        self.core.memberships.possible(self.core.commit())
    }

    /// Whether the configuration in force is known here to be committed.
    #[must_use]
    pub fn membership_committed(&self) -> bool {
        self.core.membership_committed()
    }

    /// The last configuration that is known here to be committed, and where it stands. Who is removed in it is removed
    /// for good; who is removed only in [`membership`](Self::membership) may be back after the next election.
    #[must_use]
    pub fn committed_membership(&self) -> (Index, &Membership) {
        self.core.memberships.committed(self.core.commit())
    }

    /// What a snapshot of the state machine at `index`, which it has applied, must tell of the log. None if the entry
    /// is gone from the log, or the configuration of that time is forgotten: a later one has been committed since.
    #[must_use]
    pub fn snapshot_point(&self, index: Index) -> Option<SnapshotPoint> {
        let last = self.core.log.id_at(index).filter(|_| index <= self.core.commit())?;
        let (membership_at, membership) = self.core.memberships.in_force_at(index)?;
        Some(SnapshotPoint { last, membership_at, membership: membership.clone() })
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
