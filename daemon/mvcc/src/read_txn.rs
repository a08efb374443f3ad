//! A transaction that changes nothing, read in steps: all of it shows the revision it began at. Older versions stay while
//! it needs them, so that the state may go on meanwhile.

use crate::command::{Compare, Op, Txn};
use crate::compare::Comparing;
use crate::error::{Fault, ReadError};
use crate::outcome::{OpReply, TxnReply};
use crate::range::{RangeRequest, RangeResult};
use crate::read::{Found, Progress, Range, Room};
use crate::state::State;
use crate::store::{Pin, READ_KEYS_PER_HOLD, Store};
use crate::txn::{at, branch};
use crate::types::Revision;
use std::sync::RwLockReadGuard;

/// See the module.
pub(crate) struct ReadingTxn<'a> {
    store: &'a Store,
    /// Always there between two calls.
    state: Option<RwLockReadGuard<'a, State>>,
    /// What it shows.
    revision: i64,
    /// Which state it began with.
    replaced: u64,
    /// What it still needs.
    pins: Vec<(i64, Pin<'a>)>,
}

impl<'a> ReadingTxn<'a> {
    pub(crate) fn begin(store: &'a Store) -> Self {
        Self::begin_with(store, store.read())
    }

    pub(crate) fn begin_with(store: &'a Store, state: RwLockReadGuard<'a, State>) -> Self {
        Self { store, revision: state.head.revision, replaced: state.replaced, state: Some(state), pins: Vec::new() }
    }

    /// `None` if the state was replaced meanwhile, which is rare: the transaction begins anew then.
    pub(crate) fn read(mut self, txn: &Txn, room: &mut Room<'_>) -> Result<Option<TxnReply>, ReadError> {
        assert!(txn.is_read_only(), "what may write goes through the log");
        let Some(succeeded) = self.compare(&txn.compares)? else { return Ok(None) };
        let ops = branch(txn, succeeded);
        let ranges = || ops.iter().filter_map(|op| if let Op::Range(range) = op { Some(range) } else { None });
        for range in ranges() {
            self.state().check_inner_range(range.revision)?;
        }
        let mut replies = Vec::with_capacity(ops.len());
        let mut before = Found::default();
        for range in ranges() {
            let mut all = before;
            let mut has_room = |found| {
                all = before.and(found);
                room(all)
            };
            let Some(found) = self.range(range, &mut has_room)? else { return Ok(None) };
            before = all;
            replies.push(OpReply::Range(found));
        }
        Ok(Some(TxnReply { revision: Revision(self.revision), succeeded, replies }))
    }

    fn compare(&mut self, compares: &[Compare]) -> Result<Option<bool>, Fault> {
        for compare in compares {
            let mut comparing = Comparing::begin(compare, self.revision);
            while comparing.advance(self.state(), READ_KEYS_PER_HOLD)? == Progress::More {
                if !self.pause(self.revision) {
                    return Ok(None);
                }
            }
            if !comparing.holds() {
                return Ok(Some(false));
            }
            if !compare.range.is_one() && !self.pause(self.revision) {
                return Ok(None);
            }
        }
        Ok(Some(true))
    }

    fn range(&mut self, request: &RangeRequest, room: &mut Room<'_>) -> Result<Option<RangeResult>, ReadError> {
        // An older revision than that of the transaction may have been compacted since it was looked at first.
        self.state().check_inner_range(request.revision)?;
        let at = at(request, self.revision);
        let mut range = Range::begin(self.state(), request, (self.revision, at), room)?;
        while range.advance(self.state(), READ_KEYS_PER_HOLD)? == Progress::More {
            if !self.pause(at) {
                return Ok(None);
            }
        }
        let found = range.finish(self.state())?.ok_or(ReadError::NoRoom)?;
        Ok((request.range.is_one() || self.pause(self.revision)).then_some(found))
    }

    fn state(&self) -> &State {
        self.state.as_ref().expect("it is given up only within a pause")
    }

    /// Lets others at the state, who leave what is visible at `at` and at the transaction's own revision. Whether it is
    /// still the same state afterwards.
    fn pause(&mut self, at: i64) -> bool {
        for needed in [self.revision, at] {
            if self.pins.iter().all(|(pinned, _)| *pinned != needed) {
                self.pins.push((needed, self.store.pin(needed)));
            }
        }
        self.state = None;
        let state = self.store.read();
        let same = state.replaced == self.replaced;
        self.state = Some(state);
        same
    }
}
