//! S2 to S6: what has been committed, once and for all, and every entry there has ever been.

use super::{Verdict, ensure};
use crate::sim::image::{Base, LogImage};
use crate::sim::machine::{Cell, KEYS};
use crate::sim::write::{Deed, Write};
use raft::{Entry, Index, MemberId, Persist, Term};
use std::collections::BTreeMap;

/// The truth about the log.
#[derive(Debug)]
pub struct Ledger {
    /// The committed log up to each index, from zero on.
    committed: Vec<Base>,
    /// How far the leader of each term has committed.
    committed_in: BTreeMap<Term, Index>,
    /// The committed writes of each register, ascending.
    cells: [Vec<Cell>; KEYS],
    /// Where each write was committed.
    writes: BTreeMap<u64, Index>,
    /// What stores hash to when they have applied everything up to an index.
    stores: BTreeMap<Index, u64>,
    /// For each index, what every entry seen there hashes to, by term.
    seen: Vec<Vec<(Term, u64)>>,
}

impl Default for Ledger {
    fn default() -> Self {
        let zero = Base::default();
        Self {
            committed: vec![zero],
            committed_in: BTreeMap::new(),
            cells: Default::default(),
            writes: BTreeMap::new(),
            stores: BTreeMap::new(),
            seen: Vec::new(),
        }
    }
}

impl Ledger {
    /// The last committed entry anybody has spoken of.
    #[must_use]
    pub fn last(&self) -> Base {
        *self.committed.last().expect("it begins with zero")
    }

    /// The committed log up to `index`.
    #[must_use]
    pub fn at(&self, index: Index) -> Option<&Base> {
        self.committed.get(usize::try_from(index.0).ok()?)
    }

    /// Where this write was committed.
    #[must_use]
    pub fn write(&self, id: u64) -> Option<Index> {
        self.writes.get(&id).copied()
    }

    /// What a register held when everything up to `index` was applied.
    #[must_use]
    pub fn cell(&self, key: usize, index: Index) -> Cell {
        let cells = &self.cells[key];
        let after = cells.partition_point(|cell| cell.at <= index);
        after.checked_sub(1).map_or_else(Cell::default, |at| cells[at])
    }

    /// `member` writes to its log, which holds `log` before; `leading` is the term it leads in.
    ///
    /// # Errors
    /// S2 when a leader does anything but append entries of its own; S6 when a committed entry goes.
    pub fn write_begins(&self, member: MemberId, log: &LogImage, persist: &Persist, leading: Option<Term>) -> Verdict {
        if let Some(term) = leading {
            ensure("S2", persist.truncate_from.is_none(), || {
                format!("{member} leads in term {term} and cuts its own log from {:?}", persist.truncate_from)
            })?;
            ensure("S2", persist.append.iter().all(|entry| entry.term() == term), || {
                format!("{member} leads in term {term} and appends {:?}", persist.append)
            })?;
        }
        let Some(from) = persist.truncate_from else { return Ok(()) };
        let Some(found) = log.at(from) else { return Ok(()) };
        ensure("S6", self.at(from).is_none_or(|committed| committed.hash != found.hash), || {
            format!("{member} cuts its log from {from}, where it holds the committed {}", found.last)
        })
    }

    /// A log now holds this entry.
    ///
    /// # Errors
    /// S3 when another log holds the same entry after different ones.
    pub fn appended(&mut self, member: MemberId, found: Base) -> Verdict {
        let (index, term) = (usize::try_from(found.last.index.0).expect("an index of a run"), found.last.term);
        if self.seen.len() <= index {
            self.seen.resize(index + 1, Vec::new());
        }
        match self.seen[index].iter().find(|(seen, _)| *seen == term) {
            Some((_, hash)) => ensure("S3", *hash == found.hash, || {
                format!("{member} holds {} after other entries than another log, or another entry", found.last)
            }),
            None => {
                self.seen[index].push((term, found.hash));
                Ok(())
            }
        }
    }

    /// `member` leads in `term`, and this is its log. It may hear of its election after that of a later term.
    ///
    /// # Errors
    /// S4 when an entry is missing from it that was committed in an earlier term.
    pub fn elected(&self, member: MemberId, term: Term, log: &LogImage) -> Verdict {
        let through = self.committed_in.range(..term).map(|(_, index)| *index).max();
        let last = through.and_then(|through| self.at(through)).copied().unwrap_or_default();
        let complete = log.at(last.last.index).map_or(log.base.last.index > last.last.index, |at| at.hash == last.hash);
        ensure("S4", complete, || {
            format!("{member} leads with a log up to {} that lacks the committed {}", log.last().last, last.last)
        })
    }

    /// `member` says that everything up to `commit` is committed; `durable` tells whether a quorum has an entry,
    /// `leading` in which term it leads.
    ///
    /// # Errors
    /// S6 when another entry was committed there, when it does not have the entry itself, when no quorum has it, or
    /// when a leader has committed an inherited entry by counting (paper, figure 8); S9 when a write is committed twice.
    pub fn claim(
        &mut self,
        member: MemberId,
        log: &LogImage,
        commit: Index,
        leading: Option<Term>,
        durable: impl Fn(Base) -> bool,
    ) -> Verdict {
        let known = commit.min(self.last().last.index);
        if let (Some(found), Some(committed)) = (log.at(known), self.at(known)) {
            ensure("S6", found == *committed, || {
                format!("{member} says that {} is committed, but {} is", found.last, committed.last)
            })?;
        }
        if commit <= self.last().last.index {
            return Ok(());
        }
        let claimed = log.at(commit);
        ensure("S6", claimed.is_some_and(durable), || {
            format!("{member} says that {commit} is committed, but {claimed:?} is not durable on a quorum")
        })?;
        let own = leading.is_none_or(|term| claimed.is_some_and(|base| base.last.term == term));
        ensure("S6", own, || format!("{member} leads in {leading:?} and has committed {claimed:?} by counting"))?;
        let term = leading.or(claimed.map(|base| base.last.term)).unwrap_or_default();
        self.committed_in.insert(term, commit);
        (self.last().last.index.0 + 1..=commit.0).try_for_each(|index| {
            let logged = log.entry(Index(index)).expect("nothing beyond the committed is cut");
            self.commit(&logged.entry, logged.as_base())
        })
    }

    fn commit(&mut self, entry: &Entry, base: Base) -> Verdict {
        self.committed.push(base);
        let Some(write) = Write::of(entry) else { return Ok(()) };
        if write.deed.writes() {
            let cell = Cell { write: write.id, at: entry.index(), gone: write.deed == Deed::Delete };
            self.cells[usize::from(write.key) % KEYS].push(cell);
        }
        let first = *self.writes.entry(write.id).or_insert(entry.index());
        ensure("S9", first == entry.index(), || {
            format!("write {} is committed at {first} and again at {}", write.id, entry.index())
        })
    }

    /// `member` has applied everything up to `index`, and this is the hash its store has of itself.
    ///
    /// # Errors
    /// S5 when another store had another one there.
    pub fn stored(&mut self, member: MemberId, index: Index, hash: u64) -> Verdict {
        let first = *self.stores.entry(index).or_insert(hash);
        ensure("S5", first == hash, || format!("the store of {member} at {index} differs from another one's there"))
    }

    /// `member` applies an entry and is then at `after`; before, it was at `before`.
    ///
    /// # Errors
    /// S5 when it is not the next one, or not the committed one.
    pub fn applied(&self, member: MemberId, before: Index, after: Base) -> Verdict {
        ensure("S5", after.last.index == before.next(), || {
            format!("{member} applies {} when it is at {before}", after.last)
        })?;
        let committed = self.at(after.last.index);
        ensure("S5", committed.is_some_and(|committed| *committed == after), || {
            format!("{member} applies {}, committed is {:?}", after.last, committed.map(|base| base.last))
        })
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
