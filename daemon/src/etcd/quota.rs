//! The space quota: puts are refused before the disk is full, so that deletes and compactions still have room.
//!
//! A member that finds itself at the quota raises the NOSPACE alarm through the log. From then on every member
//! refuses puts when it applies them, until the alarm is disarmed.

use super::Api;
use super::status::Refusal;
use mvcc::{Alarm, AlarmAction, AlarmChange, AlarmKind, Body};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::warn;

/// What a key takes besides its bytes: metadata, twice, and its share of the pages above it. etcd's own figure.
const KEY_OVERHEAD_BYTES: usize = 256;

/// Whether an alarm is being raised already.
#[derive(Debug, Default)]
pub(super) struct Quota {
    raising: AtomicBool,
}

impl Api {
    /// Refuses a write of `bytes` of keys and values that would pass the quota, and raises the alarm.
    pub(super) fn admit_space(self: &Arc<Self>, bytes: usize) -> Result<(), Refusal> {
        let Some(quota) = self.limits.quota_bytes else { return Ok(()) };
        let needed = (bytes + KEY_OVERHEAD_BYTES) as u64;
        if self.node.store().size().in_use.saturating_add(needed) < quota {
            return Ok(());
        }
        if !self.quota.raising.swap(true, Ordering::AcqRel) {
            tokio::spawn(Arc::clone(self).raise_no_space());
        }
        Err(Refusal::NoSpace)
    }

    async fn raise_no_space(self: Arc<Self>) {
        let alarm = Alarm { kind: AlarmKind::NoSpace, member: self.node.identity().member.0 };
        if !self.node.store().alarms().contains(&alarm) {
            warn!(quota_bytes = self.limits.quota_bytes, "the space quota is used up: puts are refused from now on");
            let raise = Body::Alarm(AlarmChange { action: AlarmAction::Activate, alarm });
            if let Err(error) = self.node.propose(raise).await {
                warn!(%error, "could not raise the alarm, the next put will try again");
            }
        }
        self.quota.raising.store(false, Ordering::Release);
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
