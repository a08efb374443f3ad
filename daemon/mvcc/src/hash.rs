//! A hash of the history that members can compare, however far each has swept what compaction left behind.
//!
//! It is a sum over rows, so rows can be taken out again: compaction at `c` leaves of each key its newest version at
//! or below `c` unless that is a tombstone, and all above. A row not yet swept names the row it supersedes; that one
//! is subtracted.

use crate::error::{Fault, Refusal};
use crate::row::{RowId, mix};
use crate::state::State;
use crate::types::Revision;
use std::ops::ControlFlow;

/// The hash of the store at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// The same on every member that has the same history.
    pub hash: u32,
    /// The revision it covers.
    pub revision: Revision,
    /// The compaction it leaves out.
    pub compacted: Revision,
    /// The store's revision when it began.
    pub current: Revision,
}

/// A hash that is being computed.
pub(crate) struct Hashing {
    at: i64,
    compacted: i64,
    swept: i64,
    current: i64,
    sum: u64,
    next: RowId,
}

impl Hashing {
    pub(crate) fn begin(state: &State, revision: Revision) -> Result<Self, Refusal> {
        let head = &state.head;
        let (current, compacted) = (Revision(head.revision), Revision(head.compacted));
        let at = match revision {
            Revision(..=0) => current,
            asked if asked > current => return Err(Refusal::FutureRevision { current }),
            asked if asked < compacted => return Err(Refusal::Compacted { compacted }),
            asked => asked,
        };
        let (swept, next) = (head.swept, RowId::NONE);
        Ok(Self { at: at.0, compacted: compacted.0, swept, current: current.0, sum: 0, next })
    }

    /// What must not be swept until it is done: anything.
    pub(crate) fn swept(&self) -> i64 {
        self.swept
    }

    /// Visits up to `rows_max` rows; says whether that were all.
    pub(crate) fn advance(&mut self, state: &State, rows_max: usize) -> Result<bool, Fault> {
        let (mut left, mut done) = (rows_max, true);
        state.scan_rows(self.next, &mut |row| {
            if row.id.main > self.at {
                return Ok(ControlFlow::Break(()));
            }
            if left == 0 {
                (self.next, done) = (row.id, false);
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            let compacted = row.id.main <= self.compacted;
            if !(compacted && row.version.tombstone) {
                self.sum = self.sum.wrapping_add(row.fingerprint());
            }
            if compacted && row.id.main > self.swept && row.version.supersedes() {
                let superseded = state.row(row.version.links.prev, |prev| prev.fingerprint())?;
                self.sum = self.sum.wrapping_sub(superseded.unwrap_or(0));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(done)
    }

    pub(crate) fn finish(self) -> HashKv {
        let hash = mix(self.sum) as u32;
        let [revision, compacted, current] = [self.at, self.compacted, self.current].map(Revision);
        HashKv { hash, revision, compacted, current }
    }
}
