//! Against a listener that answers as members do. A transfer between real members is what the process tests show.

use super::*;
use crate::command::status::tests::listener;
use admin_api::{Id, Member};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const WITHIN: Duration = Duration::from_secs(10);

fn status(role: Role) -> (u16, String) {
    (200, serde_json::to_string(&MemberStatus { role, ..MemberStatus::default() }).unwrap())
}

fn members(voters: u64) -> (u16, String) {
    let member = |n| Member { id: Id(n), voter: true, ..Member::default() };
    let members = Members { members: (1..=voters).map(member).collect(), ..Members::default() };
    (200, serde_json::to_string(&members).unwrap())
}

#[tokio::test]
async fn who_does_not_lead_has_nothing_to_hand_over() {
    let follower = listener(|_| status(Role::Follower));
    let alone = listener(|path| if path == PATH_STATUS { status(Role::Leader) } else { members(1) });
    let gone = "http://127.0.0.1:1".parse().unwrap();
    for endpoint in [follower, alone, gone] {
        let outcome = hand_over(&AdminClient::default(), &endpoint, WITHIN).await;
        assert!(matches!(outcome, Outcome::Nothing(_)), "{endpoint}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_leader_whose_followers_are_behind_is_asked_again() {
    let asked = AtomicU32::new(0);
    let leader = listener(move |path| match path {
        PATH_STATUS => status(Role::Leader),
        PATH_MEMBERS => members(3),
        _ if asked.fetch_add(1, Ordering::Relaxed) == 0 => (412, r#"{"message": "nobody is caught up"}"#.into()),
        _ => (200, r#"{"leader": "2", "term": 7}"#.into()),
    });
    let outcome = hand_over(&AdminClient::default(), &leader, WITHIN).await;
    assert_eq!(outcome, Outcome::HandedOver(LeaderTransferred { leader: Id(2), term: 7 }));
}

#[tokio::test]
async fn a_leader_that_cannot_let_go_is_told_of_within_the_bound() {
    let leader = listener(|path| match path {
        PATH_STATUS => status(Role::Leader),
        PATH_MEMBERS => members(3),
        _ => (412, r#"{"message": "nobody is caught up"}"#.into()),
    });
    let begun = Instant::now();
    let outcome = hand_over(&AdminClient::default(), &leader, Duration::from_secs(1)).await;
    assert_eq!(outcome, Outcome::Failed("nobody is caught up".into()));
    assert!(begun.elapsed() < Duration::from_secs(3));
}
