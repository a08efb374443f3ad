//! Disks that lie: a sync says that it is done, and when the power goes nothing of it was on the medium. The member comes
//! back as it was when the lies began, and has forgotten entries that it acknowledged, and votes.
//!
//! What survives that: a minority of such members, also of the configuration they come back with, while the others are
//! well and one of them leads.
//! The leader finds out, counts nothing that the member has ever acknowledged, and brings it all again. So the others are
//! at peace from a little before the power goes until the member has again what it had; an election in between could
//! take its forgotten votes for what they are not, which no majority protocol can tell.

use super::checks::configs::is_quorum;
use super::checks::{Verdict, Violation, ensure};
use super::medium::End;
use super::member::Member;
use super::queue::{MILLI, Micros, SECOND};
use super::swarm::{Fault, NetworkOptions};
use super::world::{Event, Repair, World};
use super::{disk, machine};
use raft::{LogId, MemberId};

/// How long disks lie on average before the power goes.
const LIES_MEAN: Micros = 3 * SECOND;
/// Election timeouts of peace until a leader counts as settled.
const SETTLED_AFTER: u32 = 4;
/// How often it is looked at whether the member is back.
const LOOK_AGAIN_AFTER: Micros = 100 * MILLI;
/// How long the member is down, at most.
const DOWN_MAX: Micros = 2 * SECOND;
/// Within this it is back, besides what its backlog takes.
const BACK_WITHIN: Micros = 30 * SECOND;

/// One member's lying disks.
pub(super) struct Lie {
    slot: usize,
    life: u32,
    /// What they really hold.
    log: disk::Held,
    store: machine::Held,
    phase: Phase,
}

enum Phase {
    /// The syncs say that they are done.
    Lying,
    /// Everybody is at peace, and it is to be seen who leads.
    Truce(Peace),
    /// The power has gone, and with it what was never there.
    Forgotten(Peace, Micros),
}

/// What a truce has changed.
struct Peace {
    network: NetworkOptions,
}

impl World {
    /// Whether nothing goes wrong for the sake of a member that is forgetting.
    pub(super) fn is_truce(&self) -> bool {
        self.lie.as_ref().is_some_and(|lie| !matches!(lie.phase, Phase::Lying))
    }

    /// Whether this member has forgotten, and is not back yet.
    pub(super) fn has_forgotten(&self, id: MemberId) -> bool {
        self.slot_of(id).is_some_and(|slot| self.members[slot].forgot.is_some())
    }

    /// From now on the disks of a member lie.
    pub(super) fn begin_to_lie(&mut self, slot: usize) {
        let member = &self.members[slot];
        let Some(store) = member.machine.held().filter(|_| self.lie.is_none() && is_settled(member)) else { return };
        self.lie = Some(Lie { slot, life: member.life, log: member.disk.held(), store, phase: Phase::Lying });
        self.struck(Fault::SyncLies, slot);
        let wait = 1 + self.chance.fault.exponential(LIES_MEAN);
        self.queue.push(self.now + wait, Event::Lie);
    }

    /// The next thing that comes of a lie.
    pub(super) fn lie_on(&mut self) -> Verdict {
        let Some(Lie { slot, life, log, store, phase }) = self.lie.take() else { return Ok(()) };
        let next = match phase {
            // Whoever has ended meanwhile has lost nothing: the disk has caught up with its lies.
            Phase::Lying if self.calm || self.members[slot].life != life || !is_settled(&self.members[slot]) => None,
            Phase::Lying => {
                let election = u64::try_from(self.swarm.config.election.as_micros()).expect("a short time");
                Some((Phase::Truce(self.make_peace()?), election * u64::from(SETTLED_AFTER)))
            }
            Phase::Truce(peace) if self.members[slot].life == life && self.can_forget(slot, &log) => {
                // Counted from an empty log.
                let until = self.now + BACK_WITHIN + self.takes(self.members[slot].disk.durable.last().last.index.0);
                self.forget(slot, log.clone(), store.clone())?;
                Some((Phase::Forgotten(peace, until), LOOK_AGAIN_AFTER))
            }
            Phase::Truce(peace) => {
                self.network.options = peace.network;
                None
            }
            Phase::Forgotten(peace, until) => match self.members[slot].forgot.filter(|last| !self.is_back(slot, *last))
            {
                Some(last) => {
                    let id = self.members[slot].id;
                    ensure("L1", self.now < until, || {
                        format!("{id} has forgotten up to {last}, and is not back there")
                    })?;
                    Some((Phase::Forgotten(peace, until), LOOK_AGAIN_AFTER))
                }
                None => {
                    self.report.reach("back after a lying disk");
                    self.network.options = peace.network;
                    self.members[slot].forgot = None;
                    None
                }
            },
        };
        if let Some((phase, wait)) = next {
            self.lie = Some(Lie { slot, life, log, store, phase });
            self.queue.push(self.now + wait, Event::Lie);
        }
        Ok(())
    }

    /// Lets a member that has forgotten come back before anything else.
    pub(super) fn end_of_lies(&mut self) -> Verdict {
        while self.is_truce() {
            self.advance(self.now + LOOK_AGAIN_AFTER)?;
        }
        self.lie = None;
        Ok(())
    }

    /// Nothing goes wrong, and what has is mended.
    fn make_peace(&mut self) -> Result<Peace, Violation> {
        self.trace.note(self.now, 0, || "!! a truce".to_owned());
        let peace = Peace { network: self.network.options.clone() };
        self.unblock();
        self.network.heal();
        for slot in 0..self.members.len() {
            self.heal_member(slot)?;
        }
        self.reconnect();
        Ok(peace)
    }

    /// Whether another one leads that everybody hears, by a configuration that nothing is about to change, and the
    /// member would not elect anybody by the one that is left to it: those that this leader has must be missed there.
    fn can_forget(&self, slot: usize, left: &disk::Held) -> bool {
        let id = self.members[slot].id;
        let leaders = self.members.iter().filter(|member| member.leading.is_some());
        let Some((leader, node)) =
            leaders.max_by_key(|leader| leader.leading).and_then(|leader| Some((leader, leader.node.as_ref()?)))
        else {
            return false;
        };
        let status = node.status(leader.clock.now(self.now).mono);
        let (_, membership) = node.membership();
        let well = |id: &MemberId| {
            let member = self.slot_of(*id).map(|slot| &self.members[slot]);
            member.is_some_and(|member| is_settled(member) && member.disk.live.hard_state.term == status.term)
        };
        let settled = status.membership_committed && !status.transferring && !membership.is_joint();
        let elects = |voter| voter == id || !membership.is_voter(voter);
        leader.id != id
            && settled
            && membership.is_member(id)
            && left.membership().is_none_or(|left| !is_quorum(left, elects))
            && is_settled(&self.members[slot])
            && self.members[slot].machine.held().is_some()
            && membership.is_voter(leader.id)
            && membership.voters.iter().all(well)
    }

    /// The power goes, and the disks turn out to hold what they held when the lies began.
    fn forget(&mut self, slot: usize, log: disk::Held, store: machine::Held) -> Verdict {
        let (id, last) = (self.members[slot].id, self.members[slot].disk.durable.last().last);
        self.end(slot, End::Power)?;
        let member = &mut self.members[slot];
        member.disk.holds_only(log);
        member.machine.holds_only(store);
        member.forgot = Some(last);
        let left = member.disk.durable.last().last;
        // Once the loss is found out, nothing counts that anybody was told of this member before.
        for other in &mut self.members {
            other.told.remove(&id);
        }
        self.trace.note(self.now, id.0 << 4, || format!("!! the disks of {id} have lied: {left} is left of {last}"));
        let at = self.now + MILLI + self.chance.fault.below(DOWN_MAX);
        self.queue.push(at, Event::Repair(Repair::Start(slot)));
        Ok(())
    }

    /// Whether a member holds again, and in the same words, what it had forgotten; or is a member no more, and nobody
    /// brings it anything.
    fn is_back(&self, slot: usize, last: LogId) -> bool {
        let member = &self.members[slot];
        if self.committed_membership().is_some_and(|(_, membership)| !membership.is_member(member.id)) {
            return true;
        }
        let log = &member.disk.durable;
        // A leader of a later term may have had other entries there.
        let has_it = log.contains(last) || log.last().last.term > last.term;
        member.is_running() && !member.is_switching() && has_it
    }
}

/// Whether a member runs, and is not on its way to another state.
fn is_settled(member: &Member) -> bool {
    member.is_running() && !member.paused && !member.is_switching() && !member.fetching && !member.removed
}
