//! The store: one applier, many readers, and rounds of flushing, over one [`Backend`].
//!
//! A lock guards the [`State`]. The applier holds it for a few commands at a time and a read for a few hundred keys,
//! so neither keeps the other waiting for long; a read that takes several steps pins its revision in between.

use crate::apply::{ANSWERS_BYTES_MAX, Applier};
use crate::backend::Backend;
use crate::command::{Command, Txn};
use crate::error::{Fault, ReadError};
use crate::events::Events;
use crate::flush::{Flushed, Round};
use crate::hash::{HashKv, Hashing};
use crate::image::Image;
use crate::outcome::{Outcome, TxnReply};
use crate::range::{RangeRequest, RangeResult};
use crate::read::{Progress, Range, Room};
use crate::read_txn::ReadingTxn;
use crate::shown::Shown;
use crate::state::State;
use crate::types::Revision;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

/// Commands applied under one hold of the lock: some 100 microseconds of readers waiting.
const APPLY_COMMANDS_PER_HOLD: usize = 32;

/// Keys visited under one hold of the lock: some 300 microseconds of the applier waiting.
pub(crate) const READ_KEYS_PER_HOLD: usize = 256;

/// Rows hashed under one hold of the lock, likewise.
const HASH_ROWS_PER_HOLD: usize = 512;

/// One command with its place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Apply<'a> {
    /// Its index.
    pub index: u64,
    /// What it says.
    pub command: &'a Command,
    /// Whether a client waits for its outcome at this member. Elsewhere the outcome tells the same success or
    /// refusal but leaves out what only the client would see: the keys of ranges, and previous values. Here it leaves
    /// them out, too, if a batch has found more than [`ANSWERS_BYTES_MAX`] of them: then the reply is
    /// [`Reply::LeftOut`](crate::Reply::LeftOut).
    pub answered: bool,
}

/// A state that is ready to take the place of a store's: see [`Store::prepare`].
pub struct Replacement(Box<State>);

impl Replacement {
    /// The index of the last command in it.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.0.head.applied
    }

    /// The hash of everything applied to it.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.0.head.state_hash
    }
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replacement({})", self.applied())
    }
}

/// The replicated key-value state of one member.
pub struct Store {
    state: RwLock<State>,
    /// Where the state stands, for those who do not want to wait for it.
    pub(crate) shown: Shown,
    /// Revisions that reads in several steps still need, with how many of them.
    pins: Mutex<BTreeMap<i64, usize>>,
    /// Held by the round of flushing under way.
    round: Mutex<()>,
}

impl Store {
    /// Opens what the backend holds; an empty one is a new store. Visits every key once, to count them.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails or holds something else.
    pub fn open(backend: Arc<dyn Backend>) -> Result<Self, Fault> {
        let state = State::load(backend)?;
        let shown = Shown::of(&state);
        Ok(Self { state: RwLock::new(state), shown, pins: Mutex::default(), round: Mutex::default() })
    }

    /// Makes a state of what another backend holds, to be put in the place of this store's. Blocks nobody.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails or holds something else.
    pub fn prepare(backend: Arc<dyn Backend>) -> Result<Replacement, Fault> {
        State::load(backend).map(|state| Replacement(Box::new(state)))
    }

    /// Goes on with another state, which is that of a later index: everything applied here is in it. A round of
    /// flushing under way is waited for, and what was not flushed is dropped; reads in several steps begin anew.
    ///
    /// # Panics
    /// If the other state is older.
    pub fn replace(&self, replacement: Replacement) {
        let _round = self.lock_round();
        let mut state = self.write();
        let mut new = *replacement.0;
        assert!(new.head.applied >= state.head.applied, "a store only goes forward");
        new.replaced = state.replaced + 1;
        let old = std::mem::replace(&mut *state, new);
        drop(state);
        drop(old); // closes a file, which may take a while
    }

    /// Applies commands in the order of the log and tells what each led to.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails. The member must then stop: commands before the failing one are applied.
    ///
    /// # Panics
    /// If an index is not beyond the last one applied.
    pub fn apply(&self, batch: &[Apply<'_>]) -> Result<Vec<Outcome>, Fault> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut room = ANSWERS_BYTES_MAX;
        for part in batch.chunks(APPLY_COMMANDS_PER_HOLD) {
            let mut state = self.write();
            for apply in part {
                let applier = Applier::new(&mut state, apply.answered, &mut room);
                outcomes.push(applier.apply(apply.index, apply.command)?);
            }
        }
        Ok(outcomes)
    }

    /// Moves the applied index over entries that carry no command.
    pub fn advance(&self, index: u64) {
        let mut state = self.write();
        if index > state.head.applied {
            state.head.applied = index;
            state.head.fold(index);
        }
    }

    /// Reads keys at one revision.
    ///
    /// # Errors
    /// Refusals for revisions out of reach; [`Fault`] if the storage fails.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, ReadError> {
        self.range_within(request, &mut |_| true)
    }

    /// As [`Store::range`], but gives up once there is no room for what it has found.
    ///
    /// # Errors
    /// As [`Store::range`], and [`ReadError::NoRoom`].
    pub fn range_within(&self, request: &RangeRequest, room: &mut Room<'_>) -> Result<RangeResult, ReadError> {
        loop {
            if let Some(result) = self.try_range(request, room)? {
                return Ok(result);
            }
        }
    }

    /// `None` if the state was replaced meanwhile, which is rare: the range begins anew then.
    fn try_range(&self, request: &RangeRequest, room: &mut Room<'_>) -> Result<Option<RangeResult>, ReadError> {
        let mut state = self.read();
        let replaced = state.replaced;
        let at = state.resolve(request.revision)?;
        let mut range = Range::begin(&state, request, (state.head.revision, at), room)?;
        let mut pin = None;
        while range.advance(&state, READ_KEYS_PER_HOLD)? == Progress::More {
            pin.get_or_insert_with(|| self.pin(range.at()));
            drop(state);
            state = self.read();
            if state.replaced != replaced {
                return Ok(None);
            }
        }
        range.finish(&state)?.map(Some).ok_or(ReadError::NoRoom)
    }

    /// As [`Store::range_within`], but only if that takes one short step and no waiting; `None` if it does not, and
    /// `room` may have been told of something by then.
    pub fn range_now(&self, request: &RangeRequest, room: &mut Room<'_>) -> Option<Result<RangeResult, ReadError>> {
        let state = self.try_read()?;
        let at = match state.resolve(request.revision) {
            Ok(at) => at,
            Err(refusal) => return Some(Err(refusal.into())),
        };
        let mut read = || {
            let mut range = Range::begin(&state, request, (state.head.revision, at), room)?;
            match range.advance(&state, READ_KEYS_PER_HOLD)? {
                Progress::More => Ok(None),
                Progress::Done => range.finish(&state)?.map(Some).ok_or(ReadError::NoRoom),
            }
        };
        read().transpose()
    }

    /// Evaluates a transaction of which [`Txn::is_read_only`] is true, without the log. `room` hears of all its ranges
    /// together.
    ///
    /// # Errors
    /// As [`Store::range_within`].
    ///
    /// # Panics
    /// If the transaction could write.
    pub fn read_txn(&self, txn: &Txn, room: &mut Room<'_>) -> Result<TxnReply, ReadError> {
        loop {
            if let Some(reply) = ReadingTxn::begin(self).read(txn, room)? {
                return Ok(reply);
            }
        }
    }

    /// As [`Store::read_txn`], but only without waiting for those who change the state; `None` if that is not possible.
    /// For transactions of single keys, which take one short step.
    ///
    /// # Panics
    /// As [`Store::read_txn`].
    pub fn read_txn_now(&self, txn: &Txn, room: &mut Room<'_>) -> Option<Result<TxnReply, ReadError>> {
        ReadingTxn::begin_with(self, self.try_read()?).read(txn, room).transpose()
    }

    /// What happened at and after `from`, to keys that are `wanted`: whole revisions until `rows_max` rows were
    /// looked at. Cheap from a recent revision on, whose rows are still in memory.
    ///
    /// # Errors
    /// [`Refusal::Compacted`](crate::Refusal::Compacted) if `from` lies before the compacted revision; [`Fault`] if
    /// the storage fails.
    pub fn events(
        &self,
        from: Revision,
        rows_max: usize,
        prev_kv: bool,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Events, ReadError> {
        self.read().events(from, rows_max, prev_kv, &mut wanted)
    }

    /// Hashes the history up to `revision`, zero for the latest. Flushing waits for it no longer than a moment, but
    /// sweeping stands still.
    ///
    /// # Errors
    /// As [`Store::range`].
    pub fn hash_kv(&self, revision: Revision) -> Result<HashKv, ReadError> {
        loop {
            if let Some(hash) = self.try_hash_kv(revision)? {
                return Ok(hash);
            }
        }
    }

    /// `None` if the state was replaced meanwhile, which is rare: the hash begins anew then.
    fn try_hash_kv(&self, revision: Revision) -> Result<Option<HashKv>, ReadError> {
        let (mut hashing, replaced, _pin) = {
            let _round = self.lock_round(); // one that sweeps by an older plan is over now
            let state = self.read();
            let hashing = Hashing::begin(&state, revision)?;
            let pin = self.pin(hashing.swept());
            (hashing, state.replaced, pin)
        };
        loop {
            let state = self.read();
            if state.replaced != replaced {
                return Ok(None);
            }
            if hashing.advance(&state, HASH_ROWS_PER_HOLD)? {
                return Ok(Some(hashing.finish()));
            }
        }
    }

    /// Writes what was applied to the backend, in one durable commit, and sweeps about `sweep_rows` rows of what is
    /// compacted. Blocks the caller for the length of the commit, and nobody else: call it from a thread of its own.
    /// Rounds run one at a time.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails. The member must then stop.
    pub fn flush(&self, sweep_rows: usize) -> Result<Flushed, Fault> {
        let _round = self.lock_round();
        let (frozen, base, backend, through) = {
            let mut state = self.write();
            let through = state.sweep_limit(self.oldest_pin());
            (state.freeze(through), Arc::clone(&state.base), Arc::clone(&state.backend), through)
        };
        let Some(frozen) = frozen else {
            return Ok(Flushed { applied: self.durable(), sweep_pending: false });
        };
        let round = Round::plan(frozen, &*base, through, sweep_rows)?;
        round.commit(&*backend)?;
        let view = backend.view()?;
        let mut state = self.write();
        state.thaw(view, &round)?;
        let sweep_pending = state.head.swept < state.sweep_limit(self.oldest_pin());
        Ok(Flushed { applied: state.durable.applied, sweep_pending })
    }

    /// The store as it is now, to be sent to a member that lags too far behind. Flushes, and blocks like it.
    ///
    /// # Errors
    /// [`Fault`] if the storage fails.
    pub fn image(&self) -> Result<Image, Fault> {
        self.flush(0)?;
        let base = Arc::clone(&self.read().base);
        Image::new(base)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("a broken invariant ends the process")
    }

    pub(crate) fn write(&self) -> Writing<'_> {
        Writing { state: self.state.write().expect("a broken invariant ends the process"), shown: &self.shown }
    }

    /// `None` if somebody changes the state now, or is about to.
    fn try_read(&self) -> Option<RwLockReadGuard<'_, State>> {
        match self.state.try_read() {
            Ok(state) => Some(state),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => panic!("a broken invariant ends the process"),
        }
    }

    fn lock_round(&self) -> MutexGuard<'_, ()> {
        self.round.lock().expect("a broken invariant ends the process")
    }

    /// Keeps what a read at `revision` needs from being swept.
    pub(crate) fn pin(&self, revision: i64) -> Pin<'_> {
        *self.lock_pins().entry(revision).or_default() += 1;
        Pin { store: self, revision }
    }

    fn oldest_pin(&self) -> Option<i64> {
        self.lock_pins().first_key_value().map(|(revision, _)| *revision)
    }

    fn lock_pins(&self) -> MutexGuard<'_, BTreeMap<i64, usize>> {
        self.pins.lock().expect("a broken invariant ends the process")
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.read();
        write!(f, "Store({} @{})", Revision(state.head.revision), state.head.applied)
    }
}

/// The state as somebody changes it. It is shown before others can look at it.
pub(crate) struct Writing<'a> {
    state: RwLockWriteGuard<'a, State>,
    shown: &'a Shown,
}

impl Deref for Writing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.shown.follow(&self.state);
    }
}

/// A revision that a read in several steps is at.
pub(crate) struct Pin<'a> {
    store: &'a Store,
    revision: i64,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut pins = self.store.lock_pins();
        if let Some(count) = pins.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.revision);
            }
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
