//! Against listeners that answer as members do, and as they should not.

use super::*;
use admin_api::{Follower, Id, Identity, Role};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Answers each call with the text for its path.
pub(in crate::command) fn listener(answers: impl Fn(&str) -> (u16, String) + Send + 'static) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let bytes = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..bytes]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = answers(path);
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    address
}

fn leader(path: &str) -> (u16, String) {
    let identity = Identity { name: "m1".into(), member_id: Id(1), ..Identity::default() };
    let status = MemberStatus { identity, role: Role::Leader, leader: Some(Id(1)), term: 3, ..MemberStatus::default() };
    let follower = Follower { member: Id(2), name: "m2".into(), lag_entries: 9, ..Follower::default() };
    let replication = Replication { leader: Id(1), followers: vec![follower], ..Replication::default() };
    match path {
        PATH_STATUS => (200, serde_json::to_string(&status).unwrap()),
        PATH_REPLICATION => (200, serde_json::to_string(&replication).unwrap()),
        _ => (404, "{}".into()),
    }
}

#[tokio::test]
async fn the_leader_is_asked_about_its_followers() {
    let seen = look(&AdminClient::default(), &[listener(leader)]).await;
    assert_eq!(seen.heard[0].status.as_ref().unwrap().term, 3);
    assert_eq!(seen.replication.as_ref().unwrap().followers[0].lag_entries, 9);
    assert_eq!(to_json(&seen)["replication"]["followers"][0]["lagEntries"], 9);
}

#[tokio::test]
async fn who_does_not_answer_as_a_member_is_told_apart() {
    let gone = listener(|_| (200, String::new()));
    let closed: Address = "http://127.0.0.1:1".parse().unwrap();
    let refusing = listener(|_| (503, r#"{"message": "starting"}"#.into()));
    let secret: Address = "https://127.0.0.1:1".parse().unwrap();
    let stranger = listener(|_| (404, "<html>".into()));
    let seen = look(&AdminClient::default(), &[gone, closed, refusing, stranger]).await;
    let errors: Vec<_> = seen.heard.iter().map(|one| one.status.clone().unwrap_err()).collect();
    assert!(errors[0].starts_with("not an admin endpoint: EOF"), "{}", errors[0]);
    assert!(errors[1].starts_with("cannot connect: Connection refused"), "{}", errors[1]);
    assert_eq!(errors[2], "starting");
    assert_eq!(errors[3], "not an admin endpoint: 404 Not Found");
    let unverified = AdminClient::default().get::<MemberStatus>(&secret, PATH_STATUS).await.unwrap_err().to_string();
    assert!(unverified.starts_with("cannot connect: "), "{unverified}");
}
