//! Taking away a log that has nothing more to say: its member has become another one, and begins a log of its own.

use super::error::{Identity, OpenError};
use super::recover::open_segment;
use super::segment::segment_of;
use crate::disk::Disk;

/// Removes every segment of this log, durably, and says how many there were. Segments of another log stay, and so do
/// the files at hand, which are nobody's.
///
/// # Errors
/// [`OpenError`] when a segment's header is not sound, or the disk fails; what was not removed is there the next time.
pub fn discard(disk: &dyn Disk, identity: Identity) -> Result<usize, OpenError> {
    let removing = |source| OpenError::Io { doing: "discarding", file: "the former log".to_owned(), source };
    // What a killed process has removed may be there again, and what it has named may not.
    disk.sync_dir().map_err(removing)?;
    let mut gone = 0;
    for name in disk.list().map_err(removing)? {
        let Some(sequence) = segment_of(&name) else { continue };
        match open_segment(disk, identity, sequence) {
            Ok(_) => disk.remove(&name).map_err(removing)?,
            Err(OpenError::Foreign { .. }) => continue,
            Err(error) => return Err(error),
        }
        gone += 1;
    }
    // The first segment of the next log may have the name of one of these.
    disk.sync_dir().map_err(removing)?;
    Ok(gone)
}
