//! The identity file: what a formatted disk remembers about whose it is.
//!
//! * Written whole under another name, synced, renamed, and the directory synced: it is either the old or the new.
//! * Each start writes it. A spare file keeps the room for that, so that a member starts on a disk that is full.
//! * JSON, because a person must be able to read it when a disk is in the wrong place.
//! * `crc32c` is the checksum of the content without it, as one line: a digit that has rotted is still a digit.

use super::recovered::{Recovered, Recovering};
use super::restored::Restored;
use super::{BootstrapError, ClusterId, NodeInfo, StorageId};
use crate::disk::{Disk, File};
use crate::transport::hello::KnownCluster;
use admin_api::Id;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Its name in the data directory.
pub const IDENTITY_FILE: &str = "identity.json";
/// Its name before it is whole.
const UNFINISHED_FILE: &str = "identity.json.new";
/// A file that becomes the next one.
const SPARE_FILE: &str = "identity.json.spare";
/// More than any identity takes: the longest names the members of a cluster.
const SPARE_BYTES: usize = 16 << 10;
/// The version of its content that this program writes and reads.
const FORMAT_VERSION: u32 = 2;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityFile {
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
    /// The member of another cluster that it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recovered: Option<Recovered>,
    /// Somebody has asked, by this word, for a new cluster of what is here. The next start makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recovery_wanted: Option<String>,
    /// In the file only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32c: Option<String>,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// How far a disk has come. It only goes forward, until its cluster has lost its quorum and what is here becomes
/// another one.
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
    /// Is becoming the only member of a new cluster. There is no way back: the store has begun to take what may never
    /// have been committed.
    Recovering(Recovering),
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
        let (version, name) = (FORMAT_VERSION, info.name.clone());
        Self {
            version,
            storage,
            name,
            boot: 0,
            phase,
            restored: None,
            recovered: None,
            recovery_wanted: None,
            crc32c: None,
        }
    }

    /// Reads the file. None when there is none; [`io::ErrorKind::InvalidData`] when it has rotted.
    ///
    /// # Errors
    /// What the disk says, or what is wrong with the file.
    pub fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        let Some(file) = found(disk.open(IDENTITY_FILE))? else { return Ok(None) };
        let bytes = contents(&*file)?;
        // What is not of this version is not damaged.
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(rotten)?;
        if version != FORMAT_VERSION {
            let message = format!("{IDENTITY_FILE} has version {version}, this program reads {FORMAT_VERSION}");
            return Err(io::Error::other(message));
        }
        let mut file: Self = serde_json::from_slice(&bytes).map_err(rotten)?;
        let found = file.crc32c.take();
        if found != Some(file.checksum()?) {
            return Err(rotten("its checksum is of another content"));
        }
        Ok(Some(file))
    }

    /// Refuses a directory that was formatted under another name.
    pub(super) fn refuse_other_name(&self, given: &str) -> Result<(), BootstrapError> {
        if self.name == given {
            return Ok(());
        }
        Err(BootstrapError::OtherName { found: self.name.clone(), given: given.to_owned() })
    }

    /// Makes the file say this, durably.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let sealed = Self { crc32c: Some(self.checksum()?), ..self.clone() };
        let bytes = serde_json::to_vec_pretty(&sealed).map_err(io::Error::other)?;
        let file = unfinished(disk)?;
        file.write_at(0, &[IoSlice::new(&bytes)])?;
        file.set_size(bytes.len() as u64)?;
        file.sync()?;
        disk.rename(UNFINISHED_FILE, IDENTITY_FILE)?;
        disk.sync_dir()?;
        if let Err(error) = keep_spare(disk) {
            tracing::warn!(%error, "no room is kept for the next start: on a full disk it will fail");
        }
        Ok(())
    }

    /// Of the content without it.
    fn checksum(&self) -> io::Result<String> {
        let line = serde_json::to_vec(self).map_err(io::Error::other)?;
        Ok(format!("{:08x}", crc32c::crc32c(&line)))
    }
}

/// The file to write to: what was the spare, or a new one. One that was left unfinished goes: a crash may have kept its
/// name beside that of the identity it became.
fn unfinished(disk: &dyn Disk) -> io::Result<Arc<dyn File>> {
    found(disk.remove(UNFINISHED_FILE))?;
    if found(disk.rename(SPARE_FILE, UNFINISHED_FILE))?.is_none() {
        return disk.create(UNFINISHED_FILE);
    }
    disk.sync_dir()?; // the spare's name must not come back to what becomes the identity
    disk.open(UNFINISHED_FILE)
}

/// Makes a spare of room that is taken already, if there is none. The old identity has just given some back.
fn keep_spare(disk: &dyn Disk) -> io::Result<()> {
    let Some(spare) = created(disk.create(SPARE_FILE))? else { return Ok(()) };
    let filled = spare.write_at(0, &[IoSlice::new(&[0; SPARE_BYTES])]).and_then(|()| spare.sync());
    filled.inspect_err(|_| drop(disk.remove(SPARE_FILE)))
}

/// None when there is no such file.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// None when there is such a file.
fn created<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        result => result.map(Some),
    }
}

fn rotten(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn contents(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Fate, SimDisk};

    #[test]
    fn the_file_reads_back_what_was_written() {
        let disk = SimDisk::new();
        assert_eq!(IdentityFile::read(&disk).unwrap(), None);
        let admission = Admission { member: Id(7), founder: true, known: KnownCluster::default() };
        for phase in [Phase::Forming { member: Id(7) }, Phase::Joining, Phase::Admitted(admission)] {
            let file = IdentityFile::format(StorageId::from_bytes([3; 16]), &NodeInfo::default(), phase);
            file.write(&disk).unwrap();
            assert_eq!(IdentityFile::read(&disk.crash(Fate::Lost)).unwrap(), Some(file));
        }
    }

    #[test]
    fn whenever_the_power_fails_the_file_is_the_old_one_or_the_new_one() {
        let storage = StorageId::from_bytes([3; 16]);
        let old = IdentityFile::format(storage, &NodeInfo::default(), Phase::Joining);
        let new = IdentityFile::format(storage, &NodeInfo::default(), Phase::Forming { member: Id(7) });
        let written = || {
            let disk = SimDisk::new();
            old.write(&disk).unwrap();
            disk
        };
        let (mut found_old, mut found_new) = (0, 0);
        for seed in 0..20 {
            for effects in 0..=12 {
                let disk = written();
                disk.lose_power_after(disk.counts().effects + effects);
                let ended = new.write(&disk);
                let disk = disk.crash(Fate::Chance(seed));
                let found = IdentityFile::read(&disk).unwrap().expect("one of them");
                assert!(found == new || (found == old && ended.is_err()), "after {effects}: {found:?}");
                *(if found == new { &mut found_new } else { &mut found_old }) += 1;
                new.write(&disk).unwrap();
                assert_eq!(IdentityFile::read(&disk).unwrap().as_ref(), Some(&new), "whatever was left over");
            }
        }
        assert!(found_old > 0 && found_new > 0, "both were seen: {found_old} and {found_new}");
    }

    #[test]
    fn a_full_disk_takes_one_start_after_another() {
        let disk = SimDisk::new();
        let phase = Phase::Running { cluster: ClusterId(7), member: Id(8) };
        let mut file = IdentityFile::format(StorageId::from_bytes([3; 16]), &NodeInfo::default(), phase);
        file.write(&disk).unwrap();
        disk.set_budget(Some(disk.used_bytes() + 16)); // for the digits
        for boot in 1..50 {
            file.boot = boot;
            file.write(&disk).unwrap_or_else(|error| panic!("start {boot}: {error}"));
            assert_eq!(IdentityFile::read(&disk).unwrap().as_ref(), Some(&file));
        }
        disk.set_budget(Some(0));
        disk.remove(SPARE_FILE).unwrap();
        assert!(crate::disk::is_full(&file.write(&disk)), "without a spare there is no room");
        assert_eq!(IdentityFile::read(&disk).unwrap().as_ref(), Some(&file), "and nothing is lost");
    }

    #[test]
    fn a_file_of_a_later_version_is_refused() {
        let disk = SimDisk::new();
        let mut file = IdentityFile::format(StorageId::from_bytes([3; 16]), &NodeInfo::default(), Phase::Joining);
        file.version = FORMAT_VERSION + 1;
        file.write(&disk).unwrap();
        let refused = IdentityFile::read(&disk).unwrap_err();
        assert_eq!(refused.to_string(), "identity.json has version 3, this program reads 2");
        assert_ne!(refused.kind(), io::ErrorKind::InvalidData, "it has not rotted");
    }

    #[test]
    fn whichever_bit_rots_the_file_is_refused_or_says_the_same() {
        let phase = Phase::Running { cluster: ClusterId(7), member: Id(8) };
        let mut written = IdentityFile::format(StorageId::from_bytes([3; 16]), &NodeInfo::default(), phase);
        written.boot = 41;
        let disk = SimDisk::new();
        written.write(&disk).unwrap();
        let length = disk.contents(IDENTITY_FILE).unwrap().len();
        for (at, bit) in (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            disk.flip(IDENTITY_FILE, at as u64, 1 << bit);
            match IdentityFile::read(&disk) {
                Ok(found) => assert_eq!(found.as_ref(), Some(&written), "bit {bit} of byte {at}"),
                Err(error) => assert!(
                    error.kind() == io::ErrorKind::InvalidData || error.to_string().contains("has version"),
                    "{error}"
                ),
            }
            disk.flip(IDENTITY_FILE, at as u64, 1 << bit);
        }
    }
}
