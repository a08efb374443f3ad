//! One step of the work: a snapshot from the first byte read to the entry in the log, or a deletion.

use super::plan::Rules;
use super::report::Report;
use super::{name_of, now_ms};
use crate::node::{Handle, ProposeFailure};
use crate::snapshot::{Manifest, Pace, SnapshotError, SnapshotId, SnapshotName, SnapshotStore, TakeError};
use crate::snapshot::{Taking, Upload};
use mvcc::{Body, SnapshotDigest, StagedSnapshot, Staging};
use raft::Index;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracing::warn;

/// What is to be told to the log is told again after this, as long as there is no leader.
const TELL_PAUSE: Duration = Duration::from_millis(500);

/// So often: half a minute is several elections.
const TELL_ATTEMPTS: u32 = 60;

/// How often an upload looks whether it is still this member's.
const RELIEVED_EVERY: Duration = Duration::from_secs(1);

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// The snapshot could not be taken.
    #[error("taking a snapshot: {0}")]
    Take(#[from] TakeError),
    /// The object store, or what is in it.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It was not done in time.
    #[error("an upload was given up after {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Another member is to do it now.
    #[error("another member stages now")]
    Relieved,
    /// The log has no room for another snapshot.
    #[error("the list of snapshots is full: too many wait to be deleted")]
    ListFull,
    /// It could not be told to the log.
    #[error("telling the log: {0}")]
    Tell(#[from] ProposeFailure),
}

impl WorkError {
    /// One word for a metric's label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Take(_) => "take",
            Self::Snapshot(SnapshotError::Store(error)) => error.reason(),
            Self::Snapshot(SnapshotError::Collecting(_)) => "collecting",
            Self::Snapshot(
                SnapshotError::NoKeys(_) | SnapshotError::Locked { .. } | SnapshotError::Unencrypted { .. },
            ) => "key",
            Self::Snapshot(error) if error.is_damage() => "corrupt",
            Self::Snapshot(_) => "snapshot",
            Self::TooSlow(_) => "too_slow",
            Self::Relieved => "relieved",
            Self::ListFull => "list_full",
            Self::Tell(_) => "log",
        }
    }
}

impl From<objects::Error> for WorkError {
    fn from(error: objects::Error) -> Self {
        Self::Snapshot(error.into())
    }
}

/// Asks for a snapshot now, whoever stages. One whose index is at least the returned one answers.
///
/// # Errors
/// [`ProposeFailure`].
pub async fn want(node: &Handle) -> Result<Index, ProposeFailure> {
    Ok(node.propose(Body::Staging(Staging::Wanted)).await?.index)
}

/// A member with an open store.
pub(super) struct Worker {
    pub(super) node: Handle,
    pub(super) snapshots: SnapshotStore,
    pub(super) rules: Rules,
    pub(super) report: Arc<Report>,
    /// Chunks that are on their way at once.
    pub(super) parallelism: usize,
}

impl Worker {
    /// Takes a snapshot, stages it, and tells the log.
    pub(super) async fn stage(&self) -> Result<StagedSnapshot, WorkError> {
        let begin = Instant::now();
        let mut upload = self.snapshots.upload(self.node.identity().cluster).await?;
        upload.at_once = self.parallelism;
        let uploaded = self.upload(&mut upload).await;
        self.report.with(|figures| {
            figures.uploaded_bytes += upload.uploaded_bytes;
            figures.shared_bytes += upload.shared_bytes;
        });
        upload.end().await;
        let (name, manifest) = uploaded?;
        let snapshot = staged(&name, &manifest, now_ms());
        self.tell_staged(snapshot).await?;
        self.report.with(|figures| {
            figures.staged += 1;
            figures.last_duration = Some(begin.elapsed());
        });
        Ok(snapshot)
    }

    async fn upload(&self, upload: &mut Upload) -> Result<(SnapshotName, Manifest), WorkError> {
        let mut taking = Taking::start(&self.node, Pace::default()).await?;
        let longest = self.rules.upload_max();
        tokio::select! {
            uploaded = upload.all(&mut taking) => Ok(uploaded?),
            () = self.relieved() => Err(WorkError::Relieved),
            () = sleep(longest) => Err(WorkError::TooSlow(longest)),
        }
    }

    /// Returns when another member has the work.
    async fn relieved(&self) {
        while is_mine(&self.node) {
            sleep(RELIEVED_EVERY).await;
        }
    }

    async fn tell_staged(&self, snapshot: StagedSnapshot) -> Result<(), WorkError> {
        tell(&self.node, Staging::Staged(snapshot)).await?;
        match self.node.store().staged().iter().any(|known| known.id == snapshot.id) {
            true => Ok(()),
            false => Err(WorkError::ListFull),
        }
    }

    /// Brings the log and the store together: a manifest that the log has not heard of, because whoever wrote it ended
    /// before telling, is told; a snapshot whose manifest is gone is no longer kept. What cannot be read, or was not
    /// encrypted by this cluster where it should be, is none of ours: it is left alone, and holds nothing up.
    pub(super) async fn reconcile(&self) -> Result<(), WorkError> {
        let there = self.snapshots.list(Some(self.node.identity().cluster)).await?;
        let known: BTreeSet<SnapshotDigest> = self.node.store().staged().iter().map(|it| it.id).collect();
        for name in there.iter().filter(|name| !known.contains(&digest(name.id))) {
            if let Some(manifest) = self.found(name).await? {
                tell(&self.node, Staging::Staged(staged(name, &manifest, manifest.created_us / 1_000))).await?;
            }
        }
        let there: BTreeSet<SnapshotDigest> = there.iter().map(|name| digest(name.id)).collect();
        for lost in self.node.store().staged() {
            if lost.retired_ms.is_none() && !there.contains(&lost.id) && self.is_gone(&lost).await? {
                warn!(snapshot = %self.name(&lost), "a snapshot is gone from the object store");
                self.retire(lost.id).await?;
            }
        }
        Ok(())
    }

    /// The manifest of a snapshot that the log has not heard of, if it can be told.
    async fn found(&self, name: &SnapshotName) -> Result<Option<Manifest>, WorkError> {
        match self.snapshots.open(name).await {
            Ok(opened) if opened.chunks.key().is_none() && self.snapshots.encrypts() => {
                warn!(object = %name, "left alone: a snapshot that is not encrypted, and was not staged by this cluster");
                Ok(None)
            }
            Ok(opened) => Ok(Some(opened.manifest)),
            Err(error) if error.is_damage() || matches!(error, SnapshotError::Locked { .. }) => {
                warn!(%error, "left alone: a manifest that this cluster has not told its log of");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A listing alone is not believed.
    async fn is_gone(&self, snapshot: &StagedSnapshot) -> Result<bool, WorkError> {
        match self.snapshots.open(&self.name(snapshot)).await {
            Ok(_) | Err(SnapshotError::Locked { .. }) => Ok(false),
            Err(SnapshotError::Store(objects::Error::NotFound { .. })) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the log that a snapshot is no longer kept.
    pub(super) async fn retire(&self, id: SnapshotDigest) -> Result<(), WorkError> {
        Ok(tell(&self.node, Staging::Retired { id, at_ms: now_ms() }).await?)
    }

    /// Deletes snapshots and the chunks that nobody needs then, and tells the log. Chunks that stay because somebody
    /// is uploading go with the next deletion.
    pub(super) async fn delete(&self, doomed: &[StagedSnapshot]) -> Result<(), WorkError> {
        for snapshot in doomed {
            self.snapshots.delete(&self.name(snapshot)).await?;
        }
        let collected = self.snapshots.collect(self.node.identity().cluster).await?;
        if let Some(why) = &collected.deferred {
            warn!(%why, "chunks that nobody needs are left for the next deletion");
        }
        self.report.with(|figures| {
            figures.deleted += doomed.len() as u64;
            figures.deleted_bytes += collected.bytes;
        });
        for snapshot in doomed {
            tell(&self.node, Staging::Forgotten { id: snapshot.id }).await?;
        }
        Ok(())
    }

    fn name(&self, snapshot: &StagedSnapshot) -> SnapshotName {
        name_of(self.node.identity().cluster, snapshot)
    }
}

/// Whether the log says that this member stages.
pub(super) fn is_mine(node: &Handle) -> bool {
    node.store().stager() == Some(node.identity().member.0)
}

/// Tells the log, through elections. Every change may be told twice.
pub(super) async fn tell(node: &Handle, change: Staging) -> Result<(), ProposeFailure> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match node.propose(Body::Staging(change)).await {
            Ok(_) => return Ok(()),
            Err(ProposeFailure::Stopped) => return Err(ProposeFailure::Stopped),
            Err(error) if attempts >= TELL_ATTEMPTS => return Err(error),
            Err(_) => sleep(TELL_PAUSE).await,
        }
    }
}

fn digest(id: SnapshotId) -> SnapshotDigest {
    *id.0.as_bytes()
}

fn staged(name: &SnapshotName, manifest: &Manifest, staged_ms: u64) -> StagedSnapshot {
    StagedSnapshot {
        id: digest(name.id),
        index: manifest.last.index.0,
        revision: mvcc::Revision(manifest.revision),
        bytes: manifest.stored_bytes(),
        staged_ms,
        retired_ms: None,
    }
}
