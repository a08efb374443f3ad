//! Snapshots in object storage: which there are, and one more, please.

use super::problem::Refusal;
use crate::hex::Hex;
use crate::node::Handle;
use crate::stage;
use admin_api::{Backup, BackupWanted, Backups, Id};
use mvcc::StagedSnapshot;

/// What this member knows.
pub(super) fn list(node: &Handle) -> Backups {
    let (store, now_ms) = (node.store(), stage::now_ms());
    Backups {
        stager: store.stager().map(Id),
        wanted_index: store.snapshot_wanted().unwrap_or_default(),
        backups: store.staged().iter().map(|snapshot| backup(snapshot, now_ms)).collect(),
    }
}

/// Asks for one, whoever stages. It is done when the list has one of that index.
///
/// # Errors
/// Nobody stages, or there is no leader.
pub(super) async fn want(node: &Handle) -> Result<BackupWanted, Refusal> {
    if node.store().stager().is_none() {
        return Err(Refusal::no_backups());
    }
    Ok(BackupWanted { index: stage::want(node).await?.0 })
}

#[expect(clippy::cast_precision_loss, reason = "an age needs no more than 53 bits of milliseconds")]
fn backup(snapshot: &StagedSnapshot, now_ms: u64) -> Backup {
    Backup {
        id: Hex(&snapshot.id).to_string(),
        index: snapshot.index,
        revision: u64::try_from(snapshot.revision.0).unwrap_or(0),
        bytes: snapshot.bytes,
        age_seconds: now_ms.saturating_sub(snapshot.staged_ms) as f64 / 1_000.0,
        retired: snapshot.retired_ms.is_some(),
    }
}
