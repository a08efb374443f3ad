//! How long a request may take.

use super::answer::Doing;
use crate::Error;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// Room for this many bytes is always enough, so that a generous limit on a small object does not wait for hours.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a request may take: a fixed part, and one that grows with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Making a connection, TLS included.
    pub connect: Duration,
    /// A request without its body, fetching credentials included.
    pub answer: Duration,
    /// The slowest transfer that is still worth waiting for. Slower ones count as hanging.
    pub bytes_per_second_min: u64,
}

impl Default for Limits {
    /// A live endpoint connects in milliseconds, so a dead address is left soon; a busy store may need seconds to
    /// answer; and what moves slower than 128 KiB/s would take a minute for one chunk.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(20), bytes_per_second_min: 128 * 1024 }
    }
}

impl Limits {
    /// How long a request with a body of up to `bytes` may take.
    fn time_for(&self, bytes: u64) -> Duration {
        self.answer + Duration::from_secs(bytes.min(BYTES_MAX) / self.bytes_per_second_min.max(1))
    }

    /// Runs a request until it ends or its time is up.
    pub(super) async fn in_time<T, E: From<Error>>(
        &self,
        doing: &Doing,
        bytes: u64,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let limit = self.time_for(bytes);
        // Boxed: the SDK's futures are tens of kilobytes.
        match timeout(limit, Box::pin(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(doing.unavailable(format!("no answer within {limit:?}")).into()),
        }
    }
}
