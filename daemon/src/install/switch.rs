//! The switch from the old state and log to the installed ones. The steps and what a crash after each of them leaves
//! are in the module above.
//!
//! ```text
//!   install.intent    crc32c u32 little-endian │ the manifest of the snapshot
//! ```

use super::fetch::{FetchError, make_switch};
use super::spool::read_all;
use crate::disk::Disk;
use crate::snapshot::{Chunk, Manifest};
use crate::store::{self, RedbBackend, STATE_FILE};
use crate::wal::{self, Options, Recovered, Wal, WalRequest};
use bytes::Bytes;
use mvcc::{Backend, Fault, Replacement, Store};
use raft::planted::{Bug, is_planted};
use raft::{Index, LogId};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// The state file that is being built, and waits to take its place.
pub const NEXT_FILE: &str = "state.redb.install";
const INTENT_FILE: &str = "install.intent";
const INTENT_PART: &str = "install.intent.part";

/// What was going to be switched to when the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent(Manifest);

impl Intent {
    /// The last entry that the state covers once it is carried out.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.0.last
    }
}

/// Why a switch that was begun cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The disk failed.
    #[error("finishing an install: {0}")]
    Io(#[from] io::Error),
    /// The record of the intent is damaged.
    #[error("the record of an install that was begun ({INTENT_FILE}) cannot be read")]
    Damaged,
}

/// To be done before the state file is opened: drops what was not finished, or goes on with what was begun.
///
/// # Errors
/// [`SwitchError`]; the member cannot start.
pub fn recover_state(disk: &dyn Disk) -> Result<Option<Intent>, SwitchError> {
    // A killed process may have left names that only memory has. The log is about to follow what they say.
    disk.sync_dir()?;
    let names = disk.list()?;
    let has = |name: &str| names.iter().any(|known| known == name);
    if !has(INTENT_FILE) {
        let leftovers: Vec<&str> = [NEXT_FILE, INTENT_PART].into_iter().filter(|name| has(name)).collect();
        leftovers.iter().try_for_each(|name| disk.remove(name))?;
        if !leftovers.is_empty() {
            disk.sync_dir()?;
        }
        return Ok(None);
    }
    let intent = read_intent(disk)?;
    if has(NEXT_FILE) {
        disk.rename(NEXT_FILE, STATE_FILE)?;
        disk.sync_dir()?;
    }
    Ok(Some(intent))
}

/// To be done when the log is open: lets it follow what the state covers. The last step of a start is
/// [`finish_switch`].
///
/// # Errors
/// The log fails; the member cannot start.
pub fn recover_log(
    recovered: Recovered,
    intent: &Intent,
    (disk, identity, options): (&Arc<dyn Disk>, wal::Identity, &Options),
) -> Result<Recovered, wal::OpenError> {
    let mut wal = recovered.wal;
    wal.perform([reset_to(&intent.0)], &mut Nobody).map_err(wal::OpenError::Create)?;
    wal.close().map_err(wal::OpenError::Create)?;
    // What it remembers is another thing now.
    Wal::open(Arc::clone(disk), identity, options)
}

/// State and log belong together: the intent has been carried out.
///
/// # Errors
/// What the disk says.
pub fn finish_switch(disk: &dyn Disk) -> io::Result<()> {
    remove(disk, INTENT_FILE)?;
    disk.sync_dir()
}

/// The file for the next state, empty. Whatever was left of another is gone.
pub(super) fn create_next(disk: &dyn Disk) -> Result<RedbBackend, Fault> {
    remove(disk, NEXT_FILE).map_err(Fault::storage)?;
    RedbBackend::create(disk, NEXT_FILE, store::Options::default())
}

/// The file for the next state is not needed.
///
/// # Errors
/// What the disk says.
pub fn drop_next(disk: &dyn Disk) -> io::Result<()> {
    remove(disk, NEXT_FILE)
}

/// Everything that is ready for a switch.
#[derive(Debug)]
pub struct Switch {
    /// What is switched to.
    pub manifest: Manifest,
    pub(super) replacement: Replacement,
}

impl Switch {
    /// Whether the log has brought this member as far by itself: its state would go back.
    pub(crate) fn is_overtaken(&self, commit: Index) -> bool {
        self.manifest.last.index <= commit && !is_planted(Bug::GoesBack)
    }

    /// Builds the next state of a snapshot whose chunks are at hand, in order: in its file, or in a backend that
    /// stands for the file. For a simulator; a member fetches them.
    ///
    /// # Errors
    /// What is wrong with the snapshot, or the disk.
    pub fn build(
        disk: &dyn Disk,
        in_place_of_file: Option<Arc<dyn Backend>>,
        manifest: &Manifest,
        chunks: Vec<Bytes>,
    ) -> Result<Self, String> {
        let file = || create_next(disk).map(|file| Arc::new(file) as Arc<dyn Backend>);
        let backend = in_place_of_file.map_or_else(file, Ok).map_err(|fault| fault.to_string())?;
        let mut chunks = chunks.into_iter();
        let mut next = |_: &Chunk| chunks.next().ok_or_else(|| FetchError::Damaged("a chunk".into()));
        make_switch(backend, manifest, &mut next).map_err(|error| error.to_string())
    }

    /// Steps 2 and 3, and the state in memory. Blocks; to be called where nothing is applied meanwhile.
    ///
    /// # Errors
    /// What the disk says. The next start goes on.
    pub fn run(self, disk: &dyn Disk, store: &Store) -> io::Result<()> {
        if !is_planted(Bug::IntentSkipped) {
            write_intent(disk, &self.manifest)?;
        }
        disk.rename(NEXT_FILE, STATE_FILE)?;
        sync_names(disk)?;
        store.replace(self.replacement);
        Ok(())
    }
}

/// What the log is asked in step 4.
pub(crate) fn reset_to(manifest: &Manifest) -> WalRequest {
    let membership = Some((manifest.membership_at, manifest.membership.encode()));
    WalRequest::Reset { start: manifest.last, membership }
}

fn write_intent(disk: &dyn Disk, manifest: &Manifest) -> io::Result<()> {
    // The name of the next state is durable before anything relies on it.
    disk.sync_dir()?;
    remove(disk, INTENT_PART)?;
    let bytes = manifest.encode();
    let file = disk.create(INTENT_PART)?;
    file.write_at(0, &[IoSlice::new(&crc32c::crc32c(&bytes).to_le_bytes()), IoSlice::new(&bytes)])?;
    if !is_planted(Bug::IntentNotSynced) {
        file.sync()?;
    }
    disk.rename(INTENT_PART, INTENT_FILE)?;
    sync_names(disk)
}

fn sync_names(disk: &dyn Disk) -> io::Result<()> {
    if is_planted(Bug::SwitchNamesNotSynced) { Ok(()) } else { disk.sync_dir() }
}

fn read_intent(disk: &dyn Disk) -> Result<Intent, SwitchError> {
    let bytes = read_all(&*disk.open(INTENT_FILE)?)?;
    let (crc, manifest) = bytes.split_first_chunk().ok_or(SwitchError::Damaged)?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(manifest) {
        return Err(SwitchError::Damaged);
    }
    Manifest::decode(manifest).map(|(_, manifest)| Intent(manifest)).map_err(|_| SwitchError::Damaged)
}

fn remove(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the log does before there is a loop is over when the call returns.
struct Nobody;

impl wal::Listener for Nobody {
    fn completed(&mut self, _: wal::Completion) {}

    fn failed(&mut self, _: &wal::WalError) {}
}

#[cfg(test)]
#[path = "switch_tests.rs"]
pub(super) mod tests;
