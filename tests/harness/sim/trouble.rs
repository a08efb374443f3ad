//! What goes wrong, and how it goes right again.

use super::checks::Verdict;
use super::medium::End;
use super::member::What;
use super::network::SLOTS;
use super::queue::{MILLI, Micros, SECOND};
use super::swarm::{Fault, Feature};
use super::words::role_mark;
use super::world::{Event, Repair, World};
use raft::{RoleName, StreamState};

/// How long a member is down on average.
pub(super) const DOWN_MEAN: Micros = 2 * SECOND;
/// How long a member stands still on average: about an election timeout.
const PAUSE_MEAN: Micros = SECOND;
/// How long a partition lasts on average.
const PARTITION_MEAN: Micros = 3 * SECOND;
/// How long one direction is clogged on average.
const CLOG_MEAN: Micros = SECOND;
/// How long a disk or a state machine is slow or full on average.
const SLOW_MEAN: Micros = 3 * SECOND;
/// How many times slower than usual they get.
const SLOWNESS_MAX: u64 = 60;
/// Bytes a disk that fills up still takes, at most: two large segments.
const DISK_LEFT_MAX: u64 = 64 << 10;
/// Millionths of the short things members do in which something goes wrong.
const STRUCK_AMID: u64 = 150_000;
/// How long it may take until a connection that carries nothing any more is given up.
const KEEPALIVE_MAX: Micros = 3 * SECOND;

impl World {
    /// One thing goes wrong, and the next one will.
    pub(super) fn strike(&mut self) -> Verdict {
        if self.calm {
            return Ok(());
        }
        let wait = 1 + self.chance.fault.exponential(self.swarm.fault_mean);
        self.queue.push(self.now + wait, Event::Fault);
        let victim = self.victim();
        self.strike_at(victim)
    }

    /// A member does what is over soon: something may go wrong with it before, more often than chance would have it.
    pub(super) fn strike_amid(&mut self, slot: usize, mean: Micros) {
        if !self.calm && self.chance.fault.chance(STRUCK_AMID) {
            let at = self.now + self.chance.fault.exponential(mean);
            self.queue.push(at, Event::FaultAt(slot));
        }
    }

    /// One thing goes wrong with this member.
    pub(super) fn strike_at(&mut self, slot: usize) -> Verdict {
        let faults: Vec<Fault> = self.swarm.faults.iter().copied().collect();
        let fault = if self.calm || self.is_truce() { None } else { self.chance.fault.pick(&faults).copied() };
        let Some(fault) = fault else { return Ok(()) };
        match fault {
            Fault::Crash | Fault::Kill => self.strike_down(fault, slot)?,
            Fault::CrashAll => self.strike_all()?,
            Fault::SyncFails => self.spoil_sync(slot),
            Fault::OutOfSpace => self.fill_disk(slot),
            Fault::Pause => self.pause(slot),
            Fault::Isolate | Fault::Split | Fault::OneWay | Fault::Bridge | Fault::Cut => self.divide(fault, slot),
            Fault::Reset => self.reset(slot),
            Fault::Clog => self.clog(slot),
            Fault::SlowDisk | Fault::DiskFull | Fault::DiskStuck => self.hurt_disk(fault, slot),
            Fault::SlowApply => self.slow_apply(slot),
            Fault::SyncLies => self.begin_to_lie(slot),
            Fault::DiskLost => self.lose_disk(slot)?,
            Fault::WallJump => {
                self.struck(fault, slot);
                self.members[slot].clock.jump(&mut self.chance.fault);
            }
            // These go on all the time, or strike where something is done that can fail.
            Fault::Loss
            | Fault::Replay
            | Fault::Reorder
            | Fault::Drift
            | Fault::Unreadable
            | Fault::FetchFails
            | Fault::BitRot => {}
        }
        Ok(())
    }

    /// Faults prefer leaders a little: more goes on there.
    fn victim(&mut self) -> usize {
        let leader = self.members.iter().position(|member| member.leading.is_some());
        let random = usize::try_from(self.chance.fault.below(self.members.len() as u64)).expect("below a length");
        leader.filter(|_| self.chance.fault.below(3) == 0).unwrap_or(random)
    }

    /// Notes what the victim was doing.
    pub(super) fn struck(&mut self, fault: Fault, slot: usize) {
        let member = &self.members[slot];
        let Some(node) = &member.node else { return };
        let status = node.status(member.clock.now(self.now).mono);
        let mut states = vec![role_mark(status.role)];
        let any = |state| status.followers.iter().any(|follower| follower.state == state);
        let more = [
            (status.role == RoleName::Leader && any(StreamState::Probe), "probing"),
            (status.role == RoleName::Leader && any(StreamState::Snapshot), "offering-snapshot"),
            (!status.membership_committed, "change-pending"),
            (node.membership().1.is_joint(), "joint"),
            (status.transferring, "transferring"),
            (member.fetching, "fetching"),
            (member.is_switching(), "installing"),
            (member.paused, "paused"),
            (status.last.index > status.commit, "uncommitted"),
            (member.disk.queued() > 0, "flushing"),
            (!member.machine.queue.is_empty(), "applying"),
            (member.removed, "removed"),
        ];
        states.extend(more.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name));
        self.report.fault(fault, &states);
        let id = member.id;
        self.trace.note(self.now, id.0 << 32 ^ fault as u64, || format!("!! {fault:?} strikes {id} ({states:?})"));
    }

    fn repair_after(&mut self, mean: Micros, repair: Repair) {
        let at = self.now + MILLI + self.chance.fault.exponential(mean);
        self.queue.push(at, Event::Repair(repair));
    }

    pub(super) fn strike_down(&mut self, fault: Fault, slot: usize) -> Verdict {
        if self.members[slot].is_running() {
            self.struck(fault, slot);
            self.end(slot, if fault == Fault::Kill { End::Process } else { End::Power })?;
            self.restart_soon(slot);
        }
        Ok(())
    }

    /// A member that is down comes back after a while.
    pub(super) fn restart_soon(&mut self, slot: usize) {
        self.repair_after(DOWN_MEAN, Repair::Start(slot));
    }

    fn strike_all(&mut self) -> Verdict {
        for slot in 0..self.members.len() {
            if self.members[slot].is_running() {
                self.struck(Fault::CrashAll, slot);
                self.end(slot, End::Power)?;
                self.repair_after(DOWN_MEAN / 4, Repair::Start(slot));
            }
        }
        Ok(())
    }

    fn pause(&mut self, slot: usize) {
        if self.members[slot].is_running() && !self.members[slot].paused {
            self.struck(Fault::Pause, slot);
            self.members[slot].paused = true;
            self.repair_after(PAUSE_MEAN, Repair::Resume(slot));
        }
    }

    /// A new partition in place of the one there is.
    fn divide(&mut self, fault: Fault, slot: usize) {
        let cut_off = self.draw_partition(fault, slot);
        if !cut_off.is_empty() {
            self.struck(fault, slot);
        }
        self.unblock();
        cut_off.into_iter().for_each(|(from, to)| self.network.block(from, to, true));
        self.notice_partition();
        self.partition += 1;
        self.repair_after(PARTITION_MEAN, Repair::Partition(self.partition));
    }

    /// Who cannot be heard by whom: nobody, where the draw has everybody on one side.
    fn draw_partition(&mut self, fault: Fault, slot: usize) -> Vec<(usize, usize)> {
        let count = self.members.len();
        let side: Vec<bool> = (0..count).map(|_| self.chance.fault.coin()).collect();
        let other = usize::try_from(self.chance.fault.below(count as u64)).expect("below a length");
        let both_ways = fault != Fault::OneWay && (fault != Fault::Isolate || self.chance.fault.below(4) > 0);
        let outward = self.chance.fault.coin();
        let is_cut_off = |(from, to): (usize, usize)| {
            let crosses = match fault {
                Fault::Isolate => from == slot || to == slot,
                Fault::Cut => (from, to) == (slot, other) || (to, from) == (slot, other),
                Fault::Bridge => side[from] != side[to] && from != slot && to != slot,
                _ => side[from] != side[to],
            };
            let this_way = if fault == Fault::Isolate { (from == slot) == outward } else { side[from] == outward };
            from != to && crosses && (both_ways || this_way)
        };
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        pairs.filter(|pair| is_cut_off(*pair)).collect()
    }

    /// Pairs that cannot talk any more give their connection up after a while.
    fn notice_partition(&mut self) {
        for one in 0..self.members.len() {
            for other in one + 1..self.members.len() {
                if self.network.is_blocked(one, other) || self.network.is_blocked(other, one) {
                    let at = self.now + self.chance.fault.below(KEEPALIVE_MAX);
                    self.queue.push(at, Event::Sever(one, other));
                }
            }
        }
    }

    pub(super) fn unblock(&mut self) {
        for from in 0..SLOTS {
            (0..SLOTS).for_each(|to| self.network.block(from, to, false));
        }
    }

    fn reset(&mut self, slot: usize) {
        let other = usize::try_from(self.chance.fault.below(self.members.len() as u64)).expect("below a length");
        if other != slot && self.network.is_connected(slot, other) {
            self.struck(Fault::Reset, slot);
            self.sever(slot, other);
            self.reconnect();
        }
    }

    fn clog(&mut self, slot: usize) {
        let other = usize::try_from(self.chance.fault.below(self.members.len() as u64)).expect("below a length");
        if other != slot {
            self.struck(Fault::Clog, slot);
            let until = self.now + self.chance.fault.exponential(CLOG_MEAN);
            self.network.clog(slot, other, until);
        }
    }

    fn hurt_disk(&mut self, fault: Fault, slot: usize) {
        self.struck(fault, slot);
        let disk = &mut self.members[slot].disk;
        match fault {
            Fault::SlowDisk => disk.slowness = self.chance.fault.between(2, SLOWNESS_MAX),
            _ => {
                disk.full = fault == Fault::DiskStuck;
                self.happen(slot, What::Full);
            }
        }
        self.repair_after(SLOW_MEAN, Repair::Disk(slot));
    }

    /// The next sync of the log fails, or that of the store where it is a file: tables in memory have hardly any.
    fn spoil_sync(&mut self, slot: usize) {
        if self.members[slot].is_running() {
            self.struck(Fault::SyncFails, slot);
            if self.chance.fault.coin() || !self.swarm.does(Feature::Database) {
                self.members[slot].disk.medium.fail_next_sync();
            } else {
                self.members[slot].machine.fail_next_sync();
            }
        }
    }

    /// The disk of the log takes only a little more: a segment or two, or not even one. That of the store takes nothing,
    /// or both do.
    fn fill_disk(&mut self, slot: usize) {
        self.struck(Fault::OutOfSpace, slot);
        let (left, which) = (self.chance.fault.below(DISK_LEFT_MAX), self.chance.fault.below(3));
        if which > 0 {
            self.members[slot].disk.medium.limit(Some(left));
        }
        self.members[slot].machine.full |= which < 2;
        self.repair_after(SLOW_MEAN, Repair::Disk(slot));
    }

    fn slow_apply(&mut self, slot: usize) {
        self.struck(Fault::SlowApply, slot);
        self.members[slot].apply_slowness = self.chance.fault.between(2, SLOWNESS_MAX);
        self.repair_after(SLOW_MEAN, Repair::Machine(slot));
    }

    /// Something goes right again.
    pub(super) fn repair(&mut self, repair: Repair) -> Verdict {
        match repair {
            Repair::Start(slot) => self.start(slot)?,
            Repair::Resume(slot) => self.resume(slot)?,
            Repair::Partition(number) if number == self.partition => {
                self.trace.note(self.now, number, || "!! the partition ends".to_owned());
                self.unblock();
                self.reconnect();
            }
            Repair::Partition(_) => {}
            Repair::Disk(slot) => self.repair_disk(slot),
            Repair::Machine(slot) => self.members[slot].apply_slowness = 1,
        }
        Ok(())
    }

    pub(super) fn repair_disk(&mut self, slot: usize) {
        let disk = &mut self.members[slot].disk;
        (disk.slowness, disk.full, disk.starved) = (1, false, false);
        disk.medium.heal();
        self.members[slot].machine.heal();
        self.members[slot].machine.full = false;
        self.happen(slot, What::RoomAgain);
    }

    /// Whatever has gone wrong with a member goes right again.
    pub(super) fn heal_member(&mut self, slot: usize) -> Verdict {
        self.repair_disk(slot);
        self.members[slot].apply_slowness = 1;
        if self.members[slot].paused {
            self.resume(slot)?;
        }
        self.start(slot)
    }

    /// A member that stood still goes on with everything that has reached it meanwhile, in one turn of its loop.
    pub(super) fn resume(&mut self, slot: usize) -> Verdict {
        let id = self.members[slot].id;
        self.members[slot].paused = false;
        self.trace.note(self.now, id.0 << 40, || format!("{id} goes on"));
        self.members[slot].turn_due = true;
        while let Some(what) = self.members[slot].deferred.pop_front() {
            self.handle(slot, what)?;
        }
        self.members[slot].turn_due = false;
        self.turn(slot)
    }
}
