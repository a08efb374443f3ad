//! One snapshot from one source: several lanes that take what is missing, and what makes them stop.
//!
//! * A chunk that is not what its digest says is not kept, and nothing more is asked of its source.
//! * Object storage that is slower than [`Floor`] is left for the members. What it gave stays. Members answer within a
//!   bound for each question.
//! * When the leader's log has gone on past what is being fetched, the rest of it would help nobody.

use super::fetch::{FetchError, Task, Wanted, blocking};
use super::progress::{Phase, Progress};
use super::source::{Holder, Source, SourceError, Way};
use super::spool::Spool;
use crate::snapshot::{ChunkSource, Manifest, SnapshotError};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::info;

/// Connections that fetch at once: enough to keep a link busy while chunks are compared and written.
const LANES: usize = 3;

/// The slowest that object storage may be. Members may be as slow as they are: there is nobody after them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// How long it is watched before it is judged, again and again. A hanging object costs no more than this.
    pub(crate) window: Duration,
    /// A gigabyte would take half an hour.
    pub(crate) bytes_per_second: u64,
}

impl Default for Floor {
    fn default() -> Self {
        Self { window: Duration::from_secs(20), bytes_per_second: 512 << 10 }
    }
}

impl Floor {
    /// How long to watch, and the least that must arrive in it, when no more than `limit` bytes may arrive in a second
    /// and the largest chunk has so many: what this member itself holds up is not the store's fault.
    fn under(self, limit: Option<u64>, largest: u64) -> (Duration, u64) {
        let least = |rate: u64| (self.window.as_secs_f64() * rate as f64) as u64;
        let Some(limit) = limit else { return (self.window, least(self.bytes_per_second)) };
        // A lane may wait for all others before its own chunk begins.
        let waiting = Duration::from_secs_f64((2 * LANES as u64 * largest) as f64 / limit as f64);
        (self.window + waiting, least(self.bytes_per_second.min(limit / 2)))
    }
}

/// See the module.
pub(super) struct Fetching<'a> {
    progress: &'a Progress,
    wanted: watch::Receiver<Option<Wanted>>,
    floor: Floor,
    way: &'a Way,
    spool: &'a Arc<Spool>,
    source: &'a Source,
    holder: &'a Holder,
    manifest: &'a Manifest,
    missing: Mutex<VecDeque<u32>>,
    arrived: AtomicU64,
    began: Instant,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(
        task: &'a Task,
        way: &'a Way,
        spool: &'a Arc<Spool>,
        (source, holder): (&'a Source, &'a Holder),
        manifest: &'a Manifest,
    ) -> Self {
        Self {
            progress: &task.ground.progress,
            wanted: task.wanted.clone(),
            floor: task.ground.floor,
            way,
            spool,
            source,
            holder,
            manifest,
            missing: Mutex::new(missing(spool, manifest)),
            arrived: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Fetches all that is missing.
    pub(super) async fn run(&self) -> Result<(), FetchError> {
        self.begin();
        tokio::select! {
            all = futures::future::try_join_all((0..LANES).map(|_| self.lane())) => all.map(drop),
            slow = self.too_slow() => Err(slow),
            overtaken = self.overtaken() => Err(overtaken),
        }
    }

    fn begin(&self) {
        let missing: u64 = self.missing().iter().map(|number| self.bytes(*number)).sum();
        let total = self.manifest.stored_bytes();
        let resumed = u64::from(missing < total);
        self.progress.count(|totals| totals.resumed += resumed);
        self.progress.update(|view| {
            (view.phase, view.index) = (Phase::Fetching, self.manifest.last.index.0);
            (view.have_bytes, view.total_bytes) = (total - missing, total);
            view.resumed += resumed;
        });
        info!(source = %self.source, last = %self.manifest.last, total, missing, "fetching a snapshot");
    }

    /// Fetches blocks until none is missing.
    async fn lane(&self) -> Result<(), FetchError> {
        let id = self.manifest.id().to_string();
        let mut lane = None;
        while let Some(number) = self.next() {
            let bytes = match self.holder {
                Holder::Objects(chunks) => {
                    let got = chunks.chunk(&self.manifest.chunks[number as usize]).await;
                    got.map_err(|error| self.refused(error))?
                }
                Holder::Member(member) => {
                    let lane = match &mut lane {
                        Some(lane) => lane,
                        None => lane.insert(self.way.open(*member).await.map_err(|error| self.failed(error))?),
                    };
                    lane.chunk(&id, number).await.map_err(|error| self.failed(error))?
                }
            };
            self.keep(number, bytes).await?;
        }
        Ok(())
    }

    /// Ends when the leader's log has gone on past this snapshot.
    async fn overtaken(&self) -> FetchError {
        let mut wanted = self.wanted.clone();
        let beyond = |wanted: &Option<Wanted>| wanted.as_ref().is_some_and(|it| it.at_least > self.manifest.last.index);
        let now = wanted.wait_for(beyond).await.ok().and_then(|wanted| wanted.as_ref().map(|wanted| wanted.at_least));
        match now {
            Some(at_least) => FetchError::Overtaken(at_least),
            // The loop has ended, and the task ends with it.
            None => std::future::pending().await,
        }
    }

    /// Ends when object storage has been too slow.
    async fn too_slow(&self) -> FetchError {
        let Source::Objects(stored) = self.source else { return std::future::pending().await };
        let largest = self.manifest.chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).max().unwrap_or(0);
        let (window, least) = self.floor.under(stored.bytes_per_second(), largest);
        let mut before = 0;
        loop {
            sleep(window).await;
            let arrived = self.arrived.load(Ordering::Relaxed);
            if arrived - before < least {
                return self.failed(SourceError::Slow { arrived: arrived - before, within: window });
            }
            before = arrived;
        }
    }

    async fn keep(&self, number: u32, bytes: Bytes) -> Result<(), FetchError> {
        let chunk = self.manifest.chunks[number as usize];
        let arrived = bytes.len() as u64;
        self.arrived.fetch_add(arrived, Ordering::Relaxed);
        self.progress.count(|totals| totals.fetched_bytes.add(self.source.kind(), arrived));
        let spool = Arc::clone(self.spool);
        if !blocking(move || spool.keep(&chunk, &bytes)).await? {
            self.progress.count(|totals| totals.damaged += 1);
            return Err(FetchError::Damaged(format!("chunk {} from {}", chunk.digest, self.source)));
        }
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        self.progress.update(|view| {
            view.have_bytes += u64::from(chunk.stored_bytes);
            view.fetched_bytes += arrived;
            view.bytes_per_second = (view.fetched_bytes as f64 / seconds) as u64;
        });
        Ok(())
    }

    /// What is encrypted, or too long, is found to be damaged before its digest is looked at.
    fn refused(&self, error: SnapshotError) -> FetchError {
        if error.is_damage() {
            self.progress.count(|totals| totals.damaged += 1);
        }
        self.failed(error.into())
    }

    fn failed(&self, error: SourceError) -> FetchError {
        FetchError::Source { name: self.source.to_string(), error }
    }

    fn next(&self) -> Option<u32> {
        self.missing().pop_front()
    }

    fn missing(&self) -> MutexGuard<'_, VecDeque<u32>> {
        self.missing.lock().expect("nothing panics while it holds the list")
    }

    fn bytes(&self, number: u32) -> u64 {
        u64::from(self.manifest.chunks[number as usize].stored_bytes)
    }
}

/// The chunks that are not here, each once.
fn missing(spool: &Spool, manifest: &Manifest) -> VecDeque<u32> {
    let mut seen = BTreeSet::new();
    let chunks = (0..).zip(&manifest.chunks);
    chunks.filter(|(_, chunk)| !spool.has(chunk) && seen.insert(chunk.digest)).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_judged_by_what_it_may_give() {
        let floor = Floor { window: Duration::from_secs(10), bytes_per_second: 1_000 };
        assert_eq!(floor.under(None, 1 << 20), (Duration::from_secs(10), 10_000));
        assert_eq!(floor.under(Some(1 << 30), 0), (Duration::from_secs(10), 10_000));
        let (window, least) = floor.under(Some(100), 1_000);
        assert_eq!((window, least), (Duration::from_secs(70), 500), "six chunks take a minute by themselves");
    }
}
