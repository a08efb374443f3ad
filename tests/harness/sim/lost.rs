//! Disks that are lost for good. A process with an empty disk comes up where the member was, as Kubernetes would have it,
//! and asks the others to be that member. They must turn it away for ever: with the disk went votes and acknowledgements,
//! and whoever votes again under that id may elect a leader that lacks what is committed.
//!
//! Disks are lost while the rest is a quorum of every configuration there may be, and in runs that do not change the
//! membership: a change that is under way could take away a member that the quorum cannot do without.

use super::checks::Verdict;
use super::checks::configs::is_quorum;
use super::medium::End;
use super::queue::{MILLI, Micros};
use super::swarm::{Fault, Feature};
use super::trouble::DOWN_MEAN;
use super::world::{Event, World, info_of};
use quorate::bootstrap::StorageId;
use quorate::transport::hello::BindReply;
use raft::MemberId;
use tokio::sync::oneshot;

/// The pause between two questions, as the daemon makes it.
const ASK_EVERY: Micros = 200 * MILLI;

/// A process with an empty disk.
#[derive(Debug)]
pub struct Lost {
    storage: StorageId,
    answer: Option<oneshot::Receiver<BindReply>>,
}

/// The first disk of a member.
pub(super) fn storage_of(id: MemberId) -> StorageId {
    StorageId::from_bytes(u128::from(id.0).to_be_bytes())
}

impl World {
    /// A member loses its disk, if the others can do without it.
    pub(super) fn lose_disk(&mut self, slot: usize) -> Verdict {
        if !self.members[slot].is_running() || self.swarm.does(Feature::Membership) || !self.is_spare(slot) {
            return Ok(());
        }
        self.struck(Fault::DiskLost, slot);
        self.end(slot, End::Power)?;
        let storage = StorageId::from_bytes(u128::from(self.chance.fault.bits()).to_le_bytes());
        self.members[slot].lost = Some(Lost { storage, answer: None });
        let wait = MILLI + self.chance.fault.exponential(DOWN_MEAN);
        self.queue.push(self.now + wait, Event::Knock(slot));
        Ok(())
    }

    /// Whether those that have not lost their disks are a quorum of every configuration without this one.
    fn is_spare(&self, slot: usize) -> bool {
        let others = |voter| self.slot_of(voter).is_some_and(|at| at != slot && self.members[at].lost.is_none());
        self.possible_memberships().iter().all(|membership| is_quorum(membership, others))
    }

    /// A process with an empty disk looks for its answer, and asks somebody if there is none.
    pub(super) fn knock(&mut self, slot: usize) -> Verdict {
        let id = self.members[slot].id;
        let Some(lost) = self.members[slot].lost.as_mut().filter(|_| !self.calm) else { return Ok(()) };
        let (storage, answer) = (lost.storage, lost.answer.take().and_then(|mut answer| answer.try_recv().ok()));
        match answer {
            Some(BindReply::Never { .. }) => {
                self.report.reach("a lost disk was turned away");
                return Ok(());
            }
            Some(BindReply::Bound { .. }) => {
                self.trace.note(self.now, id.0, || format!("!! {id} begins anew with an empty disk"));
                let on_disk = self.swarm.does(Feature::Database);
                self.members[slot].begin_anew(storage, on_disk, &mut self.chance.disk);
                return self.start(slot);
            }
            Some(BindReply::Later { .. }) | None => {}
        }
        self.queue.push(self.now + ASK_EVERY, Event::Knock(slot));
        let asked = self.chance.fault.pick_index(&self.members);
        let Some(node) = self.node(asked) else { return Ok(()) };
        let answer = node.bind(info_of(id, Some(storage)));
        if let Some(lost) = &mut self.members[slot].lost {
            lost.answer = Some(answer);
        }
        self.turn_soon(asked)
    }
}
