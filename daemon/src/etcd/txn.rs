//! Transactions: what makes one fit to be carried out, and what it answers.

use super::Api;
use super::budget::Share;
use super::kv::{CheckedRange, is_present, key_range, mismatched};
use super::limits::TXN_DEPTH_MAX;
use super::overlap::{Writes, check_writes};
use super::proto::etcdserverpb as pb;
use super::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use super::proto::etcdserverpb::request_op::Request;
use super::proto::etcdserverpb::response_op::Response;
use super::quota::put_bytes;
use super::status::Refusal;
use mvcc::{Body, Done, Op, OpReply, Relation, Reply, Revision, Target};
use std::sync::Arc;

impl Api {
    /// What came of it, and the share of the memory for responses that it stands on.
    pub(super) async fn txn(self: &Arc<Self>, txn: pb::TxnRequest) -> Result<(pb::TxnResponse, Share), Refusal> {
        let CheckedTxn { txn, serializable } = check(txn, self.limits.txn_ops_max)?;
        if txn.is_read_only() {
            return self.read_only_txn(txn, serializable).await;
        }
        if txn.contains_put() {
            self.admit_space(put_bytes(&txn)).await?;
        }
        match self.propose(Body::Txn(txn)).await? {
            Done { revision, reply: Reply::Txn(reply) } => {
                let response = pb::TxnResponse { header: self.header_at(revision), ..reply.into() };
                Ok((response, self.responses.share()))
            }
            other => Err(mismatched(&other)),
        }
    }

    /// Changes nothing, so it needs no place in the log: it is a read of one state of the store.
    async fn read_only_txn(
        self: &Arc<Self>,
        txn: mvcc::Txn,
        serializable: bool,
    ) -> Result<(pb::TxnResponse, Share), Refusal> {
        if !serializable {
            self.node.linearize().await?;
        }
        let now = if is_short(&txn) { self.metered_now(|store, room| store.read_txn_now(&txn, room)) } else { None };
        let (reply, share) = match now {
            Some(read) => read?,
            None => self.metered_elsewhere(move |store, room| store.read_txn(&txn, room)).await?,
        };
        Ok((pb::TxnResponse { header: self.header_at(reply.revision), ..reply.into() }, share))
    }
}

/// Whether reading it where the request is delays nobody.
fn is_short(txn: &mvcc::Txn) -> bool {
    let one_key = |op: &Op| matches!(op, Op::Range(range) if range.range.is_one() && is_present(range));
    txn.compares.iter().all(|compare| compare.range.is_one()) && txn.success.iter().chain(&txn.failure).all(one_key)
}

/// A transaction that was looked at and is fit to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTxn {
    /// What to do.
    pub txn: mvcc::Txn,
    /// Whether every range in it is content with what this member has.
    pub serializable: bool,
}

/// Looks at the whole transaction, nested ones included: keys, numbers of operations, and that no key is written
/// twice.
///
/// # Errors
/// [`Refusal`], as the client hears it.
pub fn check(txn: pb::TxnRequest, ops_max: usize) -> Result<CheckedTxn, Refusal> {
    let mut reading = Reading { serializable: true, spans_left: ops_max };
    let txn = reading.txn(txn, ops_max, 1)?;
    // Only now, as the checks before bound what this one costs.
    check_writes(&txn.success, &mut Writes::default())?;
    check_writes(&txn.failure, &mut Writes::default())?;
    Ok(CheckedTxn { txn, serializable: reading.serializable })
}

struct Reading {
    serializable: bool,
    /// So many more times many keys may be visited.
    spans_left: usize,
}

impl Reading {
    /// A nested transaction may have as many operations as the longest list around it leaves.
    fn txn(&mut self, txn: pb::TxnRequest, ops_max: usize, depth: usize) -> Result<mvcc::Txn, Refusal> {
        let longest = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
        if longest > ops_max || depth > TXN_DEPTH_MAX {
            return Err(Refusal::TooManyOps);
        }
        let rest = ops_max - longest;
        let txn = mvcc::Txn {
            compares: txn.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
            success: self.ops(txn.success, rest, depth)?,
            failure: self.ops(txn.failure, rest, depth)?,
        };
        self.spans_left = self.spans_left.checked_sub(spans(&txn)).ok_or(Refusal::TooManyOps)?;
        Ok(txn)
    }

    fn ops(&mut self, ops: Vec<pb::RequestOp>, ops_max: usize, depth: usize) -> Result<Vec<Op>, Refusal> {
        ops.into_iter().map(|op| self.op(op, ops_max, depth)).collect()
    }

    fn op(&mut self, op: pb::RequestOp, ops_max: usize, depth: usize) -> Result<Op, Refusal> {
        // An operation that says nothing is, to etcd, one whose key is not there.
        match op.request.ok_or(Refusal::KeyNotFound)? {
            Request::RequestRange(range) => {
                let range = CheckedRange::try_from(range)?;
                self.serializable &= range.serializable;
                Ok(Op::Range(range.request))
            }
            Request::RequestPut(put) => Ok(Op::Put(put.try_into()?)),
            Request::RequestDeleteRange(delete) => Ok(Op::DeleteRange(delete.try_into()?)),
            Request::RequestTxn(txn) => Ok(Op::Txn(self.txn(txn, ops_max, depth + 1)?)),
        }
    }
}

/// How often a transaction visits many keys, its nested ones left out. Nested ones multiply: etcd lets each have what the
/// lists around it leave, and some thousands of ranges over all keys fit into one request. They are carried out at once,
/// on every member, so this is counted over all of them together. One alone may have as many as in etcd.
fn spans(txn: &mvcc::Txn) -> usize {
    let of = |ops: &[Op]| {
        let visits_many = |op: &&Op| match op {
            Op::Range(range) => !range.range.is_one(),
            Op::DeleteRange(delete) => !delete.range.is_one(),
            Op::Put(_) | Op::Txn(_) => false,
        };
        ops.iter().filter(visits_many).count()
    };
    let compares = txn.compares.iter().filter(|compare| !compare.range.is_one()).count();
    compares.max(of(&txn.success)).max(of(&txn.failure))
}

fn compare(compare: pb::Compare) -> Result<mvcc::Compare, Refusal> {
    let range = key_range(compare.key, compare.range_end)?;
    let relation = match CompareResult::try_from(compare.result).map_err(|_| Refusal::InvalidCompare)? {
        CompareResult::Equal => Relation::Equal,
        CompareResult::Greater => Relation::Greater,
        CompareResult::Less => Relation::Less,
        CompareResult::NotEqual => Relation::NotEqual,
    };
    let kind = CompareTarget::try_from(compare.target).map_err(|_| Refusal::InvalidCompare)?;
    Ok(mvcc::Compare { range, relation, target: target(kind, compare.target_union) })
}

/// What the key is compared with: a union of another kind than the target counts as zero or empty, as in etcd.
fn target(kind: CompareTarget, with: Option<TargetUnion>) -> Target {
    match (kind, with) {
        (CompareTarget::Version, Some(TargetUnion::Version(version))) => Target::Version(version),
        (CompareTarget::Version, _) => Target::Version(0),
        (CompareTarget::Create, Some(TargetUnion::CreateRevision(revision))) => Target::Create(Revision(revision)),
        (CompareTarget::Create, _) => Target::Create(Revision::ZERO),
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(revision))) => Target::Mod(Revision(revision)),
        (CompareTarget::Mod, _) => Target::Mod(Revision::ZERO),
        (CompareTarget::Value, Some(TargetUnion::Value(value))) => Target::Value(value),
        (CompareTarget::Value, _) => Target::Value(bytes::Bytes::new()),
        (CompareTarget::Lease, Some(TargetUnion::Lease(lease))) => Target::Lease(lease),
        (CompareTarget::Lease, _) => Target::Lease(0),
    }
}

impl From<mvcc::TxnReply> for pb::TxnResponse {
    fn from(reply: mvcc::TxnReply) -> Self {
        Self {
            header: super::kv::inner_header(reply.revision),
            succeeded: reply.succeeded,
            responses: reply.replies.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<OpReply> for pb::ResponseOp {
    fn from(reply: OpReply) -> Self {
        let response = match reply {
            OpReply::Range(range) => Response::ResponseRange(range.into()),
            OpReply::Put(put) => Response::ResponsePut(put.into()),
            OpReply::DeleteRange(delete) => Response::ResponseDeleteRange(delete.into()),
            OpReply::Txn(txn) => Response::ResponseTxn(txn.into()),
        };
        Self { response: Some(response) }
    }
}

#[cfg(test)]
#[path = "txn_tests.rs"]
mod tests;
