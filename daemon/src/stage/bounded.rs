//! The object store as the settings allow it to be used: so many requests at once, so many bytes per second.

use crate::config::settings::Backups;
use crate::snapshot::SnapshotStore;
use bytes::Bytes;
use objects::{Attributes, Cursor, Error, ObjectName, ObjectStore, Paced, Page, Prefix, Throttle};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::async_trait;

/// Opens the store of the settings within their bounds, and with their keys.
pub(super) async fn open(settings: &Backups) -> Result<SnapshotStore, Error> {
    let store = objects::open(&settings.store).await?;
    let at_once = Gated { inner: store, places: Semaphore::new(settings.parallelism) };
    let paced = Paced::new(Arc::new(at_once), Arc::new(Throttle::new(settings.bytes_per_second)));
    Ok(SnapshotStore::new(Arc::new(paced), settings.keys.clone()))
}

/// A store that is asked so many things at once, and no more.
#[derive(Debug)]
struct Gated {
    inner: Arc<dyn ObjectStore>,
    places: Semaphore,
}

impl Gated {
    async fn place(&self) -> SemaphorePermit<'_> {
        self.places.acquire().await.expect("the semaphore is never closed")
    }
}

#[async_trait]
impl ObjectStore for Gated {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        let _place = self.place().await;
        self.inner.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        let _place = self.place().await;
        self.inner.put_if_absent(name, bytes).await
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error> {
        let _place = self.place().await;
        self.inner.get(name, bytes_max).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        let _place = self.place().await;
        self.inner.get_range(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        let _place = self.place().await;
        self.inner.head(name).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error> {
        let _place = self.place().await;
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let _place = self.place().await;
        self.inner.delete(name).await
    }
}
