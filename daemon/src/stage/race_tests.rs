//! Uploads and deletions that meet at every point: between any two requests to the store, another member's may come.
//! Whatever the order, every snapshot that has a manifest has all of its chunks.

use crate::bootstrap::ClusterId;
use crate::snapshot::{Manifest, SealedChunk, SnapshotStore};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use objects::{Attributes, Cursor, Error, Listed, ObjectName, ObjectStore, Page, Prefix};
use proptest::prelude::*;
use raft::{Index, LogId, MemberId, Membership, Term};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;
use tonic::async_trait;

const CLUSTER: ClusterId = ClusterId(0xC1);

/// Objects in memory. Every request gives the others a chance first, and then happens at once, as with a real store.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<ObjectName, Bytes>>);

impl Memory {
    async fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<ObjectName, Bytes>) -> T) -> T {
        pause().await;
        work(&mut self.0.lock().expect("tests do not panic here"))
    }
}

/// Is pending once.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[async_trait]
impl ObjectStore for Memory {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        self.with(|objects| drop(objects.insert(name.clone(), bytes))).await;
        Ok(())
    }

    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        let there = self.with(|objects| {
            let there = objects.contains_key(name);
            objects.entry(name.clone()).or_insert(bytes);
            there
        });
        if there.await { Err(Error::Exists { object: name.clone() }) } else { Ok(()) }
    }

    async fn get(&self, name: &ObjectName, _: u64) -> Result<Bytes, Error> {
        let found = self.with(|objects| objects.get(name).cloned()).await;
        found.ok_or_else(|| Error::NotFound { object: name.clone() })
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        let whole = self.get(name, u64::MAX).await?;
        let at = |at: u64| usize::try_from(at).expect("small");
        Ok(whole.slice(at(range.start)..at(range.end)))
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        Ok(attributes(&self.get(name, u64::MAX).await?))
    }

    async fn list(&self, prefix: &Prefix, _: Option<&Cursor>) -> Result<Page, Error> {
        let listed =
            |(name, bytes): (&ObjectName, &Bytes)| Listed { name: name.clone(), attributes: attributes(bytes) };
        let objects =
            self.with(|objects| objects.iter().filter(|(name, _)| prefix.contains(name)).map(listed).collect());
        Ok(Page { objects: objects.await, next: None })
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.with(|objects| drop(objects.remove(name))).await;
        Ok(())
    }
}

fn attributes(bytes: &Bytes) -> Attributes {
    Attributes { bytes: bytes.len() as u64, modified: SystemTime::now() }
}

/// What one member does, one after the other.
#[derive(Clone, Debug)]
enum Work {
    /// Stages a snapshot of these blocks.
    Upload(Vec<u8>),
    /// Deletes the oldest snapshot and what nobody needs then.
    Delete,
}

async fn perform(snapshots: &SnapshotStore, member: u64, work: Vec<Work>) {
    for (at, work) in work.into_iter().enumerate() {
        let index = member * 100 + at as u64 + 1;
        match work {
            Work::Upload(blocks) => upload(snapshots, index, &blocks).await,
            Work::Delete => delete(snapshots).await,
        }
    }
}

/// Gives way if somebody is deleting, as the task does.
async fn upload(snapshots: &SnapshotStore, index: u64, blocks: &[u8]) {
    let Ok(mut upload) = snapshots.upload(CLUSTER).await else { return };
    let mut chunks = Vec::new();
    for block in blocks {
        let sealed = SealedChunk::seal(&[*block; 40]);
        chunks.push(sealed.chunk);
        upload.chunk(sealed).await.expect("the store is well");
    }
    upload.publish(&manifest(index, chunks)).await.expect("the store is well");
    upload.end().await;
}

async fn delete(snapshots: &SnapshotStore) {
    let listed = snapshots.list(Some(CLUSTER)).await.expect("the store is well");
    if let Some(oldest) = listed.first() {
        snapshots.delete(oldest).await.expect("the store is well");
    }
    // A manifest that another member deletes while it is read ends the collection: nothing more is deleted.
    let _collected = snapshots.collect(CLUSTER).await;
}

fn manifest(index: u64, chunks: Vec<crate::snapshot::Chunk>) -> Manifest {
    Manifest {
        cluster: CLUSTER,
        last: LogId { term: Term(1), index: Index(index) },
        revision: 1,
        state_hash: 0,
        created_us: 0,
        daemon_version: "1".into(),
        membership_at: Index(0),
        membership: Membership::bootstrap([(MemberId(1), Bytes::new())]),
        chunks,
    }
}

/// Every manifest's chunks are there; looked at between two requests.
fn check(memory: &Memory) -> Result<(), TestCaseError> {
    let objects = memory.0.lock().expect("tests do not panic here");
    let there: Vec<String> = objects.keys().map(ToString::to_string).collect();
    for (name, bytes) in objects.iter().filter(|(name, _)| name.as_str().starts_with("manifests/")) {
        let (_, manifest) = Manifest::decode(bytes).expect("it was written here");
        for chunk in &manifest.chunks {
            let digest = chunk.digest.to_string();
            prop_assert!(there.iter().any(|name| name.ends_with(&digest)), "{} lacks {}", name, digest);
        }
    }
    Ok(())
}

fn any_work() -> impl Strategy<Value = Vec<Work>> {
    let upload = prop::collection::vec(0..6u8, 1..5).prop_map(Work::Upload);
    prop::collection::vec(prop_oneof![3 => upload, 2 => Just(Work::Delete)], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_snapshot_ever_lacks_a_chunk(
        one in any_work(),
        other in any_work(),
        turns in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let memory = Arc::new(Memory::default());
        let snapshots = SnapshotStore::new(memory.clone(), None);
        runtime.block_on(async {
            let mut members: [Option<LocalBoxFuture<'_, ()>>; 2] =
                [Some(Box::pin(perform(&snapshots, 1, one))), Some(Box::pin(perform(&snapshots, 2, other)))];
            let mut turns = turns.into_iter().chain([false, true].into_iter().cycle());
            while members.iter().any(Option::is_some) {
                let member = &mut members[usize::from(turns.next().expect("endless"))];
                let ended = match member {
                    Some(work) => futures::poll!(work).is_ready(),
                    None => false,
                };
                if ended {
                    *member = None;
                }
                // Chunks travel in tasks of their own.
                tokio::task::yield_now().await;
                check(&memory)?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
