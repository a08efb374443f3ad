use super::*;
use crate::etcd::limits::TXN_OPS_MAX;
use bytes::Bytes;

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn put(key: &str) -> pb::RequestOp {
    op(Request::RequestPut(pb::PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() }))
}

fn range(key: &'static str, serializable: bool) -> pb::RequestOp {
    let key = Bytes::from_static(key.as_bytes());
    op(Request::RequestRange(pb::RangeRequest { key, serializable, ..Default::default() }))
}

fn delete(key: &'static [u8], end: &'static [u8]) -> pb::RequestOp {
    let (key, range_end) = (Bytes::from_static(key), Bytes::from_static(end));
    op(Request::RequestDeleteRange(pb::DeleteRangeRequest { key, range_end, prev_kv: false }))
}

fn nested(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    op(Request::RequestTxn(pb::TxnRequest { compare: vec![], success, failure }))
}

fn then(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

fn refusal(txn: pb::TxnRequest) -> Option<Refusal> {
    check(txn, TXN_OPS_MAX).err()
}

fn puts(count: usize) -> Vec<pb::RequestOp> {
    (0..count).map(|number| put(&format!("key{number}"))).collect()
}

#[test]
fn a_list_may_have_the_limit_and_no_more() {
    assert_eq!(refusal(then(puts(128))), None);
    assert_eq!(refusal(then(puts(129))), Some(Refusal::TooManyOps));
    let compare = pb::Compare { key: Bytes::from_static(b"k"), ..Default::default() };
    let compares = |count| pb::TxnRequest { compare: vec![compare.clone(); count], ..Default::default() };
    assert_eq!(refusal(compares(128)), None);
    assert_eq!(refusal(compares(129)), Some(Refusal::TooManyOps));
    let failure = |count| pb::TxnRequest { failure: puts(count), ..Default::default() };
    assert_eq!(refusal(failure(129)), Some(Refusal::TooManyOps));
}

#[test]
fn a_nested_transaction_has_what_the_outer_one_leaves() {
    assert_eq!(refusal(then(vec![nested(puts(127), vec![])])), None);
    assert_eq!(refusal(then(vec![nested(puts(128), vec![])])), Some(Refusal::TooManyOps));
    let wide = |inner| (0..64).map(move |_| nested(vec![], vec![range("k", true); inner])).collect();
    assert_eq!(refusal(then(wide(64))), None);
    assert_eq!(refusal(then(wide(65))), Some(Refusal::TooManyOps));
}

#[test]
fn many_keys_are_visited_so_often_by_all_nested_transactions_together() {
    let all = || delete(b"\0", b"\0");
    let span =
        pb::Compare { key: Bytes::from_static(b"k"), range_end: Bytes::from_static(b"\0"), ..Default::default() };
    let flat = |count| pb::TxnRequest {
        compare: vec![span.clone(); count],
        success: vec![all(); count],
        failure: vec![all(); count],
    };
    assert_eq!(refusal(flat(128)), None, "as in etcd");
    let nested_spans = |inner| op(Request::RequestTxn(flat(inner)));
    let siblings = |outer, inner| then(vec![nested_spans(inner); outer]);
    assert_eq!(refusal(siblings(64, 2)), None);
    assert_eq!(refusal(siblings(64, 3)), Some(Refusal::TooManyOps));
    assert_eq!(refusal(siblings(1, 127)), None);
    let points = |outer, inner| then((0..outer).map(|_| nested(vec![], vec![range("k", true); inner])).collect());
    assert_eq!(refusal(points(64, 64)), None, "single keys are cheap");
}

#[test]
fn transactions_nest_eight_deep_and_no_deeper() {
    let deep = |depth: usize| (1..depth).fold(vec![put("k")], |inner, _| vec![nested(inner, vec![])]);
    assert_eq!(refusal(then(deep(TXN_DEPTH_MAX))), None);
    assert_eq!(refusal(then(deep(TXN_DEPTH_MAX + 1))), Some(Refusal::TooManyOps));
}

#[test]
fn a_key_is_put_once() {
    assert_eq!(refusal(then(vec![put("a"), put("a")])), Some(Refusal::DuplicateKey));
    assert_eq!(refusal(then(vec![put("a"), nested(vec![put("a")], vec![])])), Some(Refusal::DuplicateKey));
    let siblings = vec![nested(vec![put("a")], vec![]), nested(vec![], vec![put("a")])];
    assert_eq!(refusal(then(siblings)), Some(Refusal::DuplicateKey));
}

#[test]
fn branches_that_exclude_each_other_may_put_the_same_key() {
    assert_eq!(refusal(then(vec![nested(vec![put("a")], vec![put("a")])])), None);
    let both = pb::TxnRequest { success: vec![put("a")], failure: vec![put("a")], ..Default::default() };
    assert_eq!(refusal(both), None);
}

#[test]
fn a_put_inside_a_deleted_range_is_refused() {
    for txn in [
        vec![delete(b"a", b"c"), put("b")],
        vec![put("b"), delete(b"b", b"")],
        vec![put("z"), delete(b"a", b"\0")],
        vec![delete(b"a", b"c"), nested(vec![], vec![put("b")])],
        vec![put("b"), nested(vec![delete(b"a", b"c")], vec![])],
    ] {
        assert_eq!(refusal(then(txn)), Some(Refusal::DuplicateKey));
    }
    assert_eq!(refusal(then(vec![delete(b"a", b"c"), put("c")])), None);
    assert_eq!(refusal(then(vec![delete(b"a", b"c"), delete(b"b", b"d")])), None);
}

#[test]
fn an_operation_or_compare_that_says_nothing_is_refused() {
    assert_eq!(refusal(then(vec![pb::RequestOp::default()])), Some(Refusal::KeyNotFound));
    let compare = pb::TxnRequest { compare: vec![pb::Compare::default()], ..Default::default() };
    assert_eq!(refusal(compare), Some(Refusal::EmptyKey));
    assert_eq!(refusal(then(vec![put("")])), Some(Refusal::EmptyKey));
    assert_eq!(refusal(then(vec![nested(vec![put("")], vec![])])), Some(Refusal::EmptyKey));
}

#[test]
fn an_unknown_compare_is_refused() {
    for (result, target) in [(4, 0), (0, 5), (-1, 0)] {
        let key = Bytes::from_static(b"k");
        let compare = vec![pb::Compare { key, result, target, ..Default::default() }];
        assert_eq!(refusal(pb::TxnRequest { compare, ..Default::default() }), Some(Refusal::InvalidCompare));
    }
}

#[test]
fn a_compare_without_its_value_compares_with_zero() {
    assert_eq!(target(CompareTarget::Mod, None), Target::Mod(Revision::ZERO));
    assert_eq!(target(CompareTarget::Mod, Some(TargetUnion::Version(7))), Target::Mod(Revision::ZERO));
    assert_eq!(target(CompareTarget::Value, None), Target::Value(Bytes::new()));
    assert_eq!(target(CompareTarget::Lease, Some(TargetUnion::Lease(7))), Target::Lease(7));
}

#[test]
fn serializable_only_if_every_range_is() {
    let checked = |txn| check(txn, TXN_OPS_MAX).expect("nothing is wrong with it");
    assert!(checked(then(vec![range("a", true), range("b", true)])).serializable);
    assert!(!checked(then(vec![range("a", true), range("b", false)])).serializable);
}

#[test]
fn a_hostile_transaction_is_checked_in_little_time() {
    // As many operations as a request of the largest size holds, half of them deletes.
    let inner = |outer: usize| {
        let list = (0..63).map(|inner| {
            let key = Bytes::from(format!("{outer:05}{inner:03}").into_bytes());
            match inner % 2 {
                0 => op(Request::RequestPut(pb::PutRequest { key, ..Default::default() })),
                _ => op(Request::RequestDeleteRange(pb::DeleteRangeRequest { key, ..Default::default() })),
            }
        });
        nested(list.collect(), vec![])
    };
    let middle = |outer: usize| nested((0..32).map(|n| inner(outer * 32 + n)).collect(), vec![]);
    let started = std::time::Instant::now();
    assert_eq!(refusal(then((0..32).map(middle).collect())), None);
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "took {:?}", started.elapsed());
}
