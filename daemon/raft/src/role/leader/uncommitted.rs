//! How much a leader has taken and not committed: what bounds its memory when followers or disks are slow.

use crate::types::Index;
use std::collections::VecDeque;

/// Batches of this leader that are not committed.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    /// Where each batch ends and what it weighs.
    batches: VecDeque<(Index, u64)>,
    bytes: u64,
}

impl Uncommitted {
    /// Whether so many more fit. One batch always does: a limit smaller than a command would refuse it for ever.
    pub(super) fn has_room(&self, bytes: u64, bytes_max: u64) -> bool {
        self.bytes == 0 || self.bytes + bytes <= bytes_max
    }

    pub(super) fn add(&mut self, last: Index, bytes: u64) {
        self.bytes += bytes;
        self.batches.push_back((last, bytes));
    }

    /// A batch counts until all of it is committed.
    pub(super) fn committed(&mut self, index: Index) {
        while let Some((_, bytes)) = self.batches.pop_front_if(|(last, _)| *last <= index) {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_returns_with_commits_and_one_batch_always_fits() {
        let mut uncommitted = Uncommitted::default();
        assert!(uncommitted.has_room(500, 100));
        uncommitted.add(Index(3), 60);
        uncommitted.add(Index(5), 40);
        assert!(!uncommitted.has_room(1, 100));
        uncommitted.committed(Index(4));
        assert!(uncommitted.has_room(60, 100));
        uncommitted.committed(Index(5));
        assert!(uncommitted.has_room(500, 100));
    }
}
