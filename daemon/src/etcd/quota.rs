//! The space quota: puts are refused before the disk is full, so that deletes and compactions still have room.
//!
//! A member that finds itself at the quota raises the NOSPACE alarm through the log. From then on every member
//! refuses puts when it applies them, until the alarm is disarmed.

use super::Api;
use super::status::Refusal;
use mvcc::{Alarm, AlarmAction, AlarmChange, AlarmKind, Body, Store};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tracing::warn;

/// What a key takes besides its bytes: metadata, twice, and its share of the pages above it. etcd's own figure.
const KEY_OVERHEAD_BYTES: usize = 256;

/// How often the store is asked for its size. In between, what was let in is added: a look costs a lock that the
/// apply thread takes too.
const LOOK_EVERY_MS: u64 = 100;

/// What is known of the space in use.
#[derive(Debug)]
pub(super) struct Quota {
    /// Whether an alarm is being raised already.
    raising: AtomicBool,
    /// The bytes in use at the last look, and what was let in since.
    used: AtomicU64,
    /// When to look next, in milliseconds since `began`.
    look_at: AtomicU64,
    began: Instant,
}

/// The alarm is being raised for as long as this lives.
struct Raising<'a>(&'a AtomicBool);

impl Drop for Raising<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            raising: AtomicBool::default(),
            used: AtomicU64::default(),
            look_at: AtomicU64::default(),
            began: Instant::now(),
        }
    }
}

impl Quota {
    /// Whether `needed` more bytes stay below `limit_bytes`; what is let in is counted. Nothing is refused on a figure
    /// of earlier: room made since the last look is room.
    fn admits(&self, needed: u64, limit_bytes: u64, store: &Store) -> bool {
        if self.look_is_due() {
            self.look(store);
        }
        let fits = |used: u64| used.saturating_add(needed) < limit_bytes;
        if !fits(self.used.load(Ordering::Relaxed)) {
            self.look(store);
        }
        let fits = fits(self.used.load(Ordering::Relaxed));
        if fits {
            self.used.fetch_add(needed, Ordering::Relaxed);
        }
        fits
    }

    /// Whether nobody is raising the alarm; what is given ends with the raising, also when the client goes away
    /// meanwhile.
    fn begin_raising(&self) -> Option<Raising<'_>> {
        (!self.raising.swap(true, Ordering::AcqRel)).then_some(Raising(&self.raising))
    }

    fn look(&self, store: &Store) {
        self.used.store(store.size().in_use, Ordering::Relaxed);
    }

    /// Whoever moves the time of the next look is the one to look now.
    fn look_is_due(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.look_at.load(Ordering::Relaxed);
        let next = now.saturating_add(LOOK_EVERY_MS);
        now >= due && self.look_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Api {
    /// Refuses a write of `bytes` of keys and values that would pass the quota. The alarm is raised before the refusal
    /// is told, as etcd does it: whoever was refused finds it in the list. Of requests refused meanwhile the first
    /// raises it for all.
    pub(super) async fn admit_space(&self, bytes: usize) -> Result<(), Refusal> {
        let Some(quota) = self.limits.quota_bytes else { return Ok(()) };
        if self.quota.admits((bytes + KEY_OVERHEAD_BYTES) as u64, quota, self.node.store()) {
            return Ok(());
        }
        if let Some(_raising) = self.quota.begin_raising() {
            self.raise_no_space().await;
        }
        Err(Refusal::NoSpace)
    }

    async fn raise_no_space(&self) {
        let alarm = Alarm { kind: AlarmKind::NoSpace, member: self.node.identity().member.0 };
        if self.node.store().alarms().contains(&alarm) {
            return;
        }
        warn!(quota_bytes = self.limits.quota_bytes, "the space quota is used up: puts are refused from now on");
        let raise = Body::Alarm(AlarmChange { action: AlarmAction::Activate, alarm });
        if let Err(error) = self.node.propose(raise).await {
            warn!(%error, "could not raise the alarm, the next put will try again");
        }
    }
}

/// The bytes of keys and values a transaction may put: the larger of its branches, as only one is taken.
pub(super) fn put_bytes(txn: &mvcc::Txn) -> usize {
    let branch = |ops: &[mvcc::Op]| -> usize { ops.iter().map(op_bytes).sum() };
    branch(&txn.success).max(branch(&txn.failure))
}

fn op_bytes(op: &mvcc::Op) -> usize {
    match op {
        mvcc::Op::Put(put) => put.key.len() + put.value.len() + KEY_OVERHEAD_BYTES,
        mvcc::Op::Txn(txn) => put_bytes(txn),
        mvcc::Op::Range(_) | mvcc::Op::DeleteRange(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mvcc::MemoryBackend;
    use std::sync::Arc;

    /// A quota whose next look by the clock never comes, and which believes that so much is used.
    fn believing(used: u64) -> Quota {
        Quota { look_at: AtomicU64::new(u64::MAX), used: AtomicU64::new(used), ..Quota::default() }
    }

    #[test]
    fn what_was_let_in_counts_before_the_next_look() {
        let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
        let quota = believing(1_000);
        assert!(quota.admits(10, 2_000, &store));
        assert!(quota.admits(10, 2_000, &store));
        assert_eq!(quota.used.load(Ordering::Relaxed), 1_020);
    }

    #[test]
    fn room_made_since_the_last_look_is_room() {
        let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
        let quota = believing(2_000);
        assert!(quota.admits(10, 2_000, &store));
        assert_eq!(quota.used.load(Ordering::Relaxed), store.size().in_use + 10);
    }

    #[test]
    fn what_is_refused_takes_no_room() {
        let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
        let quota = believing(0);
        assert!(!quota.admits(2_000, 2_000, &store));
        assert_eq!(quota.used.load(Ordering::Relaxed), store.size().in_use);
        assert!(quota.admits(10, 2_000, &store));
    }

    #[test]
    fn of_two_branches_the_larger_counts() {
        let put = |bytes: usize| mvcc::Op::Put(mvcc::Put { value: vec![0; bytes].into(), ..<_>::default() });
        let inner = mvcc::Txn { failure: vec![put(500)], ..<_>::default() };
        let txn = mvcc::Txn { success: vec![put(1)], failure: vec![mvcc::Op::Txn(inner)], ..<_>::default() };
        assert_eq!(put_bytes(&txn), 500 + KEY_OVERHEAD_BYTES);
    }
}
