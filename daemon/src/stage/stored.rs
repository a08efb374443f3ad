//! What was staged, read back: the source that a member which the log does not reach asks first.
//!
//! * The store is opened when it is first asked, and again until that works: one that is away costs a member no start.
//! * Nothing is listed. Which snapshot to read is known from the log, through a member that has it.
//! * Requests and bytes are bounded as those of an upload are, and apart from them: who installs does not stage.

use super::bounded;
use crate::config::settings::Backups;
use crate::snapshot::{Opened, SnapshotError, SnapshotName, SnapshotStore};
use tokio::sync::OnceCell;

/// The staged snapshots of the store in the settings.
#[derive(Debug)]
pub(crate) struct Stored {
    settings: Backups,
    open: OnceCell<SnapshotStore>,
}

impl Stored {
    pub(crate) fn new(settings: Backups) -> Self {
        Self { settings, open: OnceCell::new() }
    }

    /// The most that is read in a second; none for any.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        Some(self.settings.bytes_per_second).filter(|limit| *limit > 0)
    }

    /// Reads the manifest of a snapshot, which is the one that its name says. Whoever reads the chunks compares them
    /// with their digests.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) async fn open(&self, name: &SnapshotName) -> Result<Opened, SnapshotError> {
        self.open.get_or_try_init(|| bounded::open(&self.settings)).await?.open(name).await
    }
}
