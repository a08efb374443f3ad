use super::*;
use crate::bootstrap::ClusterId;
use raft::Index;

fn member(id: u64, name: &str, learner: bool) -> MemberView {
    let info = NodeInfo { peer_urls: vec![format!("http://127.0.0.1:{}", 2380 + id)], ..NodeInfo::default() };
    MemberView { id: MemberId(id), info, name: name.into(), client_urls: vec![], learner }
}

fn view(members: Vec<MemberView>) -> MembersView {
    MembersView {
        cluster: ClusterId(1),
        at: Index(1),
        committed: true,
        joint: false,
        members,
        removed: BTreeSet::new(),
    }
}

fn started(count: u64) -> Vec<MemberView> {
    (1..=count).map(|id| member(id, "m", false)).collect()
}

#[test]
fn peer_urls_are_written_in_one_form_and_sorted() {
    let urls = ["http://b:1".into(), " http://a:1 ".into(), "http://b:1".into()];
    assert_eq!(peer_urls(&urls), Ok(vec!["http://a:1".into(), "http://b:1".into()]));
}

#[test]
fn peer_urls_that_are_none_are_refused() {
    for urls in [&[][..], &["127.0.0.1:2380"], &["ftp://a:1"], &["http://a"], &["http://a:1/path"], &["http://a:1", ""]]
    {
        let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
        assert_eq!(peer_urls(&urls), Err(Refusal::MemberBadUrls), "{urls:?}");
    }
}

#[test]
fn a_peer_url_belongs_to_one_member() {
    let view = view(started(3));
    let taken = ["http://127.0.0.1:2382".to_string()];
    assert_eq!(refuse_taken_urls(&view, None, &taken), Err(Refusal::PeerUrlExists));
    assert_eq!(refuse_taken_urls(&view, Some(MemberId(1)), &taken), Err(Refusal::PeerUrlExists));
    assert_eq!(refuse_taken_urls(&view, Some(MemberId(2)), &taken), Ok(()));
}

#[test]
fn a_voter_is_added_only_if_a_majority_would_be_started() {
    let add = |members| refuse_unless_quorum_started(&view(members), Resize::Add);
    assert_eq!(add(started(1)), Ok(()));
    assert_eq!(add(started(3)), Ok(()));
    let one_silent = [started(1), vec![member(2, "", false)]].concat();
    assert_eq!(add(one_silent), Err(Refusal::NotEnoughStarted));
    let two_silent = [started(2), vec![member(3, "", false)]].concat();
    assert_eq!(add(two_silent), Err(Refusal::NotEnoughStarted));
}

#[test]
fn a_voter_is_removed_only_if_the_rest_has_a_majority_that_is_started() {
    let remove = |members, id| refuse_unless_quorum_started(&view(members), Resize::Remove(MemberId(id)));
    assert_eq!(remove(started(3), 1), Ok(()));
    assert_eq!(remove(started(1), 1), Err(Refusal::NotEnoughStarted));
    let one_silent = [started(2), vec![member(3, "", false)]].concat();
    assert_eq!(remove(one_silent.clone(), 1), Err(Refusal::NotEnoughStarted));
    assert_eq!(remove(one_silent, 3), Ok(()));
}

#[test]
fn learners_do_not_count_until_they_are_promoted() {
    let with_learner = |name| [started(2), vec![member(3, name, true)]].concat();
    assert_eq!(refuse_unless_quorum_started(&view(with_learner("")), Resize::Remove(MemberId(2))), Ok(()));
    assert_eq!(refuse_unless_quorum_started(&view(with_learner("m")), Resize::Promote(MemberId(3))), Ok(()));
    let alone = [started(1), vec![member(2, "", true)]].concat();
    let promote = refuse_unless_quorum_started(&view(alone), Resize::Promote(MemberId(2)));
    assert_eq!(promote, Err(Refusal::NotEnoughStarted));
}

#[test]
fn learners_have_a_limit() {
    let one = view([started(1), vec![member(2, "", true)]].concat());
    assert_eq!(refuse_another_learner(&one, 2), Ok(()));
    assert_eq!(refuse_another_learner(&one, 1), Err(Refusal::TooManyLearners));
}

#[test]
fn a_new_id_is_nobodys() {
    let id = new_id(&view(started(3)));
    assert!(id != MemberId::NONE && view(started(3)).get(id).is_none());
}
