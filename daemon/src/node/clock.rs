//! The present moment, in the form the engine takes it.

use raft::{Now, Time};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of one run of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.mono(), wall_us: micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()) }
    }

    pub(crate) fn mono(&self) -> Time {
        Time(micros(self.start.elapsed()))
    }

    /// The moment as the runtime's timers take it.
    pub(crate) fn instant(&self, at: Time) -> tokio::time::Instant {
        // A deadline that never comes is far beyond what an instant can name.
        let wait = Duration::from_micros(at.0).min(FAR);
        (self.start + wait).into()
    }
}

/// Longer than any process runs, and still within what instants can name.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
