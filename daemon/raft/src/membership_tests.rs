use super::change::StepError;
use super::*;
use crate::input::Change;
use crate::output::MembershipError;
use crate::testdata::{self, Case};
use proptest::prelude::*;
use std::fmt::Write;

/// `v1 l2 r3 u4`
fn changes(case: &Case) -> Vec<Change> {
    let words = case.input.iter().flat_map(|line| line.split_whitespace());
    words
        .map(|word| {
            let id = MemberId(word[1..].parse().expect("an id"));
            match &word[..1] {
                "v" => Change::AddVoter(id, Bytes::new()),
                "l" => Change::AddLearner(id, Bytes::new()),
                "r" => Change::Remove(id),
                "u" => Change::Update(id, Bytes::new()),
                _ => panic!("{}: no such change: {word}", case.place),
            }
        })
        .collect()
}

fn list(ids: &BTreeSet<MemberId>) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" ")
}

/// The configuration and one line for each member, as etcd-raft prints them. `next` is the step in which a member's
/// progress began: it must survive every change that keeps the member.
fn shown(membership: &Membership, begun: &BTreeMap<MemberId, u64>) -> Vec<String> {
    let mut line = format!("voters=({})", list(&membership.voters));
    if membership.is_joint() {
        write!(line, "&&({})", list(&membership.voters_outgoing)).expect("strings take everything");
    }
    for (name, ids) in [("learners", &membership.learners), ("learners_next", &membership.learners_next)] {
        if !ids.is_empty() {
            write!(line, " {name}=({})", list(ids)).expect("strings take everything");
        }
    }
    if membership.auto_leave {
        line.push_str(" autoleave");
    }
    let member = |id: MemberId| {
        let learner = if membership.learners.contains(&id) { " learner" } else { "" };
        format!("{}: StateProbe match=0 next={}{learner}", id.0, begun[&id])
    };
    std::iter::once(line).chain(membership.members().map(member)).collect()
}

fn step(case: &Case, membership: &Membership) -> Result<Membership, StepError> {
    match case.directive.as_str() {
        "simple" => membership.simple(&changes(case)),
        "enter-joint" => membership.enter_joint(case.argument("autoleave") == Some("true"), &changes(case)),
        "leave-joint" => membership.leave_joint(),
        other => panic!("{}: no such directive: {other}", case.place),
    }
}

#[test]
fn every_case_of_etcd_raft_comes_out_the_same() {
    let mut played = 0;
    for file in testdata::files("confchange") {
        let (mut membership, mut begun) = (Membership::default(), BTreeMap::new());
        for (number, case) in file.iter().enumerate() {
            let found = match step(case, &membership) {
                Ok(next) => {
                    begun.retain(|id, _| next.is_member(*id));
                    next.members().for_each(|id| {
                        begun.entry(id).or_insert((number as u64).max(1));
                    });
                    membership = next;
                    shown(&membership, &begun)
                }
                Err(error) => vec![error.to_string()],
            };
            assert_eq!(found, case.expected, "{}", case.place);
            played += 1;
        }
    }
    println!("{played} cases");
}

fn three() -> Membership {
    Membership::bootstrap((1..=3).map(|id| (MemberId(id), Bytes::from(format!("node {id}")))))
}

#[test]
fn one_voter_moves_in_one_step_and_two_go_through_a_joint_configuration() {
    let one = plan(&three(), &[Change::Remove(MemberId(3))]).expect("allowed");
    assert!(!one.is_joint());
    let swap = [Change::Remove(MemberId(3)), Change::AddVoter(MemberId(4), Bytes::from_static(b"node 4"))];
    let joint = plan(&three(), &swap).expect("allowed");
    assert!(joint.is_joint() && joint.auto_leave);
    assert!(joint.nodes.contains_key(&MemberId(3)), "it votes in the outgoing half, so it must be reachable");
    let left = joint.leave_joint().expect("joint");
    assert_eq!(list(&left.voters), "1 2 4");
    assert!(!left.nodes.contains_key(&MemberId(3)));
}

#[test]
fn a_removed_member_never_returns() {
    let without = plan(&three(), &[Change::Remove(MemberId(3))]).expect("allowed");
    for change in [Change::AddVoter(MemberId(3), Bytes::new()), Change::AddLearner(MemberId(3), Bytes::new())] {
        assert_eq!(plan(&without, &[change]), Err(MembershipError::Tombstoned(MemberId(3))));
    }
    let both = [Change::Remove(MemberId(3)), Change::AddLearner(MemberId(3), Bytes::new())];
    assert_eq!(plan(&three(), &both), Err(MembershipError::Tombstoned(MemberId(3))));
}

#[test]
fn an_address_is_kept_through_promotion_and_replaced_by_an_update() {
    let id = MemberId(4);
    let learner = plan(&three(), &[Change::AddLearner(id, Bytes::from_static(b"old"))]).expect("allowed");
    let voter = plan(&learner, &[Change::Promote(id)]).expect("allowed");
    assert_eq!(voter.nodes[&id], "old");
    let moved = plan(&voter, &[Change::Update(id, Bytes::from_static(b"new"))]).expect("allowed");
    assert_eq!(moved.nodes[&id], "new");
}

#[test]
fn a_truncated_configuration_gives_way_to_the_one_before() {
    let next = plan(&three(), &[Change::Remove(MemberId(3))]).expect("allowed");
    let mut memberships = Memberships::new(Index::ZERO, vec![(Index::ZERO, three())]);
    memberships.push(Index(7), next.clone());
    assert_eq!((memberships.at(), memberships.committed(Index(6)).0), (Index(7), Index::ZERO));
    assert!(!memberships.truncate(Index(8)));
    assert!(memberships.truncate(Index(5)));
    assert_eq!(memberships.effective(), &three());
    memberships.push(Index(6), next.clone());
    memberships.forget_before(Index(6));
    assert_eq!(memberships.committed(Index(6)), (Index(6), &next));
}

#[test]
fn the_first_configuration_that_a_newcomer_hears_of_is_certain_only_once_it_is_committed() {
    let without = plan(&three(), &[Change::Remove(MemberId(3))]).expect("allowed");
    let mut memberships = Memberships::new(Index::ZERO, vec![(Index(3), without.clone())]);
    assert_eq!((memberships.at(), memberships.effective()), (Index(3), &without));
    assert_eq!(memberships.committed(Index(2)), (Index::ZERO, &Membership::default()), "it may be taken back");
    assert_eq!(memberships.committed(Index(3)), (Index(3), &without));
    assert!(memberships.truncate(Index(2)));
    assert_eq!(memberships.effective(), &Membership::default());
}

fn some_ids() -> impl Strategy<Value = BTreeSet<MemberId>> {
    prop::collection::btree_set((1..=u64::MAX).prop_map(MemberId), 0..6)
}

prop_compose! {
    fn some_membership()(
        voters in some_ids(),
        voters_outgoing in some_ids(),
        learners in some_ids(),
        learners_next in some_ids(),
        removed in some_ids(),
        auto_leave in any::<bool>(),
        nodes in prop::collection::btree_map(
            (1..=u64::MAX).prop_map(MemberId),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from),
            0..6,
        ),
    ) -> Membership {
        Membership { voters, voters_outgoing, learners, learners_next, auto_leave, nodes, removed }
    }
}

proptest! {
    #[test]
    fn a_membership_survives_its_bytes(membership in some_membership()) {
        prop_assert_eq!(Membership::decode(membership.encode()), Ok(membership));
    }

    #[test]
    fn bytes_cut_short_or_longer_are_refused(membership in some_membership(), cut in any::<prop::sample::Index>()) {
        let bytes = membership.encode();
        prop_assert!(Membership::decode(bytes.slice(..cut.index(bytes.len()))).is_err());
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(Membership::decode(longer.into()).is_err());
    }

    #[test]
    fn any_bytes_are_refused_or_say_the_same_again(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(membership) = Membership::decode(bytes.clone().into()) {
            prop_assert_eq!(membership.encode(), bytes);
        }
    }
}
