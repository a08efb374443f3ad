//! Whether a client takes what it is sent. Whoever asks and does not read the answers makes a member hold them: after a
//! while the connection ends, and with it all that is held for it.
//!
//! Each answer waits in the turn in which the client last took something of it. Turns are half of what a client may take;
//! an answer that still waits in the turn before the last has waited for one at least and for two at the most. So a
//! connection needs one timer, however many answers it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Turns in which an answer can wait: this one, the last, and the one before, in which none may.
const TURNS: usize = 3;

/// The answers that one connection has not taken.
#[derive(Debug, Default)]
pub struct Pace {
    turn: AtomicUsize,
    waiting: [AtomicUsize; TURNS],
}

/// An answer that its client has not taken yet.
#[derive(Debug)]
pub struct Waiting {
    pace: Arc<Pace>,
    turn: usize,
}

impl Pace {
    /// An answer is ready to be taken.
    #[must_use]
    pub fn wait(self: &Arc<Self>) -> Waiting {
        let turn = self.turn.load(Ordering::Relaxed);
        self.waiting[turn % TURNS].fetch_add(1, Ordering::Relaxed);
        Waiting { pace: Arc::clone(self), turn }
    }

    /// The next turn begins, unless an answer waits since before the last one; whether that is so.
    fn is_stalled(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        // The turn before this one ends; two after it takes its place.
        let stalled = self.waiting[(turn + TURNS - 1) % TURNS].load(Ordering::Relaxed) > 0;
        if !stalled {
            self.turn.store(turn + 1, Ordering::Relaxed);
        }
        stalled
    }

    /// Returns once an answer has waited for `stall_max`, or for half of it at the least.
    pub(crate) async fn stalled(&self, stall_max: Duration) {
        loop {
            tokio::time::sleep(stall_max / 2).await;
            if self.is_stalled() {
                return;
            }
        }
    }
}

impl Waiting {
    /// The client has taken something.
    pub fn goes_on(&mut self) {
        let turn = self.pace.turn.load(Ordering::Relaxed);
        if turn != self.turn {
            self.pace.waiting[turn % TURNS].fetch_add(1, Ordering::Relaxed);
            self.pace.waiting[self.turn % TURNS].fetch_sub(1, Ordering::Relaxed);
            self.turn = turn;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pace.waiting[self.turn % TURNS].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_wait_for_one_whole_turn_and_not_for_two() {
        let pace = Arc::new(Pace::default());
        let waiting = pace.wait();
        assert!(!pace.is_stalled(), "it came in this turn");
        assert!(pace.is_stalled(), "it came in the turn before the last");
        assert!(pace.is_stalled(), "it is not forgotten");
        drop(waiting);
        assert!(!pace.is_stalled());
    }

    #[test]
    fn an_answer_that_is_taken_slowly_is_no_stall() {
        let pace = Arc::new(Pace::default());
        let mut waiting = pace.wait();
        for _ in 0..10 {
            assert!(!pace.is_stalled());
            waiting.goes_on();
        }
    }

    #[test]
    fn one_that_goes_on_does_not_hide_one_that_stalls() {
        let pace = Arc::new(Pace::default());
        let (stalls, mut goes_on) = (pace.wait(), pace.wait());
        assert!(!pace.is_stalled());
        goes_on.goes_on();
        assert!(pace.is_stalled());
        drop(stalls);
        assert!(!pace.is_stalled());
    }

    #[tokio::test]
    async fn a_stall_is_noticed_after_half_its_time_at_the_least() {
        const STALL_MAX: Duration = Duration::from_millis(100);
        let pace = Arc::new(Pace::default());
        let begun = std::time::Instant::now();
        let _waiting = pace.wait();
        pace.stalled(STALL_MAX).await;
        assert!(begun.elapsed() >= STALL_MAX / 2);
    }
}
