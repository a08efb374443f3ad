//! The identity file: what a formatted disk remembers about whose it is.
//!
//! * Written whole under another name, synced, renamed, and the directory synced: it is either the old or the new.
//! * JSON, because a person must be able to read it when a disk is in the wrong place.

use super::restored::Restored;
use super::{ClusterId, NodeInfo, StorageId};
use crate::transport::hello::KnownCluster;
use admin_api::Id;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Its name in the data directory.
pub const IDENTITY_FILE: &str = "identity.json";
/// The version of its content that this program writes and reads.
const FORMAT_VERSION: u32 = 1;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IdentityFile {
    version: u32,
    /// The disk, for good.
    pub(super) storage: StorageId,
    /// The name it was formatted under.
    pub(super) name: String,
    /// How often the process has started on it.
    pub(super) boot: u64,
    /// How far it has come.
    pub(super) phase: Phase,
    /// The snapshot that the store on it began as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restored: Option<Restored>,
}

/// How far a disk has come. It only goes forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Phase {
    /// Formatted to form a cluster with others, under this id.
    Forming {
        /// Random.
        member: Id,
    },
    /// Formatted to join a cluster, which will say under which id.
    Joining,
    /// Knows its cluster. The log may not have been created yet.
    Admitted(Admission),
    /// Has a log: one that is missing from now on is a loss.
    Running {
        /// The cluster.
        cluster: ClusterId,
        /// Its id in it.
        member: Id,
    },
}

/// How a disk came into its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Admission {
    /// Its id.
    pub(super) member: Id,
    /// It is one of the first members: `known` is the first configuration. Otherwise it only tells whom to call.
    pub(super) founder: bool,
    /// The cluster as it was then.
    pub(super) known: KnownCluster,
}

impl IdentityFile {
    pub(super) fn format(storage: StorageId, info: &NodeInfo, phase: Phase) -> Self {
        Self { version: FORMAT_VERSION, storage, name: info.name.clone(), boot: 0, phase, restored: None }
    }

    /// Reads the file. None when there is none.
    pub(super) fn read(directory: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(directory.join(IDENTITY_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let file: Self = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if file.version != FORMAT_VERSION {
            let message = format!("{IDENTITY_FILE} has version {}, this program reads {FORMAT_VERSION}", file.version);
            return Err(io::Error::other(message));
        }
        Ok(Some(file))
    }

    /// Makes the file say this, durably.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let (path, fresh) = (directory.join(IDENTITY_FILE), directory.join("identity.json.new"));
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(IdentityFile::read(directory.path()).unwrap(), None);
        let admission = Admission { member: Id(7), founder: true, known: KnownCluster::default() };
        for phase in [Phase::Forming { member: Id(7) }, Phase::Joining, Phase::Admitted(admission)] {
            let file = IdentityFile::format(StorageId::from_bytes([3; 16]), &NodeInfo::default(), phase);
            file.write(directory.path()).unwrap();
            assert_eq!(IdentityFile::read(directory.path()).unwrap(), Some(file));
        }
    }

    #[test]
    fn a_file_of_a_later_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = IdentityFile::format(StorageId::from_bytes([3; 16]), &NodeInfo::default(), Phase::Joining);
        file.version = 2;
        file.write(directory.path()).unwrap();
        let refused = IdentityFile::read(directory.path()).unwrap_err();
        assert_eq!(refused.to_string(), "identity.json has version 2, this program reads 1");
    }
}
