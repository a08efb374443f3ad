//! S9: what clients saw. The log gives the order, so nothing is searched: a request that begins after another one was
//! answered must come after it in the log, and a read must see the registers as the log leaves them.

use super::ledger::Ledger;
use super::{Verdict, ensure};
use crate::sim::machine::Cell;
use mvcc::Revision;
use raft::Index;
use std::collections::{BTreeMap, BTreeSet};

/// The latest index any client knows of, when a request begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor(Index);

/// What clients saw.
#[derive(Debug, Default)]
pub struct History {
    returned: Index,
    refused: BTreeSet<u64>,
    acknowledged: Vec<(u64, Index)>,
    /// The store's revision after the entry at an index, as clients were told.
    revisions: BTreeMap<Index, Revision>,
}

impl History {
    /// A request begins.
    #[must_use]
    pub fn begin(&self) -> Floor {
        Floor(self.returned)
    }

    /// A client learns that its write was applied at `index`.
    ///
    /// # Errors
    /// S9 when the write is not committed there, or before something a client knew when it began.
    pub fn written(&mut self, id: u64, floor: Floor, index: Index, ledger: &Ledger) -> Verdict {
        ensure("S9", ledger.write(id) == Some(index), || {
            format!("write {id} is acknowledged at {index}, committed at {:?}", ledger.write(id))
        })?;
        ensure("S9", index > floor.0, || format!("write {id} at {index} began after {} was known", floor.0))?;
        self.acknowledged.push((id, index));
        self.returned = self.returned.max(index);
        Ok(())
    }

    /// A client is told the revision after its write, which was applied at `index`.
    ///
    /// # Errors
    /// S9 when revisions do not rise with the log.
    pub fn revised(&mut self, index: Index, revision: Revision) -> Verdict {
        let before = self.revisions.range(..index).next_back().map(|(_, revision)| *revision);
        let after = self.revisions.range(index..).next().map(|(_, revision)| *revision);
        let rises = before.is_none_or(|before| before <= revision) && after.is_none_or(|after| revision <= after);
        ensure("S9", rises, || format!("{revision:?} at {index} stands between {before:?} and {after:?}"))?;
        self.revisions.insert(index, revision);
        Ok(())
    }

    /// A client learns what a register holds, from a member that has applied everything up to `at`.
    ///
    /// # Errors
    /// S9 when the register held something else there, or a client knew more when the read began.
    pub fn read(&mut self, key: usize, found: Cell, floor: Floor, at: Index, ledger: &Ledger) -> Verdict {
        ensure("S9", at >= floor.0, || format!("a read at {at} began after {} was known", floor.0))?;
        ensure("S9", at <= ledger.last().last.index, || format!("a read at {at}, which is not committed"))?;
        let held = ledger.cell(key, at);
        ensure("S9", found == held, || format!("a read of {key} at {at} found {found:?} instead of {held:?}"))?;
        self.returned = self.returned.max(at);
        Ok(())
    }

    /// A client is told that its write will never happen.
    pub fn refused(&mut self, id: u64) {
        self.refused.insert(id);
    }

    /// The run is over.
    ///
    /// # Errors
    /// S9 when a refused write happened; S6 when an acknowledged one is not where it was.
    pub fn finish(&self, ledger: &Ledger) -> Verdict {
        for id in &self.refused {
            ensure("S9", ledger.write(*id).is_none(), || format!("write {id} was refused and happened"))?;
        }
        for (id, index) in &self.acknowledged {
            ensure("S6", ledger.write(*id) == Some(*index), || format!("the acknowledged write {id} is gone"))?;
        }
        Ok(())
    }

    /// Writes that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_refused;
    use super::*;
    use crate::sim::image::LogImage;
    use crate::sim::write::Write;
    use raft::{Entry, EntryKind, IoId, LogId, MemberId, Persist};

    /// Writes 10, 11 and 12 to register 0 at 1, 2 and 3.
    fn ledger() -> Ledger {
        let append = (1..=3)
            .map(|at| {
                Entry::new(LogId::new(1, at), EntryKind::Command, 0, &Write::put(9 + at, 0).encode(MemberId(1), 0))
            })
            .collect();
        let mut log = LogImage::format(None);
        log.apply(&Persist { io: IoId(1), append, ..Persist::default() }).expect("consecutive");
        let mut ledger = Ledger::default();
        ledger.claim(MemberId(1), &log, Index(3), None, |_| true).expect("a quorum has it");
        ledger
    }

    fn cell(write: u64, at: u64) -> Cell {
        Cell { write, at: Index(at), gone: false }
    }

    #[test]
    fn a_sound_history_passes() {
        let (ledger, mut history) = (ledger(), History::default());
        history.written(10, history.begin(), Index(1), &ledger).expect("sound");
        history.read(0, cell(11, 2), history.begin(), Index(2), &ledger).expect("sound");
        history.refused(99);
        history.finish(&ledger).expect("sound");
    }

    #[test]
    fn a_stale_read_is_refused() {
        let (ledger, mut history) = (ledger(), History::default());
        history.written(11, history.begin(), Index(2), &ledger).expect("sound");
        assert_refused(history.read(0, cell(10, 1), history.begin(), Index(1), &ledger), "S9");
    }

    #[test]
    fn a_read_of_the_wrong_value_or_of_the_future_is_refused() {
        let (ledger, mut history) = (ledger(), History::default());
        assert_refused(history.read(0, cell(10, 1), history.begin(), Index(2), &ledger), "S9");
        assert_refused(history.read(0, cell(12, 3), history.begin(), Index(4), &ledger), "S9");
    }

    #[test]
    fn a_write_before_what_was_known_when_it_began_is_refused() {
        let (ledger, mut history) = (ledger(), History::default());
        history.read(0, cell(11, 2), history.begin(), Index(2), &ledger).expect("sound");
        assert_refused(history.written(11, history.begin(), Index(2), &ledger), "S9");
    }

    #[test]
    fn a_write_acknowledged_elsewhere_than_it_was_committed_is_refused() {
        assert_refused(History::default().written(10, Floor::default(), Index(2), &ledger()), "S9");
    }

    #[test]
    fn a_revision_that_falls_where_the_log_rises_is_refused() {
        let mut history = History::default();
        history.revised(Index(5), Revision(7)).expect("the first one");
        history.revised(Index(3), Revision(7)).expect("a deletion of nothing leaves it as it was");
        assert_refused(history.revised(Index(4), Revision(8)), "S9");
        assert_refused(history.revised(Index(6), Revision(6)), "S9");
    }

    #[test]
    fn a_refused_write_that_happened_and_an_acknowledged_one_that_is_gone_are_refused() {
        let mut history = History::default();
        history.refused(12);
        assert_refused(history.finish(&ledger()), "S9");
        let lost = History { acknowledged: vec![(77, Index(2))], ..History::default() };
        assert_refused(lost.finish(&ledger()), "S6");
    }
}
