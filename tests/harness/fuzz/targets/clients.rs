//! What clients and operators ask for: from bytes to the command or the change that comes of them.

use super::{again, verdict};
use crate::fuzz::{Target, Verdict};
use admin_api::{ChangeMembers, Id, RecoverQuorum, TransferLeader};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use mvcc::{Body, Command, MemoryBackend, Revision, Store};
use prost::Message;
use quorate::admin::{Refusal as AdminRefusal, changes, understood};
use quorate::bootstrap::{ClusterId, NodeInfo};
use quorate::etcd::grpc::read_message;
use quorate::etcd::limits::TXN_OPS_MAX;
use quorate::etcd::proto::etcdserverpb as pb;
use quorate::etcd::status::Refusal;
use quorate::etcd::{CheckedRange, check, peer_urls};
use quorate::node::{MemberView, MembersView};
use raft::{Index, MemberId};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const TARGETS: &[Target] = &[
    Target::new("txn-request", txn_samples, decode_txn),
    Target::new("grpc-request", grpc_samples, decode_grpc).mended(mend_grpc),
    Target::new("admin-request", admin_samples, decode_admin),
];

fn txn_samples() -> Vec<Vec<u8>> {
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), prev_kv: true, ..Default::default() };
    let other = pb::PutRequest { key: "l".into(), ..put.clone() };
    let range = pb::RangeRequest { key: "a".into(), range_end: "z".into(), limit: 5, ..Default::default() };
    let op = |request| pb::RequestOp { request: Some(request) };
    let inner = pb::TxnRequest { success: vec![op(pb::request_op::Request::RequestPut(other))], ..Default::default() };
    let success = vec![
        op(pb::request_op::Request::RequestPut(put)),
        op(pb::request_op::Request::RequestRange(range)),
        op(pb::request_op::Request::RequestTxn(inner)),
    ];
    vec![pb::TxnRequest { success, ..Default::default() }.encode_to_vec()]
}

fn decode_txn(bytes: &[u8]) -> Verdict {
    let Ok(request) = pb::TxnRequest::decode(bytes) else { return Verdict::Refused };
    again(&request, pb::TxnRequest::decode(&request.encode_to_vec()[..]));
    verdict(&txn(request))
}

// A unary request as it comes: which method u8 │ where it comes in two pieces u8 │ compressed u8 │ length u32 │ protobuf.

const FRAME_AT: usize = 2;
const FRAME_HEADER_BYTES: usize = 5;
const MESSAGE_BYTES_MAX: usize = 1 << 15;

/// What comes of a request: a change, or something to read.
type Outcome = Result<Option<Body>, Refusal>;
/// Decodes and checks as the service does. None when it does not decode.
type Method = fn(&[u8]) -> Option<Outcome>;

/// Those whose messages say something, by their numbers here.
const METHODS: [Method; 10] = [
    |bytes| decoded(bytes, range),
    |bytes| decoded(bytes, |put: pb::PutRequest| Ok(Some(Body::Put(put.try_into()?)))),
    |bytes| decoded(bytes, |delete: pb::DeleteRangeRequest| Ok(Some(Body::DeleteRange(delete.try_into()?)))),
    |bytes| decoded(bytes, txn),
    |bytes| {
        decoded(bytes, |compact: pb::CompactionRequest| {
            Ok(Some(Body::Compact { revision: Revision(compact.revision) }))
        })
    },
    |bytes| decoded(bytes, |add: pb::MemberAddRequest| urls(&add.peer_ur_ls)),
    |bytes| decoded(bytes, |update: pb::MemberUpdateRequest| urls(&update.peer_ur_ls)),
    |bytes| decoded(bytes, |_: pb::AlarmRequest| Ok(None)),
    |bytes| decoded(bytes, |_: pb::WatchRequest| Ok(None)),
    |bytes| decoded(bytes, hash),
];

fn decoded<M: Message + Default + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    outcome: fn(M) -> Outcome,
) -> Option<Outcome> {
    let message = M::decode(bytes).ok()?;
    again(&message, M::decode(&message.encode_to_vec()[..]));
    Some(outcome(message))
}

fn store() -> Store {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    let put = |key: &'static str| {
        Body::Put(mvcc::Put {
            key: key.into(),
            value: "v".into(),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        })
    };
    for (index, key) in (1..).zip(["a", "b", "k"]) {
        let command = Command { id: mvcc::RequestId::default(), body: put(key) };
        store.apply(&[mvcc::Apply { index, command: &command, answered: true }]).expect("memory does not fail");
    }
    store
}

/// What is fit to be read is read: it is an answer, or a refusal of its revision.
fn range(range: pb::RangeRequest) -> Outcome {
    let range = CheckedRange::try_from(range)?;
    let _unknown_revision = store().range_within(&range.request, &mut |found| found.payload_bytes <= MESSAGE_BYTES_MAX);
    Ok(None)
}

fn txn(txn: pb::TxnRequest) -> Outcome {
    let checked = check(txn, TXN_OPS_MAX)?;
    if checked.txn.is_read_only() {
        let _unknown_revision = store().read_txn(&checked.txn, &mut |found| found.payload_bytes <= MESSAGE_BYTES_MAX);
        return Ok(None);
    }
    Ok(Some(Body::Txn(checked.txn)))
}

fn hash(asked: pb::HashKvRequest) -> Outcome {
    let _unknown_revision = store().hash_kv(Revision(asked.revision));
    Ok(None)
}

/// They are written in one form.
fn urls(urls: &[String]) -> Outcome {
    let written = peer_urls(urls)?;
    again(&written, peer_urls(&written));
    Ok(None)
}

/// A command that is proposed comes out of the log as it was, and can be applied.
fn carry_out(body: Body) {
    let command = Command { id: mvcc::RequestId::default(), body };
    again(&command, Command::decode(&command.encode()));
    store().apply(&[mvcc::Apply { index: 9, command: &command, answered: true }]).expect("memory does not fail");
}

fn grpc_samples() -> Vec<Vec<u8>> {
    let range = pb::RangeRequest { key: "a".into(), range_end: "z".into(), limit: 2, sort_order: 2, ..<_>::default() };
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), prev_kv: true, ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: "a".into(), range_end: "\0".into(), prev_kv: true };
    let add = pb::MemberAddRequest { peer_ur_ls: vec!["http://127.0.0.1:2380".into()], is_learner: true };
    let update = pb::MemberUpdateRequest { id: 7, peer_ur_ls: vec!["https://m.example:2380".into()] };
    let messages = [
        range.encode_to_vec(),
        put.encode_to_vec(),
        delete.encode_to_vec(),
        txn_samples().remove(0),
        pb::CompactionRequest { revision: 2, physical: true }.encode_to_vec(),
        add.encode_to_vec(),
        update.encode_to_vec(),
        pb::AlarmRequest { action: 1, member_id: 7, alarm: 1 }.encode_to_vec(),
        pb::WatchRequest::default().encode_to_vec(),
        pb::HashKvRequest { revision: 2 }.encode_to_vec(),
    ];
    let frame = |(method, message): (u8, Vec<u8>)| {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[method, 3, 0][..], &length, &message].concat()
    };
    (0..).zip(messages).map(frame).collect()
}

fn mend_grpc(bytes: &mut [u8]) {
    if let Some(length) = bytes.len().checked_sub(FRAME_AT + FRAME_HEADER_BYTES) {
        bytes[FRAME_AT] = 0;
        let length = u32::try_from(length).expect("short").to_be_bytes();
        bytes[FRAME_AT + 1..FRAME_AT + FRAME_HEADER_BYTES].copy_from_slice(&length);
    }
}

fn decode_grpc(bytes: &[u8]) -> Verdict {
    let Some(([method, cut], body)) = bytes.split_first_chunk() else { return Verdict::Refused };
    let (first, rest) = body.split_at(body.len().min(usize::from(*cut)));
    let pieces = [first, rest].map(|piece| Ok::<_, tonic::Status>(Frame::data(Bytes::copy_from_slice(piece))));
    let body = StreamBody::new(futures::stream::iter(pieces));
    let read = read_message(body, MESSAGE_BYTES_MAX).now_or_never().expect("every piece is there");
    let Ok(message) = read else { return Verdict::Refused };
    assert!(message.len() <= MESSAGE_BYTES_MAX, "nothing longer is kept");
    match METHODS[usize::from(*method) % METHODS.len()](&message) {
        Some(Ok(body)) => {
            body.into_iter().for_each(carry_out);
            Verdict::Accepted
        }
        Some(Err(_)) | None => Verdict::Refused,
    }
}

// The admin port.

fn admin_samples() -> Vec<Vec<u8>> {
    let learner = admin_api::Change::AddLearner {
        id: Id(0xf5),
        name: "m-3".into(),
        peer_urls: vec!["http://m-3.m-peer.ns.svc:2380".into()],
    };
    let change =
        ChangeMembers { expected_config_index: 7, changes: vec![learner, admin_api::Change::Remove { id: Id(2) }] };
    let recover = RecoverQuorum {
        request: "monday".into(),
        expected_cluster_id: Id(0xaa),
        expected_member_id: Id(1),
        accept_data_loss: true,
    };
    let written = [
        serde_json::to_vec(&change),
        serde_json::to_vec(&recover),
        serde_json::to_vec(&TransferLeader { to: Some(Id(2)) }),
    ];
    written.map(|json| json.expect("strings and numbers always serialize")).to_vec()
}

fn members() -> MembersView {
    let info = NodeInfo { peer_urls: vec!["http://127.0.0.1:2380".into()], ..NodeInfo::default() };
    let member = MemberView { id: MemberId(1), info, name: "m-0".into(), client_urls: Vec::new(), learner: false };
    let at = Index(7);
    MembersView {
        cluster: ClusterId(0xaa),
        at,
        committed: true,
        joint: false,
        members: vec![member],
        removed: BTreeSet::new(),
    }
}

fn decode_admin(bytes: &[u8]) -> Verdict {
    let recover = understood::<RecoverQuorum>(bytes).map(drop);
    let transfer = understood::<TransferLeader>(bytes).map(drop);
    verdict(&recover.or(transfer).or_else(|_| decode_changes(bytes)))
}

/// Every description that is added is one that members can read.
fn decode_changes(bytes: &[u8]) -> Result<(), AdminRefusal> {
    let asked: ChangeMembers = understood(bytes)?;
    for change in changes(asked.changes, &members())? {
        if let raft::Change::AddLearner(_, info) = change {
            let read = NodeInfo::decode(&info).expect("it can be read");
            assert_eq!(read.encode(), info, "it comes through again");
        }
    }
    Ok(())
}
