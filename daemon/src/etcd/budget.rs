//! What responses may hold of the member's memory: each its bound, and all that are being built or sent together
//! another.

use super::status::Refusal;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shares are counted in pages of this many bytes.
const PAGE_BYTES: usize = 1024;

/// Responses up to this size are not counted: the number of streams bounds them, and counting would cost more than
/// it saves.
const UNCOUNTED_BYTES_MAX: usize = 64 * 1024;

/// Hands out shares of the memory for responses.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pages: Arc<Semaphore>,
    response_bytes_max: usize,
}

impl Budget {
    pub(super) fn new(response_bytes_max: usize, in_flight_bytes_max: usize) -> Self {
        Self { pages: Arc::new(Semaphore::new(in_flight_bytes_max / PAGE_BYTES)), response_bytes_max }
    }

    /// A share for a response of `bytes`, given back when it is dropped; none is needed for a small one.
    ///
    /// # Errors
    /// [`Refusal::ResponseTooLarge`], or [`Refusal::ResponsesTooMany`] while others hold too much.
    pub(super) fn claim(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if bytes <= UNCOUNTED_BYTES_MAX {
            return Ok(None);
        }
        if bytes > self.response_bytes_max {
            return Err(Refusal::ResponseTooLarge);
        }
        let pages = u32::try_from(bytes.div_ceil(PAGE_BYTES)).expect("a response is far below 4 TiB");
        match Arc::clone(&self.pages).try_acquire_many_owned(pages) {
            Ok(share) => Ok(Some(share)),
            Err(_) => Err(Refusal::ResponsesTooMany),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_response_may_have_the_limit_and_no_more() {
        let budget = Budget::new(MIB, 4 * MIB);
        assert!(budget.claim(MIB).is_ok());
        assert_eq!(budget.claim(MIB + 1).err(), Some(Refusal::ResponseTooLarge));
    }

    #[test]
    fn all_responses_together_have_a_bound_and_give_their_share_back() {
        let budget = Budget::new(MIB, 4 * MIB);
        let held: Vec<_> = (0..4).map(|_| budget.claim(MIB).expect("there is room")).collect();
        assert_eq!(budget.claim(MIB).err(), Some(Refusal::ResponsesTooMany));
        assert!(budget.claim(UNCOUNTED_BYTES_MAX).expect("small ones always go").is_none());
        drop(held);
        assert!(budget.claim(MIB).is_ok());
    }
}
