//! The endpoint as the operator sees it.

use super::Admin;
use super::safe::safe_to_stop;
use crate::bootstrap::{ClusterId, Due, Former, NodeInfo, Place, Recovered, StorageId, due, make_running};
use crate::config::{Mode, Wanted, load};
use crate::disk::SimDisk;
use crate::http::Pages;
use crate::node::solo::{CLUSTER, MEMBER, Solo};
use crate::node::{MemberView, MembersView};
use crate::recovery::Desk;
use crate::snapshot::SnapshotFile;
use crate::tls::InUse;
use admin_api::{
    BackupWanted, Backups, Id, MemberStatus, Members, PATH_RECOVER_QUORUM, Problem, QuorumRecovered, RecoverQuorum,
    RecoveryTaken, SafeToStop, UnsafeReason,
};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use mvcc::{Body, Put};
use prometheus::Registry;
use raft::{FollowerStatus, Index, Lag, LogId, MemberId, PausedReason, Resets, RoleName, Status, StreamState, Term};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Who the member is, on its disk.
const SOLO: Former =
    Former { cluster: ClusterId(CLUSTER), member: Id(MEMBER), storage: StorageId::from_bytes([1; 16]) };

/// Where the tests ask from.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn ask<T: DeserializeOwned>(solo: &Solo, method: Method, path: &str, body: &str) -> (StatusCode, T) {
    ask_with(solo, &Desk::new(place(), None), (method, path, body)).await
}

/// The identity of the member, on a disk of its own.
fn place() -> Place {
    let place = Place::new(Arc::new(SimDisk::new()), Path::new("data"));
    make_running(&place, "solo", SOLO);
    place
}

async fn ask_with<T: DeserializeOwned>(
    solo: &Solo,
    desk: &Desk,
    (method, path, body): (Method, &str, &str),
) -> (StatusCode, T) {
    let pages = Pages::new(solo.handle(), Registry::new()).unwrap();
    let admin = Admin::new(solo.handle(), 1 << 30, pages, (InUse::default(), desk.clone()));
    let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = admin.answer(request, HERE).await;
    let code = response.status();
    let page = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&page).unwrap_or_else(|error| panic!("{error}: {page:?}")))
}

#[tokio::test]
async fn a_member_tells_who_it_is_and_where_it_stands() {
    let solo = Solo::start();
    let (code, status) = ask::<MemberStatus>(&solo, Method::GET, "/v1/status", "").await;
    assert_eq!((code, status.identity.member_id), (StatusCode::OK, Id(MEMBER)));
    assert_eq!((status.leader, status.ready), (Some(Id(MEMBER)), true));
    assert_eq!(status.database.quota_bytes, 1 << 30);
    let (_, members) = ask::<Members>(&solo, Method::GET, "/v1/members", "").await;
    assert_eq!(members.members.len(), 1);
    assert!(members.members[0].voter);
}

/// A member that knows no leader.
fn leaderless() -> Solo {
    let solo = Solo::start();
    solo.change(|brief| (brief.role, brief.leader) = (RoleName::Follower, None));
    solo
}

fn wanted() -> RecoverQuorum {
    RecoverQuorum {
        request: "monday".into(),
        expected_cluster_id: Id(CLUSTER),
        expected_member_id: Id(MEMBER),
        accept_data_loss: true,
    }
}

async fn recover<T: DeserializeOwned>(solo: &Solo, desk: &Desk, wanted: &RecoverQuorum) -> (StatusCode, T) {
    let body = serde_json::to_string(wanted).unwrap();
    ask_with(solo, desk, (Method::POST, PATH_RECOVER_QUORUM, &body)).await
}

/// What the next start of the member would do.
fn next(place: &Place) -> Due {
    match load(Mode::Quorate, &["--name=solo".to_owned()], std::iter::empty(), &|_| true).unwrap() {
        Wanted::Run(checked) => due(place, &checked.settings).unwrap(),
        Wanted::Help(_) | Wanted::Version => panic!("neither was asked for"),
    }
}

#[tokio::test]
async fn a_request_for_recovery_is_written_down_and_ends_the_member() {
    let (solo, place) = (leaderless(), place());
    let (code, taken) = recover::<RecoveryTaken>(&solo, &Desk::new(place.clone(), None), &wanted()).await;
    assert_eq!((code, taken), (StatusCode::OK, RecoveryTaken { request: "monday".into(), done: false }));
    let Due::Begin(begun) = next(&place) else { panic!("the next start begins") };
    assert_eq!((begun.request.as_deref(), begun.former), (Some("monday"), SOLO));
    tokio::time::timeout(Duration::from_secs(5), async {
        while solo.handle().inspect().await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it ends");
}

#[tokio::test]
async fn a_request_that_is_not_meant_for_this_member_as_it_is_changes_nothing() {
    let (solo, place) = (leaderless(), place());
    let desk = Desk::new(place.clone(), None);
    let others = [
        (RecoverQuorum { expected_cluster_id: Id(1), ..wanted() }, StatusCode::CONFLICT),
        (RecoverQuorum { expected_member_id: Id(1), ..wanted() }, StatusCode::CONFLICT),
        (RecoverQuorum { accept_data_loss: false, ..wanted() }, StatusCode::BAD_REQUEST),
        (RecoverQuorum { request: String::new(), ..wanted() }, StatusCode::BAD_REQUEST),
        (RecoverQuorum { request: "x".repeat(300), ..wanted() }, StatusCode::BAD_REQUEST),
    ];
    for (other, expected) in others {
        let (code, problem) = recover::<Problem>(&solo, &desk, &other).await;
        assert_eq!(code, expected, "{other:?}: {problem:?}");
    }
    assert_eq!(next(&place), Due::Nothing);
    assert!(solo.handle().inspect().await.is_some(), "it goes on");
}

#[tokio::test]
async fn nothing_is_recovered_while_there_is_a_leader_or_one_is_being_elected() {
    let (solo, place) = (Solo::start(), place());
    let desk = Desk::new(place.clone(), None);
    let (code, problem) = recover::<Problem>(&solo, &desk, &wanted()).await;
    assert_eq!((code, problem.leader), (StatusCode::PRECONDITION_FAILED, Some(Id(MEMBER))));
    let solo = leaderless();
    let wanted = wanted();
    let mut asked = pin!(recover::<Problem>(&solo, &desk, &wanted));
    assert!(futures::poll!(&mut asked).is_pending(), "it listens for a leader first");
    solo.change(|brief| brief.leader = Some(MemberId(9)));
    let (code, problem) = asked.await;
    assert_eq!((code, problem.leader), (StatusCode::PRECONDITION_FAILED, Some(Id(9))));
    assert_eq!(next(&place), Due::Nothing);
}

#[tokio::test]
async fn a_request_that_was_carried_out_is_answered_and_shown() {
    let former = Former { cluster: ClusterId(5), member: Id(6), storage: StorageId::from_bytes([5; 16]) };
    let recovered = Recovered { former, request: Some("monday".into()), index: 40, term: 3, flag: false };
    let (solo, desk) = (Solo::start(), Desk::new(place(), Some(recovered)));
    let again = RecoverQuorum { expected_cluster_id: Id(5), expected_member_id: Id(6), ..wanted() };
    let (code, taken) = recover::<RecoveryTaken>(&solo, &desk, &again).await;
    assert_eq!((code, taken.done), (StatusCode::OK, true));
    let (_, status) = ask_with::<MemberStatus>(&solo, &desk, (Method::GET, "/v1/status", "")).await;
    let shown = QuorumRecovered {
        request: Some("monday".into()),
        former_cluster_id: Id(5),
        former_member_id: Id(6),
        index: 40,
    };
    assert_eq!((status.recovered, status.log.last_term), (Some(shown), 3));
    let (code, _) = recover::<Problem>(&solo, &desk, &RecoverQuorum { request: "tuesday".into(), ..again }).await;
    assert_eq!(code, StatusCode::CONFLICT, "it is another member now");
}

#[tokio::test]
async fn a_snapshot_is_asked_for_where_somebody_stages() {
    let solo = Solo::start();
    let (code, problem) = ask::<Problem>(&solo, Method::POST, "/v1/backups", "").await;
    assert_eq!(code, StatusCode::PRECONDITION_FAILED, "{}", problem.message);
    let delegated = mvcc::Body::Staging(mvcc::Staging::Delegated { member: MEMBER });
    solo.handle().propose(delegated).await.unwrap();
    let (code, wanted) = ask::<BackupWanted>(&solo, Method::POST, "/v1/backups", "").await;
    assert_eq!(code, StatusCode::OK);
    let (_, backups) = ask::<Backups>(&solo, Method::GET, "/v1/backups", "").await;
    assert_eq!((backups.stager, backups.wanted_index), (Some(Id(MEMBER)), wanted.index));
    assert!(backups.backups.is_empty());
}

#[tokio::test]
async fn a_member_sends_a_snapshot_as_one_file_to_a_few_at_a_time() {
    let solo = Solo::start();
    solo.handle().propose(Body::Put(Put { key: "k".into(), value: "v".into(), ..Put::default() })).await.unwrap();
    let pages = Pages::new(solo.handle(), Registry::new()).unwrap();
    let admin = Admin::new(solo.handle(), 0, pages, (InUse::default(), Desk::new(place(), None)));
    let get = || Request::get("/v1/snapshot").body(Full::new(Bytes::new())).unwrap();
    let (first, second, third) =
        (admin.answer(get(), HERE).await, admin.answer(get(), HERE).await, admin.answer(get(), HERE).await);
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(second);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, first.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(SnapshotFile::open(&path).unwrap().manifest().revision, 2);
    assert_eq!(admin.answer(get(), HERE).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_the_leader_tells_of_replication() {
    let solo = Solo::start();
    solo.change(|brief| {
        brief.role = RoleName::Follower;
        brief.leader = Some(MemberId(9));
    });
    let (code, problem) = ask::<Problem>(&solo, Method::GET, "/v1/replication", "").await;
    assert_eq!((code, problem.leader), (StatusCode::MISDIRECTED_REQUEST, Some(Id(9))));
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_before_the_cluster_hears_of_it() {
    let solo = Solo::start();
    let refused = [
        "{",
        r#"{"expectedConfigIndex": 1, "changes": []}"#,
        r#"{"expectedConfigIndex": 1, "changes": [{"change": "addLearner", "id": "5", "name": "", "peerUrls": []}]}"#,
        r#"{"expectedConfigIndex": 1, "changes": [{"change": "addLearner", "id": "0", "name": "", "peerUrls": ["http://a:1"]}]}"#,
        r#"{"expectedConfigIndex": 1, "changes": [{"change": "addLearner", "id": "5", "name": "", "peerUrls": ["a"]}]}"#,
        r#"{"changes": [{"change": "remove", "id": "5"}]}"#,
    ];
    for body in refused {
        let (code, problem) = ask::<Problem>(&solo, Method::POST, "/v1/members", body).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{body}: {problem:?}");
    }
    let (code, _) = ask::<Problem>(&solo, Method::POST, "/v1/status", "").await;
    assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED);
    let (code, _) = ask::<Problem>(&solo, Method::GET, "/v1/safe-to-stop?member=abc", "").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}

/// A page that somebody looks at could ask etcd on the same machine for changes (CVE-2018-1098, CVE-2018-1099).
#[tokio::test]
async fn a_page_in_a_browser_cannot_change_anything() {
    let solo = Solo::start();
    let pages = Pages::new(solo.handle(), Registry::new()).unwrap();
    let admin = Admin::new(solo.handle(), 1 << 30, pages, (InUse::default(), Desk::new(place(), None)));
    for path in ["/v1/members", "/v1/transfer-leader", PATH_RECOVER_QUORUM, "/v1/backups"] {
        for origin in ["https://elsewhere.example", "http://localhost:2381", "null"] {
            let request = Request::post(path).header("origin", origin).header("content-type", "text/plain");
            let request = request.body(Full::new(Bytes::from("{}"))).unwrap();
            assert_eq!(admin.answer(request, HERE).await.status(), StatusCode::FORBIDDEN, "{path} from {origin}");
        }
    }
}

/// The name of a page that somebody looks at may come to lead here: its browser would hand it the whole store.
#[tokio::test]
async fn a_page_in_a_browser_cannot_read_under_a_name_of_its_own() {
    let solo = Solo::start();
    let pages = Pages::new(solo.handle(), Registry::new()).unwrap();
    let admin = Admin::new(solo.handle(), 1 << 30, pages, (InUse::default(), Desk::new(place(), None)));
    for path in ["/v1/snapshot", "/v1/status", "/v1/members", "/metrics"] {
        for (host, expected) in [("page.example:2381", StatusCode::FORBIDDEN), ("localhost:2381", StatusCode::OK)] {
            let request = Request::get(path).header("host", host).body(Full::new(Bytes::new())).unwrap();
            assert_eq!(admin.answer(request, HERE).await.status(), expected, "{path} of {host}");
        }
    }
}

fn view(voters: u64) -> MembersView {
    let member = |id| MemberView {
        id: MemberId(id),
        info: NodeInfo::default(),
        name: String::new(),
        client_urls: Vec::new(),
        learner: false,
    };
    MembersView {
        cluster: ClusterId(1),
        at: Index(1),
        committed: true,
        joint: false,
        members: (1..=voters).map(member).collect(),
        removed: BTreeSet::new(),
    }
}

fn follower(member: u64, lag: u64) -> FollowerStatus {
    FollowerStatus {
        member: MemberId(member),
        learner: false,
        state: StreamState::Replicate,
        paused: PausedReason::None,
        matched: LogId::new(1, 10),
        next: Index(11),
        lag: Lag { entries: lag, ..Lag::default() },
        applied: Index(10),
        in_flight_messages: 0,
        in_flight_bytes: 0,
        window_bytes: 0,
        credit_bytes: 0,
        round_trip: None,
        ack_bytes_per_second: 0,
        silent_for: Some(Duration::from_millis(50)),
        rejections: 0,
        resets: Resets::new(),
    }
}

/// What the leader, member 1, sees.
fn leader(followers: Vec<FollowerStatus>) -> Status {
    Status {
        id: MemberId(1),
        term: Term(1),
        role: RoleName::Leader,
        leader: Some(MemberId(1)),
        last: LogId::new(1, 10),
        durable: LogId::new(1, 10),
        commit: Index(10),
        applied: Index(10),
        first: Index(1),
        membership_at: Index(1),
        membership_committed: true,
        transferring: false,
        quorum_heard: true,
        followers,
    }
}

fn silent(member: u64) -> FollowerStatus {
    FollowerStatus { silent_for: Some(Duration::from_secs(60)), ..follower(member, 0) }
}

#[test]
fn a_follower_may_stop_while_the_others_are_a_quorum_that_keeps_up() {
    let stop = |member, followers: Vec<FollowerStatus>| {
        let voters = followers.len() as u64 + 1;
        safe_to_stop(MemberId(member), &leader(followers), &view(voters))
    };
    assert_eq!(stop(2, vec![follower(2, 0), follower(3, 5)]), SafeToStop { safe: true, reasons: vec![] });
    assert_eq!(stop(1, vec![follower(2, 0), follower(3, 0)]).reasons, [UnsafeReason::IsLeader]);
    let lost = UnsafeReason::QuorumWouldBeLost { caught_up: 1, required: 2 };
    let behind = |lag_entries| UnsafeReason::CatchingUp { member: Id(3), lag_entries };
    assert_eq!(stop(2, vec![follower(2, 0), follower(3, 9999)]).reasons, [lost.clone(), behind(9999)]);
    assert_eq!(stop(2, vec![follower(2, 0), silent(3)]).reasons, [lost, behind(0)]);
    let alone = UnsafeReason::QuorumWouldBeLost { caught_up: 0, required: 1 };
    assert_eq!(stop(1, vec![]).reasons, [alone], "nobody is left to lead");
}

#[test]
fn nobody_may_stop_while_the_membership_changes() {
    let changing = MembersView { joint: true, ..view(3) };
    let seen = leader(vec![follower(2, 0), follower(3, 0)]);
    let stop = safe_to_stop(MemberId(2), &seen, &changing);
    assert_eq!(stop.reasons, [UnsafeReason::MembershipChanging]);
}
