//! A snapshot on its way to a member: fetched from another one, switched to, and what may befall the member meanwhile.

use super::checks::{Verdict, Violation, ensure};
use super::machine::Snapshot;
use super::member::{Member, What};
use super::perform::ROOM_RETRY;
use super::queue::{MILLI, Micros};
use super::swarm::Fault;
use super::words::role_mark;
use super::world::World;
use quorate::install::{Installed, Switch};
use quorate::node::driven::Driven;
use raft::Index;

/// How long it takes on average to find a source.
const FETCH_MEAN: Micros = 25 * MILLI;
/// How long copying from it takes on average.
const COPY_MEAN: Micros = 25 * MILLI;
/// How long switching to one takes on average.
const SWITCH_MEAN: Micros = 10 * MILLI;
/// Millionths of fetches that fail while they may.
const FETCH_FAILS: u64 = 400_000;
/// Millionths of switches that a member falls before, and as many that it falls after, where members fall.
const FALLS_AMID_SWITCH: u64 = 150_000;

impl World {
    /// A snapshot is needed.
    pub(super) fn fetch(&mut self, slot: usize, at_least: Index) {
        self.report.reach("snapshot offered");
        let member = &mut self.members[slot];
        member.wanted = at_least;
        if !std::mem::replace(&mut member.fetching, true) {
            self.fetch_soon(slot);
            self.strike_amid(slot, FETCH_MEAN);
        }
    }

    fn fetch_soon(&mut self, slot: usize) {
        let wait = MILLI + self.chance.disk.exponential(FETCH_MEAN);
        self.later(slot, wait, What::Fetch);
    }

    /// A snapshot is fetched as it is now, if there is one and its source can be reached. If not it is tried again, for
    /// as long as it is needed.
    pub(super) fn copy(&mut self, slot: usize) -> Verdict {
        let wanted = self.members[slot].wanted;
        if self.node(slot).is_none_or(|node| node.brief().commit >= wanted) {
            self.members[slot].fetching = false;
            return Ok(());
        }
        let fails = self.swarm.has(Fault::FetchFails) && !self.calm && self.chance.fault.chance(FETCH_FAILS);
        if fails {
            self.report.fault(Fault::FetchFails, &[role_mark(self.members[slot].role)]);
        }
        let source = self.source(slot, wanted).filter(|_| !fails);
        let snapshot = match source {
            Some(from) => {
                let Member { machine, node, .. } = &mut self.members[from];
                machine.snapshot(|index| node.as_ref()?.snapshot_point(index))?
            }
            None => None,
        };
        let Some(snapshot) = snapshot else {
            self.fetch_soon(slot);
            return Ok(());
        };
        let wait = self.chance.disk.exponential(COPY_MEAN);
        self.later(slot, wait, What::Ready(Box::new(snapshot)));
        Ok(())
    }

    /// All of a snapshot is here. The log may have come as far meanwhile. Without room for a state beside the one there
    /// is, it waits.
    pub(super) fn ready(&mut self, slot: usize, snapshot: Snapshot) -> Verdict {
        if self.members[slot].machine.full {
            self.report.reach("a snapshot waited for room");
            self.later(slot, ROOM_RETRY, What::Ready(Box::new(snapshot)));
            return Ok(());
        }
        let Member { machine, node, .. } = &mut self.members[slot];
        let switch = machine.prepare(snapshot)?;
        if let Some(node) = node {
            node.fetched(switch);
        }
        self.turn_soon(slot)
    }

    /// Somebody who runs, can be reached and has applied so much.
    fn source(&mut self, slot: usize, wanted: Index) -> Option<usize> {
        let fit = |from: &usize| {
            let member = &self.members[*from];
            let runs = member.is_running() && !member.paused && !member.is_switching();
            let reached = *from != slot && self.network.is_connected(*from, slot);
            runs && reached && member.machine.state.applied.last.index >= wanted
        };
        let sources: Vec<usize> = (0..self.members.len()).filter(fit).collect();
        self.chance.disk.pick(&sources).copied()
    }

    /// What the fetching task does when it hears what became of its snapshot.
    pub(super) fn told_of_install(&mut self, slot: usize) {
        let member = &mut self.members[slot];
        let Some(told) = member.node.as_mut().and_then(Driven::installed) else { return };
        match told {
            Installed::Yes => member.machine.installed(),
            Installed::NotNeeded => member.machine.not_needed(),
        }
        member.fetching = false;
        self.report.reach(if told == Installed::Yes { "snapshot installed" } else { "snapshot not needed" });
    }

    /// The loop stands still until the state has been switched.
    pub(super) fn switch_asked(&mut self, slot: usize, switch: Box<Switch>) -> Verdict {
        let Member { id, disk, machine, .. } = &mut self.members[slot];
        ensure("S6", disk.queued() == 0, || format!("{id} begins to switch with {} writes under way", disk.queued()))?;
        machine.switch = Some(switch);
        if machine.queue.is_empty() {
            self.work_on(slot);
        }
        Ok(())
    }

    pub(super) fn switch_next(&mut self, slot: usize) {
        let wait = self.chance.disk.exponential(SWITCH_MEAN);
        let applying = self.members[slot].applying;
        self.later(slot, wait, What::Switch(applying));
        self.strike_amid(slot, SWITCH_MEAN / 2);
    }

    /// The state is switched.
    pub(super) fn switch(&mut self, slot: usize, applying: u64) -> Verdict {
        let member = &mut self.members[slot];
        if member.applying != applying {
            return Ok(());
        }
        let id = member.id;
        if self.falls_amid(slot)? {
            return Ok(());
        }
        let member = &mut self.members[slot];
        if !member.machine.switched() {
            self.report.reach("the store's disk failed, the process ended");
            return self.fall(slot);
        }
        let base = member.machine.state.applied;
        ensure("S5", self.ledger.at(base.last.index) == Some(&base), || {
            format!("{id} installs {}, committed is {:?}", base.last, self.ledger.at(base.last.index))
        })?;
        self.trace.note(self.now, base.hash, || format!("{id} has switched to {}", base.last));
        if self.falls_amid(slot)? {
            return Ok(());
        }
        self.node(slot).into_iter().for_each(Driven::switched);
        self.turn_soon(slot)
    }

    /// A switch is short, and what a crash in it leaves is put together from two disks: more of them are struck than
    /// chance would.
    fn falls_amid(&mut self, slot: usize) -> Result<bool, Violation> {
        let fault = [Fault::Crash, Fault::Kill].into_iter().find(|fault| self.swarm.has(*fault));
        let fault = fault.filter(|_| !self.calm && !self.is_truce() && self.chance.fault.chance(FALLS_AMID_SWITCH));
        if let Some(fault) = fault {
            self.strike_down(fault, slot)?;
        }
        Ok(fault.is_some())
    }
}
