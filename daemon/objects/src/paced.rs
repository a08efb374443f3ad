//! A limit of bytes per second around a store, shared by all who transfer through it.

use crate::{Attributes, Cursor, Error, ObjectName, ObjectStore, Page, Prefix};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How far ahead of its rate a transfer may run after a rest: without it a limiter that slept would burst for as long.
const BURST: Duration = Duration::from_millis(100);

/// So many bytes per second, on average over a few objects. Each transfer waits for its turn and then runs at full
/// speed, so what is bounded is the average, not the height of one object's peak.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    /// When all that was granted so far has been paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    /// At most `bytes_per_second`; 0 for no limit.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, paid: Mutex::new(None) }
    }

    /// Waits until `bytes` may go.
    pub async fn take(&self, bytes: u64) {
        if self.bytes_per_second > 0 {
            sleep_until(self.grant(bytes, Instant::now())).await;
        }
    }

    /// When these bytes may go: after all earlier ones at the rate.
    fn grant(&self, bytes: u64, now: Instant) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let start = paid.map_or(now, |paid| paid.max(now.checked_sub(BURST).unwrap_or(now)));
        *paid = Some(start + cost);
        start
    }
}

/// A store whose bodies, up and down, share one [`Throttle`].
#[derive(Clone, Debug)]
pub struct Paced {
    inner: Arc<dyn ObjectStore>,
    throttle: Arc<Throttle>,
}

impl Paced {
    /// Puts the limit around `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, throttle: Arc<Throttle>) -> Self {
        Self { inner, throttle }
    }
}

#[async_trait]
impl ObjectStore for Paced {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        self.throttle.take(bytes.len() as u64).await;
        self.inner.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        self.throttle.take(bytes.len() as u64).await;
        self.inner.put_if_absent(name, bytes).await
    }

    /// The length is not known before, so what was read is paid for by the next.
    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error> {
        self.throttle.take(0).await;
        let bytes = self.inner.get(name, bytes_max).await?;
        if self.throttle.bytes_per_second > 0 {
            self.throttle.grant(bytes.len() as u64, Instant::now());
        }
        Ok(bytes)
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        self.throttle.take(range.end.saturating_sub(range.start)).await;
        self.inner.get_range(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        self.inner.head(name).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error> {
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.inner.delete(name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When transfers that all ask at once may go, in milliseconds from now.
    fn granted(throttle: &Throttle, now: Instant, transfers: usize) -> Vec<u128> {
        (0..transfers).map(|_| throttle.grant(500, now).saturating_duration_since(now).as_millis()).collect()
    }

    #[test]
    fn bytes_leave_at_the_rate() {
        assert_eq!(granted(&Throttle::new(1_000), Instant::now(), 4), [0, 500, 1_000, 1_500]);
    }

    #[test]
    fn a_rest_is_not_saved_up() {
        let (throttle, now) = (Throttle::new(1_000), Instant::now());
        granted(&throttle, now, 1);
        assert_eq!(granted(&throttle, now + Duration::from_secs(60), 4), [0, 400, 900, 1_400]);
    }

    #[tokio::test]
    async fn no_limit_is_no_wait() {
        Throttle::new(0).take(u64::MAX).await;
    }
}
