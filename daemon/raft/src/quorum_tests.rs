use super::*;
use crate::membership::Membership;
use crate::testdata::{self, Case};
use proptest::prelude::*;

fn ids(text: &str) -> Vec<MemberId> {
    let list = text.trim_matches(['(', ')']);
    list.split(',').filter(|word| !word.is_empty()).map(|word| MemberId(word.trim().parse().expect("an id"))).collect()
}

fn values(text: &str) -> Vec<&str> {
    text.trim_matches(['(', ')']).split(',').map(str::trim).collect()
}

/// `cfg=(1,2) cfgj=(2,3)`; the values belong to all members of both, ascending, `_` for none.
fn membership(case: &Case) -> (Membership, Vec<MemberId>) {
    let half = |name| case.argument(name).filter(|text| *text != "zero").map_or_else(Vec::new, ids);
    let (voters, outgoing): (BTreeSet<_>, BTreeSet<_>) =
        (half("cfg").into_iter().collect(), half("cfgj").into_iter().collect());
    // The values follow the order in which the ids are written, each id once.
    let mut written = Vec::new();
    for id in half("cfg").into_iter().chain(half("cfgj")) {
        if !written.contains(&id) {
            written.push(id);
        }
    }
    (Membership { voters, voters_outgoing: outgoing, ..Membership::default() }, written)
}

fn committed(case: &Case) -> String {
    let (membership, written) = membership(case);
    let given: Vec<u64> = case
        .argument("idx")
        .map_or_else(Vec::new, values)
        .into_iter()
        .map(|value| if value == "_" { 0 } else { value.parse().expect("an index") })
        .collect();
    let indexes: BTreeMap<_, _> = written.into_iter().zip(given).collect();
    let reached = membership.quorum_of(|id| indexes.get(&id).copied().unwrap_or(0));
    reached.map_or("∞".to_owned(), |index| index.to_string())
}

fn vote(case: &Case) -> String {
    let (membership, written) = membership(case);
    let given = case.argument("votes").map_or_else(Vec::new, values);
    let votes = written.into_iter().zip(given).filter(|(_, vote)| *vote != "_").map(|(id, vote)| (id, vote == "y"));
    format!("Vote{:?}", membership.ballot(&votes.collect()))
}

#[test]
fn every_case_of_etcd_raft_comes_out_the_same() {
    let mut played = 0;
    for case in testdata::cases("quorum") {
        let expected = case.expected.last().cloned().unwrap_or_default();
        let expected = expected.trim_start_matches("<empty majority quorum>").to_owned();
        let found = match case.directive.as_str() {
            "committed" => committed(&case),
            "vote" => vote(&case),
            other => panic!("{}: no such directive: {other}", case.place),
        };
        assert_eq!(found, expected, "{}", case.place);
        played += 1;
    }
    println!("{played} cases");
}

/// The definition, said another way: sort, and take the one in the middle.
fn by_sorting(voters: &BTreeSet<MemberId>, values: &BTreeMap<MemberId, u64>) -> Option<u64> {
    let mut sorted: Vec<_> = voters.iter().map(|id| values.get(id).copied().unwrap_or(0)).collect();
    sorted.sort_unstable();
    sorted.reverse();
    sorted.get(voters.len() / 2).copied()
}

fn some_voters() -> impl Strategy<Value = BTreeSet<MemberId>> {
    prop::collection::btree_set((1..12u64).prop_map(MemberId), 0..9)
}

proptest! {
    #[test]
    fn a_majority_has_reached_what_stands_in_the_middle(
        voters in some_voters(),
        values in prop::collection::btree_map((1..12u64).prop_map(MemberId), 0..20u64, 0..12),
    ) {
        let value = |id| values.get(&id).copied().unwrap_or(0);
        prop_assert_eq!(reached(&voters, value), by_sorting(&voters, &values));
    }

    #[test]
    fn an_election_is_decided_exactly_when_missing_votes_cannot_change_it(
        voters in some_voters(),
        votes in prop::collection::btree_map((1..12u64).prop_map(MemberId), any::<bool>(), 0..12),
    ) {
        let fill = |vote: bool| {
            let mut all = votes.clone();
            voters.iter().for_each(|id| { all.entry(*id).or_insert(vote); });
            ballot(&voters, &all)
        };
        let expected = match (fill(true), fill(false)) {
            (Ballot::Won, Ballot::Won) => Ballot::Won,
            (Ballot::Lost, Ballot::Lost) => Ballot::Lost,
            _ => Ballot::Pending,
        };
        prop_assert_eq!(ballot(&voters, &votes), expected);
    }

    #[test]
    fn two_quorums_of_neighbouring_configurations_share_a_voter(
        voters in some_voters().prop_filter("somebody votes", |voters| !voters.is_empty()),
        moved in (1..12u64).prop_map(MemberId),
        yes in some_voters(),
    ) {
        let mut next = voters.clone();
        if !next.remove(&moved) {
            next.insert(moved);
        }
        let votes = |given: bool| voters.union(&next).map(|id| (*id, yes.contains(id) == given)).collect();
        let (one, other): (BTreeMap<_, _>, BTreeMap<_, _>) = (votes(true), votes(false));
        // Nobody says yes to both, so both cannot win.
        let both = ballot(&voters, &one) == Ballot::Won && ballot(&next, &other) == Ballot::Won;
        prop_assert!(!both || next.is_empty());
    }
}
