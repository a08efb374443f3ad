//! How many calls may be under way: so many on all connections together, and on one of them no more than a part of what
//! is still free. However few connections take what they can get, and however many, one that asks for little has a place.
//!
//! With `n` greedy connections each has a part `1/p` of what the others leave, so that `1/(1 + n/p)` of all places stay
//! free (Choudhury and Hahne, "Dynamic queue length thresholds", 1998).

use super::status::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One connection may have one of so many parts of the places that are free.
const PARTS: usize = 4;

/// The places of all calls.
#[derive(Debug)]
pub(super) struct Calls {
    places: Arc<Semaphore>,
}

/// The place of one call, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    of_connection: Arc<AtomicUsize>,
}

impl Calls {
    pub(super) fn new(calls_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls_max)) }
    }

    /// A place for a call on the connection that has so many already.
    ///
    /// # Errors
    /// [`Refusal::CallsTooMany`].
    pub(super) fn enter(&self, of_connection: &Arc<AtomicUsize>) -> Result<Place, Refusal> {
        let share = self.places.available_permits() / PARTS;
        if of_connection.load(Ordering::Relaxed) > share {
            return Err(Refusal::CallsTooMany);
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::CallsTooMany)?;
        of_connection.fetch_add(1, Ordering::Relaxed);
        Ok(Place { _permit: permit, of_connection: Arc::clone(of_connection) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of_connection.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what it can get for so many connections in turn.
    fn greedy(calls: &Calls, connections: usize) -> Vec<Vec<Place>> {
        let of: Vec<Arc<AtomicUsize>> = (0..connections).map(|_| Arc::default()).collect();
        let mut held: Vec<Vec<Place>> = (0..connections).map(|_| Vec::new()).collect();
        loop {
            let before: usize = held.iter().map(Vec::len).sum();
            for (places, of) in held.iter_mut().zip(&of) {
                places.extend(calls.enter(of).ok());
            }
            if held.iter().map(Vec::len).sum::<usize>() == before {
                return held;
            }
        }
    }

    #[test]
    fn greedy_connections_leave_places_for_one_that_asks_for_little() {
        for connections in [1, 10, 100] {
            let calls = Calls::new(1000);
            let held = greedy(&calls, connections);
            let total: usize = held.iter().map(Vec::len).sum();
            assert!((190..1000).contains(&total), "{connections} have {total}");
            calls.enter(&Arc::default()).expect("there is a place");
        }
    }

    #[test]
    fn places_have_a_limit_and_are_given_back() {
        let calls = Calls::new(3);
        let of: Vec<Arc<AtomicUsize>> = (0..4).map(|_| Arc::default()).collect();
        let held: Vec<Place> = of[..3].iter().map(|of| calls.enter(of).expect("there is room")).collect();
        assert_eq!(calls.enter(&of[3]).err(), Some(Refusal::CallsTooMany));
        drop(held);
        calls.enter(&of[3]).expect("there is room again");
        assert_eq!(of[0].load(Ordering::Relaxed), 0);
    }
}
