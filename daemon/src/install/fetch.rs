//! The taking side: one task that fetches what the engine asked for, makes a state file of it, and hands it to the
//! node loop.
//!
//! * It begins with what the spool has, whatever left it there. A snapshot that is whole there needs no source at all.
//! * A source that fails is left for the next one; when all have failed the task waits, longer each time, and begins
//!   with the first again. A snapshot that arrived whole and made no state is not fetched a second time.
//! * It stops as soon as the log has brought this member further than the snapshot would: then nobody needs it.
//! * What is on its way at once is bounded, as `fetching` says.

use super::fetching::{Fetching, Floor};
use super::progress::{Phase, Progress};
use super::source::{Source, SourceError, Way};
use super::spool::Spool;
use super::switch::{Switch, create_next, drop_next, finish_switch};
use crate::bootstrap::NodeInfo;
use crate::disk::Disk;
use crate::node::Handle;
use crate::snapshot::{Chunk, Manifest, Restoring, SnapshotError, SnapshotId};
use crate::stage::Stored;
use crate::transport::Local;
use bytes::Bytes;
use mvcc::{Backend, Fault, Rebirth, Store};
use raft::{Index, MemberId};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{interval, sleep};
use tracing::{info, warn};

/// The first wait after every source has failed; doubled by each further time.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest: a source that comes back is asked within this.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often the leader hears how far this member has come.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The loop's side: says what is wanted. The task ends with it.
pub(crate) struct Fetcher {
    wanted: watch::Sender<Option<Wanted>>,
    _task: AbortOnDrop,
}

/// What the engine needs, and whom there is to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) at_least: Index,
    members: Arc<BTreeMap<MemberId, NodeInfo>>,
}

/// A snapshot that is ready to be switched to, and who is to hear what became of it. If nothing is said the member
/// stops: then its next start looks after the files.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) switch: Switch,
    pub(crate) done: oneshot::Sender<Installed>,
}

/// What became of a snapshot that was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// State and log are switched.
    Yes,
    /// The log had brought this member further by then.
    NotNeeded,
}

/// What the task stands on.
pub(crate) struct Ground {
    /// The data directory.
    pub(crate) disk: Arc<dyn Disk>,
    /// The directory for what is fetched.
    pub(crate) spool: Arc<dyn Disk>,
    pub(crate) node: Handle,
    pub(crate) local: Arc<Local>,
    /// Object storage, if there is a place for it.
    pub(crate) stored: Option<Arc<Stored>>,
    /// How slow it may be.
    pub(crate) floor: Floor,
    pub(crate) progress: Arc<Progress>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no source has a snapshot at or after entry {0}")]
    NoSource(Index),
    #[error("{name}: {error}")]
    Source { name: String, error: SourceError },
    #[error("{0} is not what its digest says")]
    Damaged(String),
    #[error("the leader's log begins after entry {0} by now")]
    Overtaken(Index),
    #[error("the disk: {0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    #[error("the store: {0}")]
    Store(#[from] Fault),
    #[error("the snapshot says entry {said}, its state stands at {found}")]
    Elsewhere { said: Index, found: Index },
}

impl FetchError {
    /// Whether it is the snapshot that is wrong. A disk of this member's that fails says nothing about what is on it.
    fn condemns(&self) -> bool {
        match self {
            Self::Snapshot(error) => error.is_damage(),
            Self::Elsewhere { .. } => true,
            _ => false,
        }
    }
}

impl Fetcher {
    /// Starts the task. `ready` takes what it has made, without waiting.
    pub(crate) fn start(ground: Ground, ready: impl Fn(Ready) + Send + Sync + 'static) -> Self {
        let (wanted, watched) = watch::channel(None);
        let task = Task { ground, wanted: watched, ready: Box::new(ready), useless: Mutex::default() };
        Self { wanted, _task: AbortOnDrop(tokio::spawn(task.run())) }
    }

    /// The engine needs a snapshot that covers at least this entry; these members may have one.
    pub(crate) fn want(&self, at_least: Index, members: &BTreeMap<MemberId, NodeInfo>) {
        self.wanted.send_if_modified(|wanted| {
            let known = wanted.as_ref().is_some_and(|known| known.at_least == at_least && *known.members == *members);
            if !known {
                *wanted = Some(Wanted { at_least, members: Arc::new(members.clone()) });
            }
            !known
        });
    }
}

pub(super) struct Task {
    pub(super) ground: Ground,
    pub(super) wanted: watch::Receiver<Option<Wanted>>,
    ready: Box<dyn Fn(Ready) + Send + Sync>,
    /// The last one that arrived whole and made no state.
    useless: Mutex<Option<SnapshotId>>,
}

impl Task {
    async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let Some(wanted) = wanted.filter(|wanted| !self.is_done(wanted.at_least)) else {
                self.ground.progress.clear();
                failures = 0;
                if self.wanted.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.attempt(wanted).await {
                Ok(()) => failures = 0,
                Err(error @ FetchError::Overtaken(_)) => info!(%error, "fetching a newer snapshot"),
                Err(error) => {
                    self.ground.progress.count(|totals| totals.failures += 1);
                    warn!(%error, failures, "could not install a snapshot, will try again");
                    sleep(backoff(failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// The log, or an install, has brought this member there.
    fn is_done(&self, at_least: Index) -> bool {
        self.ground.node.status().commit >= at_least
    }

    async fn attempt(&self, Wanted { at_least, members }: Wanted) -> Result<(), FetchError> {
        let way = Way { node: self.ground.node.clone(), local: Arc::clone(&self.ground.local), members };
        let telling = tokio::spawn(tell(way.clone(), Arc::clone(&self.ground.progress)));
        let _telling = AbortOnDrop(telling);
        let disk = Arc::clone(&self.ground.disk);
        // An intent that was carried out, and could not be removed then, must not meet another's file.
        blocking(move || finish_switch(&*disk)).await?;
        let spool = Arc::clone(&self.ground.spool);
        let spool = Arc::new(blocking(move || Spool::open(spool)).await?);
        let manifest = self.fetch(&way, &spool, at_least).await?;
        self.ground.progress.update(|view| view.phase = Phase::Restoring);
        let disk = Arc::clone(&self.ground.disk);
        let made = {
            let (disk, spool, manifest) = (Arc::clone(&disk), Arc::clone(&spool), manifest.clone());
            tokio::task::spawn_blocking(move || restore(&*disk, &spool, &manifest)).await
        };
        let switch = match made.map_err(io::Error::other)? {
            Err(error) if error.condemns() => {
                // To begin with it again would end the same way.
                *self.useless() = Some(manifest.id());
                blocking(move || spool.clear()).await?;
                return Err(error);
            }
            Err(error) => {
                // What it took of a disk that is full, perhaps, others wait for.
                blocking(move || drop_next(&*disk)).await?;
                return Err(error);
            }
            Ok(switch) => switch,
        };
        self.ground.progress.update(|view| view.phase = Phase::Switching);
        let (done, hear) = oneshot::channel();
        (self.ready)(Ready { switch, done });
        let Ok(installed) = hear.await else { return std::future::pending().await };
        let disk = Arc::clone(&self.ground.disk);
        match installed {
            Installed::Yes => {
                blocking(move || finish_switch(&*disk).and_then(|()| spool.clear())).await?;
                self.ground.progress.count(|totals| totals.installed += 1);
                info!(last = %manifest.last, "installed a snapshot");
            }
            Installed::NotNeeded => {
                blocking(move || drop_next(&*disk)).await?;
                info!(last = %manifest.last, "a snapshot was fetched that is not needed any more");
            }
        }
        self.ground.progress.clear();
        Ok(())
    }

    /// Fills the spool, from the first source that has what is needed.
    async fn fetch(&self, way: &Way, spool: &Arc<Spool>, at_least: Index) -> Result<Manifest, FetchError> {
        if let Some(whole) = spool.manifest().filter(|known| known.last.index >= at_least && is_whole(spool, known)) {
            return Ok(whole);
        }
        let mut error = FetchError::NoSource(at_least);
        for source in way.sources(self.ground.stored.as_ref()) {
            match self.fetch_from(way, spool, &source, at_least).await {
                Ok(manifest) => return Ok(manifest),
                // Without a disk no source helps; and what is asked of the next one must be what is needed now.
                Err(failed @ (FetchError::Disk(_) | FetchError::Overtaken(_))) => return Err(failed),
                Err(FetchError::Source { error: SourceError::Nothing, .. }) => {
                    info!(%source, %at_least, "no snapshot there that the leader's log goes on from, trying the next");
                }
                Err(failed) => {
                    self.ground.progress.count(|totals| totals.source_failures.add(source.kind(), 1));
                    warn!(%source, error = %failed, "a source of a snapshot failed, trying the next");
                    error = failed;
                }
            }
        }
        Err(error)
    }

    async fn fetch_from(
        &self,
        way: &Way,
        spool: &Arc<Spool>,
        source: &Source,
        at_least: Index,
    ) -> Result<Manifest, FetchError> {
        let failed = |error| FetchError::Source { name: source.to_string(), error };
        self.ground.progress.update(|view| (view.phase, view.source) = (Phase::Locating, source.to_string()));
        let (manifest, holder) = way.describe(source, at_least).await.map_err(failed)?;
        if manifest.cluster != self.ground.node.identity().cluster {
            return Err(failed(SourceError::Nonsense));
        }
        if manifest.last.index < at_least {
            return Err(failed(SourceError::Nothing));
        }
        if Some(manifest.id()) == *self.useless() {
            return Err(failed(SourceError::Useless));
        }
        let began = {
            let (spool, manifest) = (Arc::clone(spool), manifest.clone());
            blocking(move || spool.begin(&manifest)).await
        };
        began?;
        Fetching::new(self, way, spool, (source, &holder), &manifest).run().await?;
        Ok(manifest)
    }

    fn useless(&self) -> MutexGuard<'_, Option<SnapshotId>> {
        self.useless.lock().expect("nothing panics while it holds the id")
    }
}

fn is_whole(spool: &Spool, manifest: &Manifest) -> bool {
    manifest.chunks.iter().all(|chunk| spool.has(chunk))
}

/// Makes the next state file of what is in the spool. Blocks.
fn restore(disk: &dyn Disk, spool: &Spool, manifest: &Manifest) -> Result<Switch, FetchError> {
    make_switch(Arc::new(create_next(disk)?), manifest, |chunk| {
        let stored = spool.read(chunk)?;
        stored.ok_or_else(|| FetchError::Damaged(format!("chunk {} on this disk", chunk.digest)))
    })
}

/// Fills the next state, which is empty, with the chunks of a snapshot, and has it ready to be switched to.
pub(super) fn make_switch(
    backend: Arc<dyn Backend>,
    manifest: &Manifest,
    mut stored: impl FnMut(&Chunk) -> Result<Bytes, FetchError>,
) -> Result<Switch, FetchError> {
    let mut restoring = Restoring::new(manifest, &*backend);
    for chunk in &manifest.chunks {
        restoring.chunk(&chunk.digest.to_string(), &stored(chunk)?)?;
    }
    restoring.finish(Rebirth::Same)?;
    let replacement = Store::prepare(backend)?;
    let found = Index(replacement.applied());
    if found != manifest.last.index {
        return Err(FetchError::Elsewhere { said: manifest.last.index, found });
    }
    Ok(Switch { manifest: manifest.clone(), replacement })
}

async fn tell(way: Way, progress: Arc<Progress>) {
    let mut due = interval(TELL_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if let Some(view) = progress.view() {
            // A leader that cannot be told will be asked for chunks soon, and that says why.
            let _ = way.tell(view).await;
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX)
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
