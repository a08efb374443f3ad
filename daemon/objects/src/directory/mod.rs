//! Objects as files below one directory: the default that needs nothing installed.
//!
//! ```text
//!   ROOT/chunks/ab/0123      an object: whole, and durable before the put returns
//!   ROOT/.partial/RANDOM     one being written; no object's name begins with a dot
//! ```
//!
//! * An object appears by rename, or by link if it must not exist yet, after its bytes were synced; then its folder is.
//! * Several processes may share the directory. What a crash left in `.partial` is removed a day later.

mod file;
mod walk;

use crate::{Attributes, Cursor, Error, ObjectName, ObjectStore, Page, Prefix};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Threads that may be inside the file system at once. A mount that hangs holds these and no more.
const CALLS_MAX: usize = 8;

/// The longest a call may take, waiting for a thread included: a local disk needs milliseconds, and a network file
/// system that needs longer is away.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Objects as files.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    calls: Arc<Semaphore>,
}

impl Directory {
    /// Opens the store, making the directory if it is not there.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn open(root: &Path) -> Result<Self, Error> {
        let store = Self { root: root.to_owned(), calls: Arc::new(Semaphore::new(CALLS_MAX)) };
        store.call("opening the store".to_owned(), file::prepare).await?;
        Ok(store)
    }

    /// Runs `work` on a thread that may block.
    async fn call<T, F>(&self, doing: String, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> Result<T, file::Fault> + Send + 'static,
    {
        let (root, calls) = (self.root.clone(), Arc::clone(&self.calls));
        let outcome = timeout(CALL_MAX, async {
            let permit = calls.acquire_owned().await.expect("the semaphore is never closed");
            // The permit goes along: a call that was given up still holds its thread.
            spawn_blocking(move || {
                let outcome = work(&root);
                drop(permit);
                outcome
            })
            .await
        });
        match outcome.await {
            Ok(Ok(outcome)) => outcome.map_err(|fault| fault.named(doing)),
            Ok(Err(panicked)) => Err(Error::Protocol { doing, problem: panicked.to_string() }),
            Err(_) => {
                let problem = format!("the file system did not answer within {} s", CALL_MAX.as_secs());
                Err(Error::Unavailable { doing, problem, pause: None })
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Directory {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        let object = name.clone();
        self.call(format!("writing {name}"), move |root| file::put(root, &object, &bytes, file::Existing::Replaced))
            .await
    }

    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        let object = name.clone();
        self.call(format!("writing {name}"), move |root| file::put(root, &object, &bytes, file::Existing::Refused))
            .await
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error> {
        let object = name.clone();
        self.call(format!("reading {name}"), move |root| file::get(root, &object, bytes_max)).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        let object = name.clone();
        self.call(format!("reading {name}"), move |root| file::get_range(root, &object, &range)).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        let object = name.clone();
        self.call(format!("looking for {name}"), move |root| file::head(root, &object)).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error> {
        let (prefix, after) = (prefix.clone(), after.cloned());
        self.call("listing".to_owned(), move |root| walk::page(root, &prefix, after.as_ref())).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let object = name.clone();
        self.call(format!("deleting {name}"), move |root| file::delete(root, &object)).await
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
