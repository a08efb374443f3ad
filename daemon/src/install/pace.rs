//! A limit of bytes per second, shared by everybody who sends.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What may go out at once after a pause: less than this would make the limit a matter of timer resolution.
const BURST: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// When what was promised so far has gone out.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// No more than so many bytes per second; 0 for no limit.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(None) }
    }

    /// Waits until these bytes may go.
    pub(super) async fn take(&self, bytes: u64) {
        if self.bytes_per_second == 0 {
            return;
        }
        let begin = self.promise(bytes, Instant::now());
        sleep_until(begin).await;
    }

    fn promise(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock().expect("nothing panics while it holds the pace");
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = free_at.unwrap_or(earliest).max(earliest);
        *free_at = Some(begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64));
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_follows_what_was_promised_before() {
        let pace = Pace::new(1000);
        let now = Instant::now();
        let begins = [500, 500, 1000, 1].map(|bytes| pace.promise(bytes, now));
        let expected = [0, 500, 1000, 2000].map(|after| now - BURST + Duration::from_millis(after));
        assert_eq!(begins, expected);
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.promise(1, later), later - BURST, "a pause saves up no more than the burst");
    }
}
