//! Connections and the links on them: who calls whom, when it comes to something, when it ends.

use super::checks::Verdict;
use super::member::What;
use super::queue::{MILLI, Micros};
use super::world::{Event, World};
use raft::LinkId;

/// How long a new connection takes, at most.
const DIAL_MAX: Micros = 200 * MILLI;
/// The pause before a call that came to nothing is made again, on average.
const DIAL_AGAIN: Micros = 500 * MILLI;

impl World {
    /// Every pair that is apart tries to connect soon.
    pub(super) fn reconnect(&mut self) {
        for one in 0..self.members.len() {
            for other in one + 1..self.members.len() {
                if !self.network.is_connected(one, other) {
                    let at = self.now + self.chance.network.below(DIAL_MAX);
                    self.queue.push(at, Event::Connect(one, other));
                }
            }
        }
    }

    pub(super) fn connect(&mut self, one: usize, other: usize) {
        let runs = self.members[one].is_running() && self.members[other].is_running();
        if runs && self.network.connect(one, other) {
            let epoch = self.network.epoch(one, other);
            self.happen(one, What::Dial(other, epoch));
            self.happen(other, What::Dial(one, epoch));
        }
    }

    /// One side of a connected pair says hello, so that it may send; until that has come to something.
    pub(super) fn dial(&mut self, from: usize, to: usize, epoch: u64) -> Verdict {
        let peer = self.members[to].id;
        let wants = self.members[from].node.as_ref().is_some_and(|node| node.links_to(peer));
        if self.network.epoch(from, to) != epoch || !self.network.is_connected(from, to) || !wants {
            return Ok(());
        }
        let answers = self.members[to].is_running() && !self.members[to].paused;
        if answers && self.network.can_raise(from, to) {
            if let (Some(caller), Some(called)) = (&self.members[from].node, &self.members[to].node) {
                let welcome = caller.call(called);
                match welcome {
                    Ok(()) => caller.link_up(peer, self.network.raise(from, to)),
                    Err(refusal) => self.report.reach(&format!("call refused: {refusal:?}")),
                }
                self.turn_soon(to)?;
                self.turn_soon(from)?;
                if welcome.is_ok() {
                    return Ok(());
                }
            }
        } else if answers && !self.network.is_blocked(from, to) && !self.network.is_blocked(to, from) {
            // It stands already.
            return Ok(());
        }
        let wait = MILLI + self.chance.network.exponential(DIAL_AGAIN);
        self.later(from, wait, What::Dial(to, epoch));
        Ok(())
    }

    /// The loop wants other links than before.
    pub(super) fn relink(&mut self, slot: usize) {
        let Some(node) = &self.members[slot].node else { return };
        for (peer, wanted) in node.link_changes() {
            let Some(to) = self.slot_of(peer) else { continue };
            if !wanted {
                self.network.lower(slot, to);
                // The loop hears that it is down.
                self.happen(slot, What::Turn);
            } else if self.network.is_connected(slot, to) {
                let (wait, epoch) = (self.chance.network.below(DIAL_MAX), self.network.epoch(slot, to));
                self.later(slot, wait, What::Dial(to, epoch));
            }
        }
    }

    /// Nothing has come through for a while: the connection ends, if that is still so.
    pub(super) fn give_up(&mut self, one: usize, other: usize) {
        if self.network.is_blocked(one, other) || self.network.is_blocked(other, one) {
            self.sever(one, other);
        }
    }

    /// Ends the connection of a pair; both sides notice in their own time.
    pub(super) fn sever(&mut self, one: usize, other: usize) {
        for notice in self.network.disconnect(&mut self.chance.network, self.now, one, other) {
            let life = self.members[notice.side].life;
            let what = What::LinkDown(notice.peer, notice.link);
            if self.members[notice.side].is_running() {
                self.queue.push(notice.at, Event::To { slot: notice.side, life, what });
            } else {
                self.network.noticed(notice.side, notice.peer, notice.link);
            }
        }
    }

    pub(super) fn link_down(&mut self, slot: usize, peer: usize, link: LinkId) -> Verdict {
        let peer = self.members[peer].id;
        if let Some(node) = self.node(slot) {
            node.link_down(peer, link);
        }
        self.turn_soon(slot)
    }
}
