//! What is going to happen, in order of time; what happens at one moment, in the order in which it was scheduled.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Microseconds of virtual time since the world began.
pub type Micros = u64;

/// One second.
pub const SECOND: Micros = 1_000_000;
/// One millisecond.
pub const MILLI: Micros = 1_000;

/// The events to come. Events lie still in slots while the heap sorts small keys.
#[derive(Debug)]
pub struct Queue<E> {
    order: BinaryHeap<Reverse<Due>>,
    slots: Vec<Option<E>>,
    free: Vec<usize>,
    scheduled: u64,
}

/// When the event in a slot happens.
#[derive(Debug)]
struct Due {
    at: Micros,
    nth: u64,
    slot: usize,
}

impl Due {
    /// Both in one number: comparing it takes no branch.
    fn key(&self) -> u128 {
        u128::from(self.at) << u64::BITS | u128::from(self.nth)
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }
}

impl<E> Queue<E> {
    /// Lets `event` happen at `at`.
    pub fn push(&mut self, at: Micros, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(event);
        self.order.push(Reverse(Due { at, nth: self.scheduled, slot }));
        self.scheduled += 1;
    }

    /// The next event, if it happens not after `until`.
    pub fn pop(&mut self, until: Micros) -> Option<(Micros, E)> {
        if self.order.peek()?.0.at > until {
            return None;
        }
        let Reverse(Due { at, slot, .. }) = self.order.pop()?;
        self.free.push(slot);
        self.slots[slot].take().map(|event| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_scheduled() {
        let mut queue = Queue::default();
        for (at, name) in [(5, "d"), (1, "a"), (3, "b"), (3, "c"), (9, "late")] {
            queue.push(at, name);
        }
        let seen: Vec<_> = std::iter::from_fn(|| queue.pop(5)).collect();
        assert_eq!(seen, [(1, "a"), (3, "b"), (3, "c"), (5, "d")]);
    }
}
