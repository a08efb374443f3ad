//! Patience around a store: what may pass is tried again, after a pause that grows and is drawn at random.

use crate::{Attributes, Cursor, Error, ObjectName, ObjectStore, Page, Prefix};
use async_trait::async_trait;
use bytes::Bytes;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

/// How long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Calls in all, at least one.
    pub attempts: u32,
    /// The upper bound of the first pause; each further bound is twice the one before.
    pub pause_first: Duration,
    /// The upper bound of every pause, also of one that the store asks for.
    pub pause_max: Duration,
}

impl Default for Patience {
    /// Rides over a SlowDown, a moved front end and a lost connection, and gives up on an outage after a few seconds:
    /// outages are waited for by whoever knows what the work is worth.
    fn default() -> Self {
        Self { attempts: 4, pause_first: Duration::from_millis(200), pause_max: Duration::from_secs(5) }
    }
}

impl Patience {
    /// The pause after `failed` attempts: what the store asks for, else between half of the bound and the bound, so
    /// that many clients do not come back at once.
    fn pause(&self, failed: u32, asked: Option<Duration>) -> Duration {
        let bound = self.pause_first.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(self.pause_max);
        asked.unwrap_or(bound / 2).min(self.pause_max) + bound.mul_f64(chance() / 2.0)
    }
}

/// A number from 0 up to 1. Without the system's randomness pauses are only less spread.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// A store that tries again what may pass.
#[derive(Debug)]
pub struct Retrying<S> {
    inner: S,
    patience: Patience,
}

impl<S: ObjectStore> Retrying<S> {
    /// Puts `patience` around `inner`.
    pub fn new(inner: S, patience: Patience) -> Self {
        Self { inner, patience }
    }

    /// Calls until it succeeds, fails for good, or patience ends; also says whether an earlier attempt failed without
    /// anybody knowing whether it took place.
    async fn attempt<T, F: Future<Output = Result<T, Error>>>(&self, call: impl Fn() -> F) -> (Result<T, Error>, bool) {
        let mut failed = 0;
        loop {
            match call().await {
                Err(Error::Unavailable { pause, .. }) if failed + 1 < self.patience.attempts => {
                    failed += 1;
                    tokio::time::sleep(self.patience.pause(failed, pause)).await;
                }
                other => return (other, failed > 0),
            }
        }
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Retrying<S> {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        self.attempt(|| self.inner.put(name, bytes.clone())).await.0
    }

    /// An attempt whose answer was lost may have written the object that the next attempt then finds. What is there
    /// tells: if it is ours to the last byte, we were first, or somebody said the same.
    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        match self.attempt(|| self.inner.put_if_absent(name, bytes.clone())).await {
            (Err(Error::Exists { object }), true) => match self.get(name, bytes.len() as u64).await {
                Ok(found) if found == bytes => Ok(()),
                Ok(_) | Err(Error::Corrupt { .. }) => Err(Error::Exists { object }),
                Err(error) => Err(error),
            },
            (answer, _) => answer,
        }
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error> {
        self.attempt(|| self.inner.get(name, bytes_max)).await.0
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        self.attempt(|| self.inner.get_range(name, range.clone())).await.0
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        self.attempt(|| self.inner.head(name)).await.0
    }

    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error> {
        self.attempt(|| self.inner.list(prefix, after)).await.0
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.attempt(|| self.inner.delete(name)).await.0
    }
}
