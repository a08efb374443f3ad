//! What requests and responses may hold of the member's memory, all of a kind together, and one connection of it.
//!
//! Requests are shared out between connections: one that has more than a part of what would stay free gets no more, as with
//! the places in [`super::calls`]. So a few connections keep nobody out, however much of a request they send. Answers are
//! not, as a large one alone needs most of what there is.

use super::limits::RESPONSE_BYTES_MAX;
use super::status::Refusal;
use mvcc::{Found, ReadError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shares are counted in pages of this many bytes.
const PAGE_BYTES: usize = 1024;

/// Shares grow by so many pages at least, so that one that grows with every key is not counted with every key.
const STEP_PAGES: usize = 64;

/// So much is not counted: the number of calls bounds it, and counting would cost more than it saves.
pub(super) const UNCOUNTED_BYTES_MAX: usize = 16 * 1024;

/// A connection may have one of so many parts of what is free. So it has a third of everything when it is alone: dozens of
/// the largest requests at once.
const PARTS: usize = 2;

/// Hands out shares of the memory for one kind of thing.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pages: Arc<Semaphore>,
    /// What the connection has that it is handed out to; none where it is not told apart.
    of_connection: Option<Arc<AtomicUsize>>,
    /// What is said when there is no more.
    refusal: Refusal,
}

/// A share, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(super) fn new(bytes_max: usize, refusal: Refusal) -> Self {
        Self { pages: Arc::new(Semaphore::new(bytes_max / PAGE_BYTES)), of_connection: None, refusal }
    }

    /// The same memory, for a connection that has so many pages of it.
    pub(super) fn of(&self, connection: &Arc<AtomicUsize>) -> Self {
        Self { of_connection: Some(Arc::clone(connection)), ..self.clone() }
    }

    /// An empty share.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), held: None }
    }

    fn take(&self, pages: usize) -> Option<OwnedSemaphorePermit> {
        let stays_free = self.pages.available_permits().checked_sub(pages)?;
        if self.of_connection.as_ref().is_some_and(|held| held.load(Ordering::Relaxed) > stays_free / PARTS) {
            return None;
        }
        let permit = Arc::clone(&self.pages).try_acquire_many_owned(u32::try_from(pages).ok()?).ok()?;
        if let Some(held) = &self.of_connection {
            held.fetch_add(pages, Ordering::Relaxed);
        }
        Some(permit)
    }

    fn give_back(&self, permit: &OwnedSemaphorePermit) {
        if let Some(held) = &self.of_connection {
            held.fetch_sub(permit.num_permits(), Ordering::Relaxed);
        }
    }
}

impl Share {
    /// Makes the share as large as `bytes` at least. Where there is no room it stays as it is.
    ///
    /// # Errors
    /// The budget's refusal, while others hold too much, or this connection more than its part.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= UNCOUNTED_BYTES_MAX {
            return Ok(());
        }
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacking = bytes.div_ceil(PAGE_BYTES).saturating_sub(held);
        if lacking == 0 {
            return Ok(());
        }
        let budget = &self.budget;
        let more = budget.take(lacking.max(STEP_PAGES)).or_else(|| budget.take(lacking)).ok_or(budget.refusal)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held => *held = Some(more),
        }
        Ok(())
    }

    /// Gives it back.
    pub(super) fn release(&mut self) {
        if let Some(held) = self.held.take() {
            self.budget.give_back(&held);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

/// A read that takes its room from the budget for responses as it goes on.
pub(super) struct Metered {
    share: Share,
    refused: Option<Refusal>,
}

impl Metered {
    /// One that has found nothing yet.
    pub(super) fn new(budget: &Budget) -> Self {
        Self { share: budget.share(), refused: None }
    }

    /// Whether what was found may stay.
    pub(super) fn has_room(&mut self, found: Found) -> bool {
        let room = match found.payload_bytes > RESPONSE_BYTES_MAX {
            true => Err(Refusal::ResponseTooLarge),
            false => self.share.grow(found.memory_bytes),
        };
        self.refused = self.refused.or(room.err());
        self.refused.is_none()
    }

    /// What came of the read, and the share that it stands on.
    pub(super) fn finish<T>(self, read: Result<T, ReadError>) -> Result<(T, Share), Refusal> {
        match (read, self.refused) {
            (Ok(found), _) => Ok((found, self.share)),
            (Err(ReadError::NoRoom), Some(refusal)) => Err(refusal),
            (Err(error), _) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn budget(bytes_max: usize) -> Budget {
        Budget::new(bytes_max, Refusal::ResponsesTooMany)
    }

    #[test]
    fn all_shares_together_have_a_bound_and_are_given_back() {
        let budget = budget(4 * MIB);
        let mut shares: Vec<Share> = (0..5).map(|_| budget.share()).collect();
        for share in &mut shares[..4] {
            share.grow(MIB).expect("there is room");
            share.grow(MIB).expect("it has that much");
        }
        assert_eq!(shares[4].grow(UNCOUNTED_BYTES_MAX + 1), Err(Refusal::ResponsesTooMany));
        shares[4].grow(UNCOUNTED_BYTES_MAX).expect("so little always goes");
        shares[0].release();
        drop(shares.remove(1));
        shares.last_mut().expect("three are left").grow(2 * MIB).expect("there is room again");
    }

    /// Grows a share for each connection in turn, by as little as it can, until none of them gets more. Says what each has.
    fn greedy(budget: &Budget, connections: usize) -> Vec<(Share, usize)> {
        let share = || (budget.of(&Arc::default()).share(), UNCOUNTED_BYTES_MAX);
        let mut held: Vec<(Share, usize)> = (0..connections).map(|_| share()).collect();
        loop {
            let mut grown = 0;
            for (share, bytes) in &mut held {
                let more = *bytes + STEP_PAGES * PAGE_BYTES;
                if share.grow(more).is_ok() {
                    (*bytes, grown) = (more, grown + 1);
                }
            }
            if grown == 0 {
                return held;
            }
        }
    }

    #[test]
    fn greedy_connections_leave_room_for_one_that_asks_for_little() {
        for connections in [1, 10, 100] {
            let budget = budget(128 * MIB);
            let held = greedy(&budget, connections);
            let part = 128 * MIB / (connections + PARTS);
            for (_, bytes) in &held {
                assert!(
                    (part - MIB / 4..part + MIB / 4).contains(bytes),
                    "{bytes} of {part}, {connections} connections"
                );
            }
            let other = Arc::default();
            budget.of(&other).share().grow(part / 2).expect("there is room for another");
            assert_eq!(other.load(Ordering::Relaxed), 0, "it gave it back");
        }
    }

    #[test]
    fn greedy_connections_that_come_one_after_the_other_leave_room_too() {
        let budget = budget(128 * MIB);
        let _held: Vec<_> = (0..10).map(|_| greedy(&budget, 1)).collect();
        budget.of(&Arc::default()).share().grow(MIB).expect("there is room for another");
    }

    #[test]
    fn a_connection_has_its_part_by_all_its_shares_together() {
        let (budget, connection) = (budget(6 * MIB), Arc::default());
        let mut shares: Vec<Share> = (0..3).map(|_| budget.of(&connection).share()).collect();
        shares[0].grow(MIB).expect("there is room");
        shares[1].grow(MIB).expect("it has no more than half of what stays free");
        assert_eq!(shares[2].grow(MIB), Err(Refusal::ResponsesTooMany));
        budget.of(&Arc::default()).share().grow(4 * MIB).expect("another one has what is free");
        shares[0].release();
        shares[2].grow(MIB).expect("it gave some back");
    }

    #[test]
    fn a_share_grows_to_the_last_page() {
        let budget = budget(MIB);
        let mut share = budget.share();
        for bytes in (0..=MIB).step_by(PAGE_BYTES) {
            share.grow(bytes).expect("there is room");
        }
        assert_eq!(share.grow(MIB + 1), Err(Refusal::ResponsesTooMany));
        share.grow(MIB).expect("what it has it keeps");
    }

    #[test]
    fn a_read_may_find_what_a_response_may_have_while_there_is_room_and_says_why_it_ends() {
        let found = |payload_bytes, memory_bytes| Found { payload_bytes, memory_bytes };
        let large = budget(1024 * MIB);
        let mut read = Metered::new(&large);
        assert!(read.has_room(found(RESPONSE_BYTES_MAX, 2 * RESPONSE_BYTES_MAX)));
        assert!(!read.has_room(found(RESPONSE_BYTES_MAX + 1, 2 * RESPONSE_BYTES_MAX)));
        assert_eq!(read.finish::<()>(Err(ReadError::NoRoom)).err(), Some(Refusal::ResponseTooLarge));
        let mut read = Metered::new(&budget(MIB));
        assert!(read.has_room(found(MIB / 2, MIB)));
        assert!(!read.has_room(found(MIB / 2, MIB + 1)));
        assert_eq!(read.finish::<()>(Err(ReadError::NoRoom)).err(), Some(Refusal::ResponsesTooMany));
    }
}
