//! Commands to bytes.

use super::{flag, kind, range_flag};
use crate::command::{
    AlarmAction, AlarmChange, Body, Compare, DeleteRange, Op, PublishedMember, Put, Relation, Target, Txn,
};
use crate::range::{RangeRequest, SortOrder, SortTarget};
use crate::types::{AlarmKind, KeyRange};
use bytes::{BufMut, BytesMut};

pub(super) fn kind_of(body: &Body) -> u8 {
    match body {
        Body::Noop => kind::NOOP,
        Body::Put(_) => kind::PUT,
        Body::DeleteRange(_) => kind::DELETE_RANGE,
        Body::Txn(_) => kind::TXN,
        Body::Compact { .. } => kind::COMPACT,
        Body::Alarm(_) => kind::ALARM,
        Body::PublishMember(_) => kind::PUBLISH_MEMBER,
        Body::Staging(_) => kind::STAGING,
    }
}

pub(super) fn body(body: &Body, out: &mut BytesMut) {
    match body {
        Body::Noop => {}
        Body::Put(body) => put(body, out),
        Body::DeleteRange(body) => delete_range(body, out),
        Body::Txn(body) => txn(body, out),
        Body::Compact { revision } => int(revision.0, out),
        Body::Alarm(body) => alarm(body, out),
        Body::PublishMember(body) => publish_member(body, out),
        Body::Staging(change) => crate::staging::put_change(change, out),
    }
}

fn put(put: &Put, out: &mut BytesMut) {
    let mut flags = 0;
    set(&mut flags, flag::PREV_KV, put.prev_kv);
    set(&mut flags, flag::IGNORE_VALUE, put.ignore_value);
    set(&mut flags, flag::IGNORE_LEASE, put.ignore_lease);
    set(&mut flags, flag::LEASE, put.lease != 0);
    out.put_u8(flags);
    if put.lease != 0 {
        int(put.lease, out);
    }
    bytes(&put.key, out);
    bytes(&put.value, out);
}

fn delete_range(delete: &DeleteRange, out: &mut BytesMut) {
    let mut flags = 0;
    set(&mut flags, flag::PREV_KV, delete.prev_kv);
    out.put_u8(flags);
    key_range(&delete.range, out);
}

fn txn(txn: &Txn, out: &mut BytesMut) {
    varint(txn.compares.len() as u64, out);
    txn.compares.iter().for_each(|item| compare(item, out));
    for ops in [&txn.success, &txn.failure] {
        varint(ops.len() as u64, out);
        ops.iter().for_each(|item| op(item, out));
    }
}

fn op(op: &Op, out: &mut BytesMut) {
    match op {
        Op::Range(body) => {
            out.put_u8(kind::RANGE);
            range(body, out);
        }
        Op::Put(body) => {
            out.put_u8(kind::PUT);
            put(body, out);
        }
        Op::DeleteRange(body) => {
            out.put_u8(kind::DELETE_RANGE);
            delete_range(body, out);
        }
        Op::Txn(body) => {
            out.put_u8(kind::TXN);
            txn(body, out);
        }
    }
}

fn range(range: &RangeRequest, out: &mut BytesMut) {
    let numbers = [
        (range_flag::REVISION, range.revision.0),
        (range_flag::LIMIT, range.limit),
        (range_flag::MIN_MOD, range.min_mod_revision.0),
        (range_flag::MAX_MOD, range.max_mod_revision.0),
        (range_flag::MIN_CREATE, range.min_create_revision.0),
        (range_flag::MAX_CREATE, range.max_create_revision.0),
    ];
    let mut flags = 0;
    set(&mut flags, range_flag::KEYS_ONLY, range.keys_only);
    set(&mut flags, range_flag::COUNT_ONLY, range.count_only);
    numbers.iter().for_each(|(flag, number)| set(&mut flags, *flag, *number != 0));
    out.put_u16_le(flags);
    out.put_u8(match range.sort.order {
        SortOrder::None => 0,
        SortOrder::Ascend => 1,
        SortOrder::Descend => 2,
    });
    out.put_u8(match range.sort.target {
        SortTarget::Key => 0,
        SortTarget::Version => 1,
        SortTarget::Create => 2,
        SortTarget::Mod => 3,
        SortTarget::Value => 4,
    });
    key_range(&range.range, out);
    numbers.iter().filter(|(_, number)| *number != 0).for_each(|(_, number)| int(*number, out));
}

fn compare(compare: &Compare, out: &mut BytesMut) {
    out.put_u8(match compare.relation {
        Relation::Equal => 0,
        Relation::Greater => 1,
        Relation::Less => 2,
        Relation::NotEqual => 3,
    });
    let (target, operand) = match &compare.target {
        Target::Version(version) => (0, *version),
        Target::Create(revision) => (1, revision.0),
        Target::Mod(revision) => (2, revision.0),
        Target::Value(_) => (3, 0),
        Target::Lease(lease) => (4, *lease),
    };
    out.put_u8(target);
    key_range(&compare.range, out);
    match &compare.target {
        Target::Value(value) => bytes(value, out),
        Target::Version(_) | Target::Create(_) | Target::Mod(_) | Target::Lease(_) => int(operand, out),
    }
}

fn alarm(change: &AlarmChange, out: &mut BytesMut) {
    out.put_u8(match change.action {
        AlarmAction::Activate => 0,
        AlarmAction::Deactivate => 1,
    });
    out.put_u8(match change.alarm.kind {
        AlarmKind::NoSpace => 1,
        AlarmKind::Corrupt => 2,
    });
    out.put_u64_le(change.alarm.member);
}

fn publish_member(member: &PublishedMember, out: &mut BytesMut) {
    out.put_u64_le(member.id);
    bytes(member.name.as_bytes(), out);
    varint(member.client_urls.len() as u64, out);
    member.client_urls.iter().for_each(|url| bytes(url.as_bytes(), out));
}

fn key_range(range: &KeyRange, out: &mut BytesMut) {
    bytes(&range.key, out);
    bytes(&range.end, out);
}

fn bytes(bytes: &[u8], out: &mut BytesMut) {
    varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn int(number: i64, out: &mut BytesMut) {
    varint(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

fn varint(mut number: u64, out: &mut BytesMut) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn set<T: std::ops::BitOrAssign>(flags: &mut T, flag: T, on: bool) {
    if on {
        *flags |= flag;
    }
}
