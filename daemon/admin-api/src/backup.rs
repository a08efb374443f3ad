//! Snapshots in object storage, as the replicated state lists them.

use crate::Id;
use serde::{Deserialize, Serialize};

/// One snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// The digest of its manifest, in hexadecimal digits.
    pub id: String,
    /// The last log index in it.
    pub index: u64,
    /// The newest revision in it.
    pub revision: u64,
    /// What its chunks take, in bytes, those that it shares with others included.
    pub bytes: u64,
    /// How long ago it was staged.
    pub age_seconds: f64,
    /// It is no longer kept, and will be deleted.
    #[serde(default)]
    pub retired: bool,
}

/// All snapshots that a member knows of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backups {
    /// The member that stages; none while nobody does.
    #[serde(default)]
    pub stager: Option<Id>,
    /// The log index that a snapshot was asked for last; 0 for none. One of at least this index answers.
    #[serde(default)]
    pub wanted_index: u64,
    /// From the oldest to the newest.
    pub backups: Vec<Backup>,
}

/// A snapshot was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupWanted {
    /// One of at least this index will answer.
    pub index: u64,
}
