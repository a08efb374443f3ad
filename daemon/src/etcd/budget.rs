//! What requests and responses may hold of the member's memory, all of a kind together.

use super::limits::RESPONSE_BYTES_MAX;
use super::status::Refusal;
use mvcc::{Found, ReadError};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shares are counted in pages of this many bytes.
const PAGE_BYTES: usize = 1024;

/// Shares grow by so many pages at least, so that one that grows with every key is not counted with every key.
const STEP_PAGES: usize = 64;

/// So much is not counted: the number of calls bounds it, and counting would cost more than it saves.
pub(super) const UNCOUNTED_BYTES_MAX: usize = 16 * 1024;

/// Hands out shares of the memory for one kind of thing.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pages: Arc<Semaphore>,
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
        Self { pages: Arc::new(Semaphore::new(bytes_max / PAGE_BYTES)), refusal }
    }

    /// An empty share.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), held: None }
    }
}

impl Share {
    /// Makes the share as large as `bytes` at least. Where there is no room it stays as it is.
    ///
    /// # Errors
    /// The budget's refusal, while others hold too much.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= UNCOUNTED_BYTES_MAX {
            return Ok(());
        }
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacking = bytes.div_ceil(PAGE_BYTES).saturating_sub(held);
        if lacking == 0 {
            return Ok(());
        }
        let take = |pages: usize| {
            let pages = u32::try_from(pages).ok()?;
            Arc::clone(&self.budget.pages).try_acquire_many_owned(pages).ok()
        };
        let more = take(lacking.max(STEP_PAGES)).or_else(|| take(lacking)).ok_or(self.budget.refusal)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held => *held = Some(more),
        }
        Ok(())
    }

    /// Gives it back.
    pub(super) fn release(&mut self) {
        self.held = None;
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
