//! The endpoint as the operator sees it.

use super::Admin;
use super::safe::safe_to_stop;
use crate::bootstrap::{ClusterId, NodeInfo};
use crate::http::Pages;
use crate::node::solo::{MEMBER, Solo};
use crate::node::{MemberView, MembersView};
use crate::snapshot::SnapshotFile;
use crate::tls::InUse;
use admin_api::{BackupWanted, Backups, Id, MemberStatus, Members, Problem, SafeToStop, UnsafeReason};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use mvcc::{Body, Put};
use prometheus::Registry;
use raft::{FollowerStatus, Index, Lag, LogId, MemberId, PausedReason, Resets, RoleName, Status, StreamState, Term};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::time::Duration;

async fn ask<T: DeserializeOwned>(solo: &Solo, method: Method, path: &str, body: &str) -> (StatusCode, T) {
    let pages = Pages::new(solo.handle(), Registry::new()).unwrap();
    let admin = Admin::new(solo.handle(), 1 << 30, pages, InUse::default());
    let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = admin.answer(request).await;
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
    let admin = Admin::new(solo.handle(), 0, pages, InUse::default());
    let get = || Request::get("/v1/snapshot").body(Full::new(Bytes::new())).unwrap();
    let (first, second, third) = (admin.answer(get()).await, admin.answer(get()).await, admin.answer(get()).await);
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(second);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, first.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(SnapshotFile::open(&path).unwrap().manifest().revision, 2);
    assert_eq!(admin.answer(get()).await.status(), StatusCode::OK);
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
