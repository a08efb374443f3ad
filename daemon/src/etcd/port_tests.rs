//! The port over real connections, with the generated clients, before a real member with a real log. What a member
//! says of itself only in trouble (no leader, far behind, a learner) is put before the port by a stand-in.

use super::*;
use crate::etcd::limits::REQUEST_BYTES_IN_FLIGHT_MAX;
use crate::node::solo::Solo;
use http::StatusCode;
use pb::cluster_client::ClusterClient;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::kv_client::KvClient;
use pb::maintenance_client::MaintenanceClient;
use pb::request_op::Request as Op;
use raft::RoleName;
use tonic::transport::Channel;

#[path = "test_port.rs"]
mod test_port;
use test_port::{as_seen, put, range, refused, served, served_alone};

#[tokio::test]
async fn an_empty_store_is_at_revision_one_and_the_first_write_makes_two() {
    let served = served(Limits::default()).await;
    let empty = served.get("a").await;
    assert_eq!((empty.header.expect("filled").revision, empty.count, empty.kvs.len()), (1, 0, 0));
    assert_eq!(served.put("a", "1").await.header.expect("filled").revision, 2);
    let found = served.get("a").await;
    let header = found.header.expect("filled");
    let (identity, status) = (served.node.identity(), served.node.status());
    assert!(header.cluster_id != 0 && header.raft_term != 0);
    assert_eq!((header.cluster_id, header.member_id), (identity.cluster.0, identity.member.0));
    assert_eq!((header.revision, header.raft_term), (2, status.term.0));
    let kv = &found.kvs[0];
    assert_eq!((&kv.key[..], &kv.value[..]), (&b"a"[..], &b"1"[..]));
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 2, 1));
}

#[tokio::test]
async fn the_header_of_a_range_is_at_the_stores_revision_not_at_the_one_asked_for() {
    let served = served(Limits::default()).await;
    served.put("a", "1").await;
    served.put("a", "2").await;
    let old = pb::RangeRequest { revision: 2, ..range("a", "") };
    let old = served.kv().range(old).await.expect("it is there").into_inner();
    assert_eq!((old.header.expect("filled").revision, &old.kvs[0].value[..]), (3, &b"1"[..]));
}

#[tokio::test]
async fn revisions_out_of_reach_are_refused() {
    let served = served(Limits::default()).await;
    for _ in 0..4 {
        served.put("a", "1").await;
    }
    let at = |revision| pb::RangeRequest { revision, ..range("a", "") };
    assert_eq!(refused(served.kv().range(at(6)).await), as_seen(Refusal::FutureRevision));
    let compact = |revision, physical| pb::CompactionRequest { revision, physical };
    assert_eq!(refused(served.kv().compact(compact(9, false)).await), as_seen(Refusal::FutureRevision));
    let header = served.kv().compact(compact(4, true)).await.expect("in reach").into_inner().header;
    assert_eq!(header.expect("filled").revision, 5);
    assert_eq!(refused(served.kv().range(at(3)).await), as_seen(Refusal::Compacted));
    assert!(served.kv().range(at(4)).await.is_ok());
    assert_eq!(refused(served.kv().compact(compact(4, false)).await), as_seen(Refusal::Compacted));
}

#[tokio::test]
async fn a_range_pages_counts_and_deletes() {
    let served = served(Limits::default()).await;
    for key in ["a", "b", "c"] {
        served.put(key, "v").await;
    }
    let page = pb::RangeRequest { limit: 2, ..range("a", "\0") };
    let page = served.kv().range(page).await.expect("fits").into_inner();
    assert_eq!((page.kvs.len(), page.more, page.count), (2, true, 3));
    let count = pb::RangeRequest { count_only: true, ..range("\0", "\0") };
    let count = served.kv().range(count).await.expect("fits").into_inner();
    assert_eq!((count.kvs.len(), count.more, count.count), (0, false, 3));
    let delete = pb::DeleteRangeRequest { key: "a".into(), range_end: "c".into(), prev_kv: true };
    let deleted = served.kv().delete_range(delete.clone()).await.expect("fits").into_inner();
    assert_eq!((deleted.deleted, deleted.prev_kvs.len(), deleted.header.expect("filled").revision), (2, 2, 5));
    let nothing = served.kv().delete_range(delete).await.expect("fits").into_inner();
    assert_eq!((nothing.deleted, nothing.header.expect("filled").revision), (0, 5));
}

fn create_if_absent(key: &'static str) -> pb::TxnRequest {
    let compare = pb::Compare {
        key: key.into(),
        target: CompareTarget::Mod.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::ModRevision(0)),
        ..Default::default()
    };
    let success = vec![pb::RequestOp { request: Some(Op::RequestPut(put(key, "new"))) }];
    let failure = vec![pb::RequestOp { request: Some(Op::RequestRange(range(key, ""))) }];
    pb::TxnRequest { compare: vec![compare], success, failure }
}

#[tokio::test]
async fn a_create_succeeds_once_and_then_shows_what_is_there() {
    use pb::response_op::Response::{ResponsePut, ResponseRange};
    let served = served(Limits::default()).await;
    let created = served.kv().txn(create_if_absent("a")).await.expect("fits").into_inner();
    assert!(created.succeeded);
    let outer = created.header.expect("filled");
    assert_eq!((outer.revision, outer.member_id), (2, served.member()));
    let Some(ResponsePut(inner)) = &created.responses[0].response else { panic!("a put was asked for") };
    let header = inner.header.expect("filled");
    assert_eq!((header.revision, header.member_id, header.raft_term), (2, 0, 0));
    let again = served.kv().txn(create_if_absent("a")).await.expect("fits").into_inner();
    assert!(!again.succeeded && again.header.expect("filled").revision == 2);
    let Some(ResponseRange(found)) = &again.responses[0].response else { panic!("a range was asked for") };
    assert_eq!(&found.kvs[0].value[..], b"new");
}

#[tokio::test]
async fn a_transaction_that_only_reads_takes_no_place_in_the_log() {
    let served = served(Limits::default()).await;
    served.put("a", "1").await;
    let before = served.node.status().applied;
    let success = vec![pb::RequestOp { request: Some(Op::RequestRange(range("a", ""))) }];
    let read = served.kv().txn(pb::TxnRequest { success, ..Default::default() }).await.expect("fits").into_inner();
    assert!(read.succeeded && read.header.expect("filled").revision == 2);
    assert_eq!(served.node.status().applied, before);
}

#[tokio::test]
async fn refusals_arrive_with_etcds_code_and_text() {
    let served = served(Limits::default()).await;
    assert_eq!(refused(served.kv().put(put("", "v")).await), as_seen(Refusal::EmptyKey));
    let ignoring = pb::PutRequest { ignore_value: true, ..put("absent", "") };
    assert_eq!(refused(served.kv().put(ignoring).await), as_seen(Refusal::KeyNotFound));
    let leased = pb::PutRequest { lease: 12, ..put("a", "v") };
    assert_eq!(refused(served.kv().put(leased).await), as_seen(Refusal::LeaseNotFound));
    let stream = served.kv().range_stream(range("a", "")).await.map(|_| tonic::Response::new(()));
    assert_eq!(refused(stream).0, Code::Unimplemented);
}

#[tokio::test]
async fn a_request_may_have_the_limit_and_no_more() {
    let served = served(Limits { request_bytes_max: 1000, ..Limits::default() }).await;
    let of_size = |bytes: usize| {
        let mut put = pb::PutRequest { value: vec![b'v'; bytes].into(), ..put("k", "") };
        put.value.truncate(bytes - (put.encoded_len() - bytes));
        assert_eq!(put.encoded_len(), bytes);
        put
    };
    assert!(served.kv().put(of_size(1000)).await.is_ok());
    assert_eq!(refused(served.kv().put(of_size(1001)).await), as_seen(Refusal::RequestTooLarge));
    let transport = 1000 + crate::etcd::limits::GRPC_OVERHEAD_BYTES;
    assert_eq!(refused(served.kv().put(of_size(transport)).await), as_seen(Refusal::RequestTooLarge));
    let (code, text) = refused(served.kv().put(of_size(transport + 1)).await);
    assert_eq!(code, Code::ResourceExhausted);
    assert!(text.contains("larger than max"), "{text}");
}

/// A member without a leader keeps what it is asked for as long as a request may take. A connection alone may not fill the
/// half of what requests may hold, and all requests here are of one.
#[tokio::test]
async fn whole_requests_count_against_what_their_connection_may_hold_until_they_are_answered() {
    const BYTES: usize = 1_400_000;
    const A_HALF: usize = REQUEST_BYTES_IN_FLIGHT_MAX / 2 / BYTES;
    let (served, solo) = served_alone().await;
    let held = solo.hold().await;
    let large = pb::RangeRequest { key: vec![b'k'; BYTES].into(), ..Default::default() };
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..A_HALF {
        let (mut kv, large) = (served.kv(), large.clone());
        asked.spawn(async move { kv.range(large).await });
    }
    let first = tokio::time::timeout(test_port::PATIENCE, asked.join_next()).await.expect("one is refused at once");
    assert_eq!(refused(first.expect("many").expect("it does not panic")), as_seen(Refusal::RequestsTooMany));
    drop(held);
    let answered = asked.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert!(answered > A_HALF / 2, "{answered} of {A_HALF}");
}

/// How much has changed since a revision decides how long a read of it takes.
#[test]
fn a_read_of_the_past_is_never_made_where_it_holds_up_others() {
    let now = mvcc::RangeRequest { range: mvcc::KeyRange::one("k"), ..mvcc::RangeRequest::default() };
    let page = mvcc::RangeRequest { range: mvcc::KeyRange::all(), limit: 10, ..now.clone() };
    for short in [now, page] {
        assert!(kv::is_short(&short), "{short:?}");
        let past = mvcc::RangeRequest { revision: mvcc::Revision(2), ..short };
        assert!(!kv::is_short(&past), "{past:?}");
    }
}

#[tokio::test]
async fn a_transaction_is_carried_out_whose_answer_is_larger_than_one_may_be() {
    let served = served(Limits::default()).await;
    for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        let large = pb::PutRequest { value: vec![7; 1_400_000].into(), ..put(key, "") };
        served.kv().put(large).await.expect("fits");
    }
    let op = |request| pb::RequestOp { request: Some(request) };
    let with_ranges = |ranges: usize, said: &'static str| {
        let all = (0..ranges).map(|_| op(Op::RequestRange(range("a", "m"))));
        let success = [op(Op::RequestPut(put("z", said)))].into_iter().chain(all).collect();
        pb::TxnRequest { success, ..Default::default() }
    };
    let mut patient = served.kv().max_decoding_message_size(RESPONSE_BYTES_MAX);
    assert_eq!(patient.txn(with_ranges(3, "fits")).await.expect("fits").into_inner().responses.len(), 4);
    assert_eq!(refused(patient.txn(with_ranges(4, "large")).await), as_seen(Refusal::ResponseTooLarge));
    assert_eq!(&served.get("z").await.kvs[0].value[..], b"large", "it is carried out");
    // One that only reads is given up as it goes on.
    let success = (0..4).map(|_| op(Op::RequestRange(range("a", "m")))).collect();
    let reads = pb::TxnRequest { success, ..Default::default() };
    assert_eq!(refused(patient.txn(reads).await), as_seen(Refusal::ResponseTooLarge));
}

#[test]
fn whoever_does_not_speak_grpc_is_refused_by_a_status_of_http() {
    assert_eq!(busy(Refusal::CallsTooMany).status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_port_goes_on() {
    let served = served(Limits::default()).await;
    let path = "/etcdserverpb.KV/Put";
    for frame in [&b""[..], b"\0\0", b"\0\0\0\0\x05ab", b"\x02\0\0\0\0", b"\0\0\0\0\x02\xff\xff", b"\0\0\0\0\0\0"] {
        let (code, text) = served.raw(path, Bytes::from_static(frame)).await;
        assert_eq!(code, Code::Internal, "{frame:?} {text}");
    }
    assert_eq!(served.raw(path, Bytes::from_static(b"\x01\0\0\0\0")).await.0, Code::Unimplemented);
    assert_eq!(served.raw("/etcdserverpb.KV/Drop", Bytes::from_static(b"\0\0\0\0\0")).await.0, Code::Unimplemented);
    assert_eq!(served.put("a", "1").await.header.expect("filled").revision, 2);
}

#[tokio::test]
async fn a_learner_serves_serializable_ranges_and_its_status_alone() {
    let (served, solo) = served_alone().await;
    served.put("a", "1").await;
    solo.change(|brief| brief.role = RoleName::Learner);
    let serializable = pb::RangeRequest { serializable: true, ..range("a", "") };
    assert!(served.kv().range(serializable).await.is_ok());
    let status = served.maintenance().status(pb::StatusRequest {}).await.expect("served").into_inner();
    assert!(status.is_learner);
    let refusal = as_seen(Refusal::NotSupportedForLearner);
    assert_eq!(refused(served.kv().range(range("a", "")).await), refusal);
    assert_eq!(refused(served.kv().put(put("a", "2")).await), refusal);
    assert_eq!(refused(served.cluster().member_list(pb::MemberListRequest::default()).await), refusal);
    assert_eq!(served.page("/readyz/non_learner").await.0, 503);
}

#[tokio::test]
async fn who_asks_for_a_leader_is_refused_while_none_is_known() {
    let (served, solo) = served_alone().await;
    let asking = || {
        let mut request = tonic::Request::new(pb::RangeRequest { serializable: true, ..range("a", "") });
        request.metadata_mut().insert("hasleader", "true".parse().expect("metadata"));
        request
    };
    assert!(served.kv().range(asking()).await.is_ok());
    solo.change(|brief| brief.leader = None);
    assert_eq!(refused(served.kv().range(asking()).await), as_seen(Refusal::NoLeader));
    let serializable = pb::RangeRequest { serializable: true, ..range("a", "") };
    assert!(served.kv().range(serializable).await.is_ok());
    let status = served.maintenance().status(pb::StatusRequest {}).await.expect("served").into_inner();
    assert_eq!(status.errors, ["etcdserver: no leader"]);
    assert_eq!(served.page("/health").await, (503, r#"{"health":"false","reason":"RAFT NO LEADER"}"#.into()));
    assert_eq!(served.page("/health?serializable=true").await.0, 200);
}

#[tokio::test]
async fn writes_are_refused_while_applying_lags_far_behind() {
    let (served, solo) = served_alone().await;
    solo.change(|brief| brief.commit = raft::Index(brief.applied.0 + 5_000));
    assert!(served.kv().put(put("a", "1")).await.is_ok());
    solo.change(|brief| brief.commit = raft::Index(brief.applied.0 + 5_001));
    let (code, text) = refused(served.kv().put(put("a", "1")).await);
    assert_eq!((code, &text[..]), (Code::Unknown, "etcdserver: too many requests"));
}

#[tokio::test]
async fn at_the_quota_puts_stop_and_deletes_go_on_until_the_alarm_is_disarmed() {
    let served = served(Limits { quota_bytes: Some(1), ..Limits::default() }).await;
    let no_space = as_seen(Refusal::NoSpace);
    assert_eq!(refused(served.kv().put(put("a", "1")).await), no_space);
    assert!(!served.node.store().alarms().is_empty(), "it is raised before anybody is told");
    assert_eq!(refused(served.kv().txn(create_if_absent("a")).await), no_space);
    let delete = pb::DeleteRangeRequest { key: "a".into(), ..Default::default() };
    assert!(served.kv().delete_range(delete).await.is_ok());
    let member_id = served.member();
    let raised = pb::AlarmMember { member_id, alarm: pb::AlarmType::Nospace.into() };
    let status = served.maintenance().status(pb::StatusRequest {}).await.expect("served").into_inner();
    assert_eq!(status.errors, [format!("memberID:{member_id} alarm:NOSPACE")]);
    assert_eq!(served.page("/health").await, (503, r#"{"health":"false","reason":"ALARM NOSPACE"}"#.into()));
    assert_eq!(served.page("/health?exclude=NOSPACE").await.0, 200);
    let mut disarm = pb::AlarmRequest { member_id, alarm: pb::AlarmType::Nospace.into(), ..<_>::default() };
    let list = served.maintenance().alarm(pb::AlarmRequest::default()).await.expect("served").into_inner();
    assert_eq!(list.alarms, [raised]);
    disarm.set_action(pb::alarm_request::AlarmAction::Deactivate);
    let disarmed = served.maintenance().alarm(disarm).await.expect("served").into_inner();
    assert_eq!(disarmed.alarms, [raised]);
    assert!(served.node.store().alarms().is_empty());
}

#[tokio::test]
async fn status_and_hashes_tell_of_this_member() {
    let served = served(Limits::default()).await;
    served.put("a", "1").await;
    let status = served.maintenance().status(pb::StatusRequest {}).await.expect("served").into_inner();
    assert_eq!((status.version.as_str(), status.storage_version.as_str()), ("3.7.3", "3.7.0"));
    assert_eq!((status.leader, status.is_learner), (served.member(), false));
    assert!(status.raft_term > 0 && status.raft_index > 0);
    assert_eq!(status.raft_index, status.raft_applied_index);
    assert_eq!(status.header.expect("filled").revision, 2);
    assert_eq!(status.db_size_quota, 2 * 1024 * 1024 * 1024);
    let hash = served.maintenance().hash_kv(pb::HashKvRequest { revision: 0 }).await.expect("served").into_inner();
    assert_eq!((hash.hash_revision, hash.header.expect("filled").revision), (2, 2));
    let future = served.maintenance().hash_kv(pb::HashKvRequest { revision: 9 }).await;
    assert_eq!(refused(future), as_seen(Refusal::FutureRevision));
    let defragment = served.maintenance().defragment(pb::DefragmentRequest {}).await.expect("served");
    assert_eq!(defragment.into_inner().header, None);
}

#[tokio::test]
async fn leadership_is_handed_over_by_the_leader_to_a_voter_alone() {
    let served = served(Limits::default()).await;
    let to = |target_id| pb::MoveLeaderRequest { target_id };
    assert_eq!(refused(served.maintenance().move_leader(to(99)).await), as_seen(Refusal::BadLeaderTransferee));
    let stays = served.maintenance().move_leader(to(served.member())).await.expect("it leads").into_inner();
    assert_eq!(stays.header, None);
    let (served, solo) = served_alone().await;
    solo.change(|brief| brief.role = RoleName::Follower);
    assert_eq!(refused(served.maintenance().move_leader(to(served.member())).await), as_seen(Refusal::NotLeader));
}

#[tokio::test]
async fn a_downgrade_is_refused() {
    let served = served(Limits::default()).await;
    let asked = pb::DowngradeRequest { version: "3.6".into(), ..Default::default() };
    let refusal = as_seen(Refusal::InvalidDowngradeTargetVersion);
    assert_eq!(refused(served.maintenance().downgrade(asked).await), refusal);
}

#[tokio::test]
async fn members_are_added_promoted_updated_and_removed() {
    let served = served(Limits { strict_reconfig_check: false, ..Limits::default() }).await;
    let mut cluster = served.cluster();
    let add = |url: &str, is_learner| pb::MemberAddRequest { peer_ur_ls: vec![url.into()], is_learner };
    let bad = cluster.member_add(add("nonsense", false)).await;
    assert_eq!(refused(bad), as_seen(Refusal::MemberBadUrls));
    let mine = served.node.members().members[0].info.peer_urls[0].clone();
    let urls = (1..900).map(|port| format!("http://127.0.0.1:{port}")).collect();
    let longer_than_a_description = pb::MemberAddRequest { peer_ur_ls: urls, is_learner: true };
    assert_eq!(refused(cluster.member_add(longer_than_a_description).await), as_seen(Refusal::MemberBadUrls));
    let taken = cluster.member_add(add(&mine, false)).await;
    assert_eq!(refused(taken), as_seen(Refusal::PeerUrlExists));

    let added = cluster.member_add(add("http://127.0.0.1:3380", true)).await.expect("allowed").into_inner();
    let header = added.header.expect("filled");
    assert_eq!(
        (header.revision, header.cluster_id, header.member_id),
        (0, served.node.identity().cluster.0, served.member())
    );
    let learner = added.member.expect("filled");
    assert!(learner.is_learner && learner.name.is_empty() && learner.client_ur_ls.is_empty());
    assert_eq!(added.members.len(), 2);
    let another = cluster.member_add(add("http://127.0.0.1:4380", true)).await;
    assert_eq!(refused(another), as_seen(Refusal::TooManyLearners));

    let promote = |id| pb::MemberPromoteRequest { id };
    assert_eq!(refused(cluster.member_promote(promote(served.member())).await), as_seen(Refusal::MemberNotLearner));
    assert_eq!(refused(cluster.member_promote(promote(1)).await), as_seen(Refusal::MemberNotFound));
    // It never started, so it is behind for good.
    let behind = cluster.member_promote(promote(learner.id)).await;
    assert_eq!(refused(behind), as_seen(Refusal::LearnerNotReady));

    let update = pb::MemberUpdateRequest { id: learner.id, peer_ur_ls: vec!["http://127.0.0.1:5380".into()] };
    cluster.member_update(update).await.expect("allowed");
    let list = cluster.member_list(pb::MemberListRequest { linearizable: true }).await.expect("served").into_inner();
    let found = list.members.iter().find(|member| member.id == learner.id).expect("it was added");
    assert_eq!(found.peer_ur_ls, ["http://127.0.0.1:5380"]);
    let me = list.members.iter().find(|member| member.id == served.member()).expect("it is one");
    assert_eq!((me.name.as_str(), &me.client_ur_ls[..]), ("solo", &["http://127.0.0.1:1".to_string()][..]));

    let removed = cluster.member_remove(pb::MemberRemoveRequest { id: learner.id }).await.expect("allowed");
    assert_eq!(removed.into_inner().members.len(), 1);
    let again = cluster.member_remove(pb::MemberRemoveRequest { id: learner.id }).await;
    assert_eq!(refused(again), as_seen(Refusal::MemberNotFound));
}

#[tokio::test]
async fn plain_http_shares_the_port() {
    let served = served(Limits::default()).await;
    assert_eq!(served.page("/health").await, (200, r#"{"health":"true","reason":""}"#.into()));
    assert_eq!(served.page("/livez").await, (200, "ok\n".into()));
    let checks = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
    assert_eq!(served.page("/readyz?verbose").await, (200, checks.into()));
    let excluded = served.page("/readyz?verbose&exclude=linearizable_read&exclude=non_learner").await;
    assert_eq!(excluded, (200, "[+]data_corruption ok\n[+]serializable_read ok\nok\n".into()));
    let (code, version) = served.page("/version").await;
    let version: serde_json::Value = serde_json::from_str(&version).expect("JSON");
    assert_eq!(
        (code, version["etcdserver"].as_str(), version["storage"].as_str()),
        (200, Some("3.7.3"), Some("3.7.0"))
    );
    assert_eq!(served.page("/nowhere").await.0, 404);
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let served = served(Limits::default()).await;
    served.put("a", "1").await;
    served.kv().put(put("", "")).await.expect_err("no key");
    served.maintenance().status(pb::StatusRequest {}).await.expect("served");
    served.maintenance().move_leader(pb::MoveLeaderRequest { target_id: 1 }).await.expect_err("nobody");
    let (_, page) = served.page("/metrics").await;
    let count = |name: &str, method: &str, code: &str| {
        let line = page.lines().find(|line| {
            line.starts_with(name) && line.contains(&format!("\"{method}\"")) && line.contains(&format!("\"{code}\""))
        });
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(count("grpc_server_started_total", "Put", "unary").as_deref(), Some("2"));
    assert_eq!(count("grpc_server_handled_total", "Put", "OK").as_deref(), Some("1"));
    assert_eq!(count("grpc_server_handled_total", "Put", "InvalidArgument").as_deref(), Some("1"));
    assert_eq!(count("grpc_server_handled_total", "Status", "OK").as_deref(), Some("1"));
    assert_eq!(count("grpc_server_handled_total", "MoveLeader", "FailedPrecondition").as_deref(), Some("1"));
    assert_eq!(count("grpc_server_handled_total", "Watch", "OK").as_deref(), Some("0"));
    assert!(served.registry.gather().len() > 2);
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
    let served = served(Limits::default()).await;
    let health = HealthClient::new(served.channel.clone()).check(tonic_health::pb::HealthCheckRequest::default()).await;
    assert_eq!(health.expect("served").into_inner().status, 1);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(served.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(list)).await.expect("served").into_inner();
    let answer = format!("{:?}", answers.message().await.expect("a list").expect("one answer"));
    assert!(answer.contains("etcdserverpb.KV") && answer.contains("etcdserverpb.Maintenance"), "{answer}");
}

#[tokio::test]
async fn a_large_range_arrives_whole() {
    let served = served(Limits::default()).await;
    let value: Bytes = vec![b'x'; 100_000].into();
    for number in 0..50 {
        let put = pb::PutRequest { key: format!("k{number:03}").into(), value: value.clone(), ..Default::default() };
        served.kv().put(put).await.expect("fits");
    }
    let all = served.kv().range(range("k", "l")).await.expect("fits").into_inner();
    assert_eq!((all.kvs.len(), all.count), (50, 50));
    assert!(all.kvs.iter().all(|kv| kv.value == value));
}
