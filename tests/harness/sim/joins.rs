//! Members that join as processes do: the member is added without a disk, and a process with an empty one asks anybody
//! to become it, until it is told that it has. Sometimes two processes come up where one member was added, each with a
//! disk of its own. One of them becomes the member; two would vote twice, and forget what the other has promised.

use super::checks::{Verdict, ensure};
use super::queue::{MILLI, Micros, SECOND};
use super::world::{Event, World, broken, info_of};
use quorate::bootstrap::{NodeInfo, StorageId};
use quorate::transport::hello::BindReply;
use tokio::sync::oneshot;

/// The pause between two questions, as the daemon makes it.
const ASK_EVERY: Micros = 200 * MILLI;
/// How long a question waits for its answer, as the daemon has it.
const ANSWERED_WITHIN: Micros = 12 * SECOND;
/// How long after the member is thought of its processes come up, on average: before or after it is added.
const UP_MEAN: Micros = 200 * MILLI;

/// The processes that ask to be one member.
#[derive(Debug)]
pub struct Joining {
    processes: Vec<Process>,
    /// The disk of the one that was told that it is the member.
    bound: Option<StorageId>,
}

#[derive(Debug)]
struct Process {
    storage: StorageId,
    /// To the question that it waits for an answer to, and how long it does.
    answer: Option<(oneshot::Receiver<BindReply>, Micros)>,
    /// What has come, for when it looks.
    came: Option<BindReply>,
}

impl Joining {
    /// Whether none of them has been told that it is the member.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.bound.is_none()
    }
}

impl Process {
    /// Whether it has just been told that it is the member, of which it may hear later.
    fn is_told(&mut self) -> bool {
        let Some((answer, _)) = self.answer.as_mut().filter(|_| self.came.is_none()) else { return false };
        self.came = answer.try_recv().ok();
        matches!(self.came, Some(BindReply::Bound { .. }))
    }

    /// What has come of its question; none while it waits.
    fn hears(&mut self, now: Micros) -> Option<BindReply> {
        let (answer, until) = self.answer.as_mut()?;
        match self.came.take().map_or_else(|| answer.try_recv(), Ok) {
            Ok(reply) => {
                self.answer = None;
                Some(reply)
            }
            Err(oneshot::error::TryRecvError::Empty) if now < *until => None,
            Err(_) => {
                self.answer = None;
                None
            }
        }
    }
}

impl World {
    /// The member at a slot is going to be added: one process wants to be it, or two.
    pub(super) fn begin_to_join(&mut self, slot: usize) {
        let count = if self.chance.member.coin() { 2 } else { 1 };
        let mut disk = || StorageId::from_bytes(u128::from(self.chance.member.bits()).to_le_bytes());
        let processes = (0..count).map(|_| Process { storage: disk(), answer: None, came: None }).collect();
        self.members[slot].joining = Some(Joining { processes, bound: None });
        for process in 0..count {
            let at = self.now + 1 + self.chance.member.exponential(UP_MEAN);
            self.queue.push(at, Event::Ask(slot, process));
        }
    }

    /// A process looks for its answer, and asks somebody if it waits for none.
    pub(super) fn ask_to_join(&mut self, slot: usize, process: usize) -> Verdict {
        let (now, truce) = (self.now, self.is_truce());
        let member = &mut self.members[slot];
        let (id, Some(joining)) = (member.id, &mut member.joining) else { return Ok(()) };
        if member.dead {
            return Ok(());
        }
        let asks = &mut joining.processes[process];
        match asks.hears(now) {
            Some(BindReply::Bound { .. }) => return self.bound(slot, process),
            Some(BindReply::Never { .. }) => {
                let place =
                    if joining.is_open() { "a newcomer was turned away" } else { "a second disk was turned away" };
                self.report.reach(place);
                return Ok(());
            }
            Some(BindReply::Later { .. }) | None => {}
        }
        self.queue.push(now + ASK_EVERY, Event::Ask(slot, process));
        if asks.answer.is_some() || truce {
            return Ok(());
        }
        let storage = asks.storage;
        let asked = self.chance.member.pick_index(&self.members);
        let Some(node) = self.node(asked) else { return Ok(()) };
        let answer = node.bind(info_of(id, Some(storage)));
        if let Some(joining) = &mut self.members[slot].joining {
            joining.processes[process].answer = Some((answer, now + ANSWERED_WITHIN));
        }
        self.turn_soon(asked)
    }

    /// Whoever is told in this moment that it is a member is one in a configuration that nobody takes back.
    pub(super) fn check_told(&mut self) -> Verdict {
        let mut told = Vec::new();
        for member in &mut self.members {
            let id = member.id;
            let processes = member.joining.iter_mut().flat_map(|joining| &mut joining.processes);
            told.extend(processes.filter_map(|process| process.is_told().then_some((id, process.storage))));
        }
        told.into_iter().try_for_each(|(id, storage)| {
            let Some((at, committed)) = self.committed_membership() else {
                return Err(broken("no configuration".into()));
            };
            let info = committed.nodes.get(&id).and_then(|info| NodeInfo::decode(info).ok());
            let bound = info.and_then(|info| info.storage);
            ensure("S17", bound == Some(storage) || committed.removed.contains(&id), || {
                format!("{id} is told that it is bound to {storage:?}, by the configuration at {at} it is to {bound:?}")
            })
        })
    }

    /// A process has been told that it is the member.
    fn bound(&mut self, slot: usize, process: usize) -> Verdict {
        let member = &mut self.members[slot];
        let (id, Some(joining)) = (member.id, &mut member.joining) else { return Ok(()) };
        let storage = joining.processes[process].storage;
        let other = joining.bound.replace(storage).filter(|other| *other != storage);
        ensure("S17", other.is_none(), || format!("{id} was bound to {other:?}, and now to {storage:?}"))?;
        member.storage = storage;
        self.trace.note(self.now, id.0 << 20, || format!("{id} is bound to {storage:?}"));
        self.report.reach("a newcomer was bound to its disk");
        self.start(slot)
    }

    /// L1: whoever is a member and could be up has been bound to a disk.
    pub(super) fn check_joined(&self) -> Verdict {
        let Some((_, membership)) = self.committed_membership() else { return Ok(()) };
        let left = self.members.iter().find(|member| {
            let expected = !member.dead && membership.is_member(member.id);
            expected && member.joining.as_ref().is_some_and(Joining::is_open)
        });
        ensure("L1", left.is_none(), || format!("{:?} waits for its disk after a minute of peace", left.map(|m| m.id)))
    }
}
