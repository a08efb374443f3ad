//! The switch from the old state and log to the installed ones. The steps and what a crash after each of them leaves
//! are in the module above.
//!
//! ```text
//!   install.intent    crc32c u32 little-endian │ a manifest without blocks
//! ```

use super::manifest::Manifest;
use super::spool::read_all;
use super::trail::{Place, Trail};
use crate::disk::Disk;
use crate::store::{self, RedbBackend, STATE_FILE};
use crate::wal::{self, Options, Recovered, Wal, WalRequest};
use mvcc::{Fault, Replacement, Store};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// The state file that is being built, and waits to take its place.
const NEXT_FILE: &str = "state.redb.install";
const INTENT_FILE: &str = "install.intent";
const INTENT_PART: &str = "install.intent.part";

/// What was going to be switched to when the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent(Place);

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
pub(crate) fn recover_log(
    recovered: Recovered,
    intent: &Intent,
    (disk, identity, options): (&Arc<dyn Disk>, wal::Identity, &Options),
) -> Result<Recovered, wal::OpenError> {
    let mut wal = recovered.wal;
    wal.perform([intent.0.reset()], &mut Nobody).map_err(wal::OpenError::Create)?;
    wal.close().map_err(wal::OpenError::Create)?;
    // What it remembers is another thing now.
    Wal::open(Arc::clone(disk), identity, options)
}

/// State and log belong together: the intent has been carried out.
pub(crate) fn finish_switch(disk: &dyn Disk) -> io::Result<()> {
    remove(disk, INTENT_FILE)?;
    disk.sync_dir()
}

/// The file for the next state, empty. Whatever was left of another is gone.
pub(super) fn create_next(disk: &dyn Disk) -> Result<RedbBackend, Fault> {
    remove(disk, NEXT_FILE).map_err(Fault::storage)?;
    RedbBackend::create(disk, NEXT_FILE, store::Options::default())
}

/// The file for the next state is not needed.
pub(super) fn drop_next(disk: &dyn Disk) -> io::Result<()> {
    remove(disk, NEXT_FILE)
}

/// Everything that is ready for a switch.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) place: Place,
    pub(super) replacement: Replacement,
}

impl Switch {
    /// Steps 2 and 3, and the state in memory. Blocks; to be called where nothing is applied meanwhile.
    pub(crate) fn run(self, disk: &dyn Disk, store: &Store, trail: &Trail) -> io::Result<Place> {
        write_intent(disk, &self.place)?;
        disk.rename(NEXT_FILE, STATE_FILE)?;
        disk.sync_dir()?;
        store.replace(self.replacement);
        trail.replace(&self.place);
        Ok(self.place)
    }
}

impl Place {
    /// What the log is asked in step 4.
    pub(crate) fn reset(&self) -> WalRequest {
        WalRequest::Reset { start: self.last, membership: Some((self.membership_at, self.membership.clone())) }
    }
}

fn write_intent(disk: &dyn Disk, place: &Place) -> io::Result<()> {
    // The name of the next state is durable before anything relies on it.
    disk.sync_dir()?;
    remove(disk, INTENT_PART)?;
    let Place { last, membership_at, membership } = place.clone();
    let bytes = Manifest { last, membership_at, membership, blocks: Vec::new() }.encode();
    let file = disk.create(INTENT_PART)?;
    file.write_at(0, &[IoSlice::new(&crc32c::crc32c(&bytes).to_le_bytes()), IoSlice::new(&bytes)])?;
    file.sync()?;
    disk.rename(INTENT_PART, INTENT_FILE)?;
    disk.sync_dir()
}

fn read_intent(disk: &dyn Disk) -> Result<Intent, SwitchError> {
    let bytes = read_all(&*disk.open(INTENT_FILE)?)?;
    let (crc, manifest) = bytes.split_first_chunk().ok_or(SwitchError::Damaged)?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(manifest) {
        return Err(SwitchError::Damaged);
    }
    let Manifest { last, membership_at, membership, .. } =
        Manifest::decode(manifest).map_err(|_| SwitchError::Damaged)?;
    Ok(Intent(Place { last, membership_at, membership }))
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
mod tests;
