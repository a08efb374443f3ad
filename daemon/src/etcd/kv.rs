//! Reading, writing and deleting keys, and forgetting history: the KV service but for its transactions.
//!
//! A linearizable read asks the node for permission and then reads the store here; a serializable one reads at once.
//! What may be long runs on threads of its own, so that a large range delays nobody.

use super::Api;
use super::budget::{Metered, Share};
use super::proto::etcdserverpb as pb;
use super::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use super::proto::mvccpb;
use super::status::Refusal;
use mvcc::{Body, Done, KeyRange, Reply, Revision, Room, Sort, Store};
use std::sync::Arc;

/// A range of at most so many keys is read where the request is: handing it to another thread costs more.
const INLINE_KEYS_MAX: i64 = 32;

/// Rows swept in one commit while a client waits for it: some ten milliseconds of the disk.
const SWEEP_ROWS: usize = 10_000;

/// What the store answers to a read.
type Read<T> = Result<T, mvcc::ReadError>;

/// What a generated service answers.
pub(super) type Answer<T> = Result<tonic::Response<T>, tonic::Status>;

impl Api {
    /// What was found, and the share of the memory for responses that it stands on.
    pub(super) async fn range(
        self: &Arc<Self>,
        range: pb::RangeRequest,
    ) -> Result<(pb::RangeResponse, Share), Refusal> {
        let CheckedRange { request, serializable } = range.try_into()?;
        self.admit_range(serializable)?;
        if !serializable {
            self.node.linearize().await?;
        }
        let now =
            if is_short(&request) { self.metered_now(|store, room| store.range_now(&request, room)) } else { None };
        let (result, share) = match now {
            Some(read) => read?,
            None => self.metered_elsewhere(move |store, room| store.range_within(&request, room)).await?,
        };
        let mut response = pb::RangeResponse::from(result);
        response.header = self.header_at(revision_of(response.header));
        Ok((response, share))
    }

    /// Reads within the memory for responses.
    pub(super) fn metered<T>(
        &self,
        read: impl FnOnce(&Store, &mut Room<'_>) -> Read<T>,
    ) -> Result<(T, Share), Refusal> {
        let mut metered = Metered::new(&self.responses);
        let read = read(self.node.store(), &mut |found| metered.has_room(found));
        metered.finish(read)
    }

    /// The same where it is, if it takes no waiting for others: `None` if it does.
    pub(super) fn metered_now<T>(
        &self,
        read: impl FnOnce(&Store, &mut Room<'_>) -> Option<Read<T>>,
    ) -> Option<Result<(T, Share), Refusal>> {
        let mut metered = Metered::new(&self.responses);
        let read = read(self.node.store(), &mut |found| metered.has_room(found))?;
        Some(metered.finish(read))
    }

    /// The same where it delays nobody.
    pub(super) async fn metered_elsewhere<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store, &mut Room<'_>) -> Read<T> + Send + 'static,
    ) -> Result<(T, Share), Refusal> {
        let api = Arc::clone(self);
        self.reads.run(move || api.metered(read)).await?
    }

    pub(super) async fn put(self: &Arc<Self>, put: pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
        let put = mvcc::Put::try_from(put)?;
        self.admit_space(put.key.len() + put.value.len()).await?;
        match self.propose(Body::Put(put)).await? {
            Done { revision, reply: Reply::Put(reply) } => {
                Ok(pb::PutResponse { header: self.header_at(revision), ..reply.into() })
            }
            other => Err(mismatched(&other)),
        }
    }

    pub(super) async fn delete_range(
        &self,
        delete: pb::DeleteRangeRequest,
    ) -> Result<pb::DeleteRangeResponse, Refusal> {
        match self.propose(Body::DeleteRange(delete.try_into()?)).await? {
            Done { revision, reply: Reply::DeleteRange(reply) } => {
                Ok(pb::DeleteRangeResponse { header: self.header_at(revision), ..reply.into() })
            }
            other => Err(mismatched(&other)),
        }
    }

    pub(super) async fn compact(
        self: &Arc<Self>,
        compact: pb::CompactionRequest,
    ) -> Result<pb::CompactionResponse, Refusal> {
        let revision = Revision(compact.revision);
        let done = self.propose(Body::Compact { revision }).await?;
        if compact.physical {
            self.reclaim().await?;
        }
        Ok(pb::CompactionResponse { header: self.header_at(done.revision) })
    }

    /// Sweeps what is compacted out of the storage of this member, and returns when nothing is left.
    pub(super) async fn reclaim(self: &Arc<Self>) -> Result<(), Refusal> {
        let store = Arc::clone(self.node.store());
        let sweep = move || {
            while store.flush(SWEEP_ROWS)?.sweep_pending {}
            Ok::<_, mvcc::Fault>(())
        };
        self.sweeps.run(sweep).await?.map_err(|fault| Refusal::from(mvcc::ReadError::Fault(fault)))
    }

    /// Has a command carried out by the cluster.
    pub(super) async fn propose(&self, body: Body) -> Result<Done, Refusal> {
        self.admit_write()?;
        let done = self.node.propose(body).await?.outcome?;
        // It is carried out all the same, as when etcd has no room for a response.
        if done.reply == Reply::LeftOut { Err(Refusal::ResponseTooLarge) } else { Ok(done) }
    }
}

/// The store answered another kind of command: this member cannot be trusted to answer.
pub(super) fn mismatched(done: &Done) -> Refusal {
    tracing::error!(reply = ?done.reply, "the store answered another kind of command");
    Refusal::Stopped
}

/// Whether reading it where the request is delays nobody.
pub(super) fn is_short(request: &mvcc::RangeRequest) -> bool {
    let any_order = request.sort != Sort::default();
    let filtered =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    let pushed_down = !any_order && filtered == [Revision::ZERO; 4];
    is_present(request) && (request.range.is_one() || (pushed_down && (1..=INLINE_KEYS_MAX).contains(&request.limit)))
}

/// How long a read of the past takes depends on how much has changed since.
pub(super) fn is_present(request: &mvcc::RangeRequest) -> bool {
    request.revision <= Revision::ZERO
}

fn revision_of(header: Option<pb::ResponseHeader>) -> Revision {
    Revision(header.map_or(0, |header| header.revision))
}

/// A range that was looked at and is fit to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRange {
    /// What to read.
    pub request: mvcc::RangeRequest,
    /// Whether what this member has will do.
    pub serializable: bool,
}

impl TryFrom<pb::RangeRequest> for CheckedRange {
    type Error = Refusal;

    fn try_from(range: pb::RangeRequest) -> Result<Self, Refusal> {
        Ok(Self { serializable: range.serializable, request: range_request(range)? })
    }
}

fn range_request(range: pb::RangeRequest) -> Result<mvcc::RangeRequest, Refusal> {
    Ok(mvcc::RangeRequest {
        range: key_range(range.key, range.range_end)?,
        sort: sort(range.sort_order, range.sort_target)?,
        revision: Revision(range.revision),
        limit: range.limit,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: Revision(range.min_mod_revision),
        max_mod_revision: Revision(range.max_mod_revision),
        min_create_revision: Revision(range.min_create_revision),
        max_create_revision: Revision(range.max_create_revision),
    })
}

fn sort(order: i32, target: i32) -> Result<Sort, Refusal> {
    let order = match SortOrder::try_from(order).map_err(|_| Refusal::InvalidSortOption)? {
        SortOrder::None => mvcc::SortOrder::None,
        SortOrder::Ascend => mvcc::SortOrder::Ascend,
        SortOrder::Descend => mvcc::SortOrder::Descend,
    };
    let target = match SortTarget::try_from(target).map_err(|_| Refusal::InvalidSortOption)? {
        SortTarget::Key => mvcc::SortTarget::Key,
        SortTarget::Version => mvcc::SortTarget::Version,
        SortTarget::Create => mvcc::SortTarget::Create,
        SortTarget::Mod => mvcc::SortTarget::Mod,
        SortTarget::Value => mvcc::SortTarget::Value,
    };
    Ok(Sort { order, target })
}

/// A request has a key; an empty end names the key alone.
pub(super) fn key_range(key: bytes::Bytes, end: bytes::Bytes) -> Result<KeyRange, Refusal> {
    if key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(KeyRange { key, end }) }
}

impl TryFrom<pb::PutRequest> for mvcc::Put {
    type Error = Refusal;

    fn try_from(put: pb::PutRequest) -> Result<Self, Refusal> {
        if put.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        if put.ignore_value && !put.value.is_empty() {
            return Err(Refusal::ValueProvided);
        }
        if put.ignore_lease && put.lease != 0 {
            return Err(Refusal::LeaseProvided);
        }
        let pb::PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease } = put;
        Ok(Self { key, value, lease, prev_kv, ignore_value, ignore_lease })
    }
}

impl TryFrom<pb::DeleteRangeRequest> for mvcc::DeleteRange {
    type Error = Refusal;

    fn try_from(delete: pb::DeleteRangeRequest) -> Result<Self, Refusal> {
        Ok(Self { range: key_range(delete.key, delete.range_end)?, prev_kv: delete.prev_kv })
    }
}

impl From<mvcc::KeyValue> for mvccpb::KeyValue {
    fn from(kv: mvcc::KeyValue) -> Self {
        Self {
            key: kv.key,
            create_revision: kv.create_revision.0,
            mod_revision: kv.mod_revision.0,
            version: kv.version,
            value: kv.value,
            lease: kv.lease,
        }
    }
}

/// The header of an operation inside a transaction: the revision alone, as etcd does.
pub(super) fn inner_header(revision: Revision) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision: revision.0, ..Default::default() })
}

impl From<mvcc::RangeResult> for pb::RangeResponse {
    fn from(result: mvcc::RangeResult) -> Self {
        Self {
            header: inner_header(result.revision),
            kvs: result.kvs.into_iter().map(Into::into).collect(),
            more: result.more,
            count: result.count,
        }
    }
}

impl From<mvcc::PutReply> for pb::PutResponse {
    fn from(reply: mvcc::PutReply) -> Self {
        Self { header: inner_header(reply.revision), prev_kv: reply.prev.map(Into::into) }
    }
}

impl From<mvcc::DeleteRangeReply> for pb::DeleteRangeResponse {
    fn from(reply: mvcc::DeleteRangeReply) -> Self {
        Self {
            header: inner_header(reply.revision),
            deleted: reply.deleted,
            prev_kvs: reply.prev.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
#[path = "kv_tests.rs"]
mod tests;
