//! Where a store stands, beside its lock.
//!
//! * Whoever has changed the state shows that before anybody else can see it. So what is told here is never older than
//!   what a read that is over has seen.
//! * Nobody waits here for commands or reads under way, however long they take: this is what a member's loop, its health
//!   checks and the headers of its answers ask.

use crate::backend::Backend;
use crate::command::PublishedMember;
use crate::head::Head;
use crate::staging::{Staged, StagedSnapshot};
use crate::state::State;
use crate::store::Store;
use crate::types::{Alarm, Revision, Size};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock, RwLockReadGuard};

/// What is shown of a state.
pub(crate) struct Shown(RwLock<Figures>);

struct Figures {
    numbers: Numbers,
    alarms: BTreeSet<Alarm>,
    members: BTreeMap<u64, PublishedMember>,
    staged: Staged,
    backend: Arc<dyn Backend>,
}

#[derive(Clone, Copy)]
struct Numbers {
    revision: i64,
    compacted: i64,
    applied: u64,
    durable: u64,
    state_hash: u64,
    in_use: u64,
    keys: u64,
    buffered_bytes: usize,
}

impl Shown {
    pub(crate) fn of(state: &State) -> Self {
        let Head { alarms, members, staged, .. } = state.head.clone();
        let backend = Arc::clone(&state.backend);
        Self(RwLock::new(Figures { numbers: Numbers::of(state), alarms, members, staged, backend }))
    }

    /// Shows this state from now on.
    pub(crate) fn follow(&self, state: &State) {
        let mut shown = self.0.write().expect("copying does not panic");
        shown.numbers = Numbers::of(state);
        // These change rarely, and comparing is cheaper than copying.
        follow(&mut shown.alarms, &state.head.alarms);
        follow(&mut shown.members, &state.head.members);
        follow(&mut shown.staged, &state.head.staged);
        if !Arc::ptr_eq(&shown.backend, &state.backend) {
            shown.backend = Arc::clone(&state.backend);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Figures> {
        self.0.read().expect("copying does not panic")
    }

    fn numbers(&self) -> Numbers {
        self.read().numbers
    }
}

impl Numbers {
    fn of(state: &State) -> Self {
        Self {
            revision: state.head.revision,
            compacted: state.head.compacted,
            applied: state.head.applied,
            durable: state.durable.applied,
            state_hash: state.head.state_hash,
            in_use: state.head.in_use,
            keys: state.ranks.total(),
            buffered_bytes: state.active.bytes() + state.frozen.as_ref().map_or(0, |frozen| frozen.bytes()),
        }
    }
}

fn follow<T: Clone + PartialEq>(shown: &mut T, now: &T) {
    if shown != now {
        shown.clone_from(now);
    }
}

impl Store {
    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.shown.numbers().revision)
    }

    /// The oldest readable revision; [`Revision::NEVER`] before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        Revision(self.shown.numbers().compacted)
    }

    /// The index of the last command applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.shown.numbers().applied
    }

    /// The applied index that would survive a crash now: replay starts after it.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shown.numbers().durable
    }

    /// About how much memory the rows take that are not in the backend yet.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.shown.numbers().buffered_bytes
    }

    /// A hash of everything applied, with the index it belongs to. The same on every member at the same index.
    #[must_use]
    pub fn state_hash(&self) -> (u64, u64) {
        let Numbers { applied, state_hash, .. } = self.shown.numbers();
        (applied, state_hash)
    }

    /// The alarms that are raised.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shown.read().alarms.iter().copied().collect()
    }

    /// What members have published of themselves, by id.
    #[must_use]
    pub fn members(&self) -> Vec<PublishedMember> {
        self.shown.read().members.values().cloned().collect()
    }

    /// The snapshots that are in object storage, those that are to be deleted included, in the order they were staged.
    #[must_use]
    pub fn staged(&self) -> Vec<StagedSnapshot> {
        let mut staged: Vec<_> = self.shown.read().staged.snapshots.values().copied().collect();
        staged.sort_by_key(|snapshot| (snapshot.index, snapshot.staged_ms));
        staged
    }

    /// The member that is to stage snapshots.
    #[must_use]
    pub fn stager(&self) -> Option<u64> {
        Some(self.shown.read().staged.stager).filter(|member| *member != 0)
    }

    /// The log index that a snapshot was asked for last; one that holds it answers.
    #[must_use]
    pub fn snapshot_wanted(&self) -> Option<u64> {
        Some(self.shown.read().staged.wanted).filter(|index| *index != 0)
    }

    /// How much disk the store takes; what is not in the backend yet counts as what it will take at least.
    #[must_use]
    pub fn size(&self) -> Size {
        let (backend, in_use) = {
            let shown = self.shown.read();
            (Arc::clone(&shown.backend), shown.numbers.in_use)
        };
        // May ask the disk.
        Size { allocated: backend.allocated().max(in_use), in_use }
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.shown.numbers().keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBackend;
    use crate::{Apply, Body, Command, Put, RangeRequest, RequestId};

    /// A store with one key.
    fn store() -> Store {
        let store = Store::open(Arc::new(MemoryBackend::default())).expect("memory does not fail");
        let put = Put { key: "k".into(), value: "v".into(), ..Put::default() };
        let command = Command { id: RequestId::default(), body: Body::Put(put) };
        let apply = Apply { index: 7, command: &command, answered: false };
        store.apply(&[apply]).expect("memory does not fail");
        store
    }

    #[test]
    fn what_is_shown_is_what_was_applied() {
        let store = store();
        assert_eq!((store.revision(), store.applied(), store.keys()), (Revision(2), 7, 1));
        assert!(store.buffered_bytes() > 0 && store.durable() == 0);
        store.advance(8);
        assert_eq!(store.state_hash().0, 8);
        store.flush(0).expect("memory does not fail");
        assert_eq!((store.durable(), store.buffered_bytes()), (8, 0));
    }

    #[test]
    fn nobody_waits_for_a_command_under_way_to_hear_where_the_store_stands() {
        let store = store();
        let _under_way = store.write();
        assert_eq!((store.revision(), store.size().in_use > 0, store.alarms()), (Revision(2), true, vec![]));
        let one = RangeRequest { range: crate::KeyRange::one("k"), ..RangeRequest::default() };
        assert!(store.range_now(&one, &mut |_| true).is_none(), "a read would have to wait");
    }
}
