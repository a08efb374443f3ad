//! An eye on a case that does not come back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Which case is being decoded.
#[derive(Debug, Default)]
pub(super) struct Watch(AtomicU64);

impl Watch {
    /// The next case begins.
    pub(super) fn begin(&self, case: u64) {
        self.0.store(case, Ordering::Relaxed);
    }

    /// Looks once in `within` until the other end of `ended` is gone. A case that is there at two looks in a row is stuck.
    pub(super) fn wait(&self, ended: &Receiver<()>, within: Duration, stuck: impl FnOnce(u64)) {
        let mut before = None;
        while ended.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
            let case = self.0.load(Ordering::Relaxed);
            if before == Some(case) {
                return stuck(case);
            }
            before = Some(case);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_case_that_stays_is_told_and_one_that_ends_is_not() {
        let (watch, (running, ended)) = (Watch::default(), mpsc::channel());
        watch.begin(7);
        let mut told = None;
        watch.wait(&ended, Duration::from_millis(1), |case| told = Some(case));
        assert_eq!(told, Some(7));
        drop(running);
        watch.wait(&ended, Duration::from_secs(3600), |case| panic!("{case} has ended"));
    }
}
