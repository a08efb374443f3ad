//! The state machine's side of a member: committed entries are applied slice by slice, made durable now and then, and
//! wait where its disk has no room.

use super::checks::{Verdict, ensure};
use super::member::{Member, What};
use super::world::World;
use raft::Entry;

/// Entries that became durable between two words of it to the loop: the daemon flushes every two seconds.
const FLUSHED_EVERY: u64 = 16;
/// Entries applied and not flushed, at most: what the store's buffers take.
const UNFLUSHED_MAX: u64 = 200;

impl World {
    /// Entries go to the state machine.
    pub(super) fn hand_over(&mut self, slot: usize, entries: Vec<Entry>) -> Verdict {
        let Member { id, disk, machine, .. } = &mut self.members[slot];
        for entry in &entries {
            ensure("S5", entry.index() == machine.handed.next(), || {
                format!("{id} is to apply {entry} after {}", machine.handed)
            })?;
            ensure("S5", disk.durable.contains(entry.id()), || {
                format!("{id} is to apply {entry}, its disk ends at {}", disk.durable.last().last)
            })?;
            machine.handed = entry.index();
        }
        machine.queue.push_back(entries);
        if machine.queue.len() == 1 {
            self.work_on(slot);
        }
        Ok(())
    }

    fn apply_next(&mut self, slot: usize) {
        let member = &self.members[slot];
        let (applying, slowness) = (member.applying, member.apply_slowness);
        let wait = (5 + self.chance.disk.exponential(self.swarm.apply_mean)) * slowness;
        self.later(slot, wait, What::Applied(applying));
    }

    /// The state machine has worked through a slice.
    pub(super) fn applied(&mut self, slot: usize, applying: u64) -> Verdict {
        let member = &mut self.members[slot];
        if member.applying != applying {
            return Ok(());
        }
        let Some(entries) = member.machine.queue.pop_front() else { return Ok(()) };
        for entry in &entries {
            let state = &mut member.machine.state;
            let before = state.applied.last.index;
            state.apply(entry);
            self.ledger.applied(member.id, before, state.applied)?;
        }
        let outcomes = member.machine.apply(&entries)?;
        self.ledger.stored(member.id, member.machine.state.applied.last.index, member.machine.state.store)?;
        let applied = member.machine.state.applied.last;
        if !self.flush_if_due(slot) {
            return self.fall(slot);
        }
        if let Some(node) = self.node(slot) {
            node.applied(applied.index, applied.term, outcomes);
        }
        self.work_on(slot);
        self.turn_soon(slot)?;
        self.tell_flushed(slot)
    }

    /// What the state machine does next, if it has anything to do and room for it.
    pub(super) fn work_on(&mut self, slot: usize) {
        let machine = &self.members[slot].machine;
        let (applies, switches) = (!machine.queue.is_empty(), machine.switch.is_some());
        let waits = machine.full && (!applies || machine.unflushed() >= UNFLUSHED_MAX);
        if waits && (applies || switches) {
            self.report.reach("applying waited for room");
            self.members[slot].stalled = true;
        } else if applies {
            self.apply_next(slot);
        } else if switches {
            self.switch_next(slot);
        }
    }

    /// False when the store's disk has failed, and the process must end. One without room is told to the loop.
    fn flush_if_due(&mut self, slot: usize) -> bool {
        let machine = &mut self.members[slot].machine;
        if machine.unflushed() < self.swarm.checkpoint_every {
            return true;
        }
        if machine.full {
            if !std::mem::replace(&mut machine.told_full, true) {
                self.report.reach("a flush waited for room");
                self.node(slot).into_iter().for_each(|node| node.data_disk_full(true));
            }
            return true;
        }
        let flushed = machine.flush();
        if !flushed {
            self.report.reach("the store's disk failed, the process ended");
        }
        flushed
    }

    /// The store's disk has room again.
    pub(super) fn flush_store(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        if std::mem::take(&mut member.machine.told_full) {
            self.node(slot).into_iter().for_each(|node| node.data_disk_full(false));
            if !self.flush_if_due(slot) {
                return self.fall(slot);
            }
        }
        if std::mem::take(&mut self.members[slot].stalled) {
            self.work_on(slot);
        }
        self.turn_soon(slot)?;
        self.tell_flushed(slot)
    }

    /// The loop hears now and then how much of the store would survive a crash.
    fn tell_flushed(&mut self, slot: usize) -> Verdict {
        let member = &mut self.members[slot];
        let Some(node) = &member.node else { return Ok(()) };
        let durable = member.machine.checkpoint.applied.last.index;
        if durable.0 < member.flushed.0 + FLUSHED_EVERY {
            return Ok(());
        }
        member.flushed = durable;
        node.flushed(durable);
        self.turn_soon(slot)
    }
}
