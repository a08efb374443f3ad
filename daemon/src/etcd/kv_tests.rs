use super::*;
use bytes::Bytes;

fn range(key: &'static str) -> pb::RangeRequest {
    pb::RangeRequest { key: Bytes::from_static(key.as_bytes()), ..Default::default() }
}

fn put(key: &'static str) -> pb::PutRequest {
    pb::PutRequest { key: Bytes::from_static(key.as_bytes()), ..Default::default() }
}

#[test]
fn a_request_without_a_key_is_refused() {
    assert_eq!(CheckedRange::try_from(range("")), Err(Refusal::EmptyKey));
    assert_eq!(mvcc::Put::try_from(put("")), Err(Refusal::EmptyKey));
    assert_eq!(mvcc::DeleteRange::try_from(pb::DeleteRangeRequest::default()), Err(Refusal::EmptyKey));
}

#[test]
fn an_unknown_sort_order_or_target_is_refused() {
    for (sort_order, sort_target) in [(3, 0), (-1, 0), (0, 5), (1, i32::MAX)] {
        let unknown = pb::RangeRequest { sort_order, sort_target, ..range("k") };
        assert_eq!(CheckedRange::try_from(unknown), Err(Refusal::InvalidSortOption), "{sort_order} {sort_target}");
    }
}

#[test]
fn a_missing_key_is_told_before_a_wrong_sort_option_is_looked_at() {
    let both = pb::RangeRequest { sort_order: 9, ..range("") };
    assert_eq!(CheckedRange::try_from(both), Err(Refusal::EmptyKey));
}

#[test]
fn every_option_of_a_range_reaches_the_store() {
    let asked = pb::RangeRequest {
        key: Bytes::from_static(b"a"),
        range_end: Bytes::from_static(b"z"),
        limit: 7,
        revision: 8,
        sort_order: SortOrder::Descend as i32,
        sort_target: SortTarget::Mod as i32,
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod_revision: 1,
        max_mod_revision: 2,
        min_create_revision: 3,
        max_create_revision: 4,
    };
    let checked = CheckedRange::try_from(asked).expect("nothing is wrong with it");
    assert!(checked.serializable);
    assert_eq!(
        checked.request,
        mvcc::RangeRequest {
            range: KeyRange::span("a", "z"),
            revision: Revision(8),
            limit: 7,
            sort: Sort { order: mvcc::SortOrder::Descend, target: mvcc::SortTarget::Mod },
            keys_only: true,
            count_only: true,
            min_mod_revision: Revision(1),
            max_mod_revision: Revision(2),
            min_create_revision: Revision(3),
            max_create_revision: Revision(4),
        }
    );
}

#[test]
fn a_value_or_lease_together_with_ignoring_it_is_refused() {
    let value = pb::PutRequest { ignore_value: true, value: Bytes::from_static(b"v"), ..put("k") };
    assert_eq!(mvcc::Put::try_from(value), Err(Refusal::ValueProvided));
    let lease = pb::PutRequest { ignore_lease: true, lease: 1, ..put("k") };
    assert_eq!(mvcc::Put::try_from(lease), Err(Refusal::LeaseProvided));
    let neither = pb::PutRequest { ignore_lease: true, ignore_value: true, ..put("k") };
    assert!(mvcc::Put::try_from(neither).is_ok());
}

#[test]
fn an_operation_inside_a_transaction_has_only_a_revision_in_its_header() {
    let reply = mvcc::PutReply { revision: Revision(9), prev: None };
    let header = pb::PutResponse::from(reply).header.expect("etcd fills it");
    assert_eq!((header.revision, header.cluster_id, header.member_id, header.raft_term), (9, 0, 0, 0));
}
