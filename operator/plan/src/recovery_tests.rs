//! The table of cases of a lost quorum.

use crate::fixtures::*;
use crate::*;
use std::time::Duration;

/// The cluster of the fixtures, and the one that a member of it becomes.
const FORMER: u64 = 0xc;
const NEW: u64 = 0xd;

fn asked(word: &str) -> Wanted {
    asked_of(word, Survivor::Furthest)
}

fn asked_of(word: &str, survivor: Survivor) -> Wanted {
    Wanted { recovery: Some(RecoveryWanted { request: word.into(), survivor }), ..Wanted::of(3) }
}

/// What is remembered when the status has said that the quorum is lost.
fn lost() -> Memory {
    Memory { quorum_lost: true, ..Memory::formed(3) }
}

fn refused(memory: &Memory) -> Option<(&str, Refused)> {
    memory.recovery_refused.as_ref().map(|refused| (refused.request.as_str(), refused.why))
}

fn stage(memory: &Memory) -> Option<RecoveryStage> {
    memory.recovery.as_ref().map(|recovery| recovery.stage)
}

fn recover(ordinal: Ordinal, word: &str) -> Decision {
    Action::RecoverQuorum { ordinal, member: member(ordinal), cluster: FORMER, request: word.into() }.into()
}

/// Taken up, for the member at place 0.
fn taken_up() -> Memory {
    plan(&asked("monday"), &lost(), &Observed::healthy(3).quorum_lost(&[(0, (3, 40))])).memory
}

/// The member at place 0 is a cluster of its own; pods of the others are there.
fn recovered() -> Observed {
    let seen = Observed::healthy(3).without_member(1).without_member(2);
    seen.of_cluster(NEW).shown(0, |shown| {
        shown.cluster = NEW;
        shown.made_of = Some(MadeOf { request: "monday".into(), cluster: FORMER });
    })
}

#[test]
fn a_lost_quorum_is_said_and_left_alone() {
    let planned = plan(&Wanted::of(3), &Memory::formed(3), &Observed::healthy(3).quorum_lost(&[(0, (3, 40))]));
    assert_eq!(planned.decision, Reason::QuorumLost.into());
    assert_eq!(planned.memory, lost());
}

#[test]
fn the_member_whose_log_goes_furthest_is_chosen_written_down_and_asked() {
    for (logs, survivor) in [
        (vec![(0, (3, 40)), (2, (3, 41))], 2),
        (vec![(0, (4, 40)), (2, (3, 41))], 0),
        (vec![(1, (3, 40)), (2, (3, 40))], 1),
    ] {
        let planned = plan(&asked("monday"), &lost(), &Observed::healthy(3).quorum_lost(&logs));
        let expected = Recovery {
            request: "monday".into(),
            survivor,
            former: FORMER,
            stage: RecoveryStage::Asked { member: member(survivor) },
            started: NOW,
        };
        assert_eq!(
            (planned.memory.recovery, planned.decision),
            (Some(expected), recover(survivor, "monday")),
            "{logs:?}"
        );
    }
}

#[test]
fn a_member_that_is_named_is_asked_though_another_one_goes_further() {
    let seen = Observed::healthy(3).quorum_lost(&[(0, (3, 40)), (2, (3, 41))]);
    assert_eq!(plan(&asked_of("monday", Survivor::At(0)), &lost(), &seen).decision, recover(0, "monday"));
    for silent in [Survivor::At(1), Survivor::Nobody] {
        let planned = plan(&asked_of("monday", silent), &lost(), &seen);
        assert_eq!(refused(&planned.memory), Some(("monday", Refused::SurvivorDoesNotAnswer)));
        assert_eq!((planned.memory.recovery, planned.decision), (None, Reason::QuorumLost.into()));
    }
}

#[test]
fn nobody_is_asked_where_a_leader_is_known_or_nobody_of_this_cluster_answers_or_is_sound() {
    let seen = || Observed::healthy(3).quorum_lost(&[(0, (3, 40))]);
    let cases = [
        (seen().shown(0, |shown| shown.knows_leader = true), Refused::LeaderIsKnown),
        (seen().shown(0, |shown| shown.cluster = 0xbad), Refused::NobodyAnswers),
        (seen().shown(0, |shown| shown.corrupt = true), Refused::NobodyAnswers),
        (Observed::healthy(3).quorum_lost(&[]), Refused::NobodyAnswers),
    ];
    for (seen, why) in cases {
        let planned = plan(&asked("monday"), &lost(), &seen);
        assert_eq!(refused(&planned.memory), Some(("monday", why)));
        assert_eq!(planned.decision, Reason::QuorumLost.into());
    }
}

#[test]
fn a_word_that_is_given_while_all_is_well_is_refused_for_good() {
    let (word, well) = (asked("monday"), Observed::healthy(3));
    let planned = plan(&word, &Memory::formed(3), &well);
    assert_eq!(refused(&planned.memory), Some(("monday", Refused::NotLost)));
    assert_eq!(planned.decision, Decision::Settled, "nothing else comes of it");
    let mut memory = planned.memory;
    for _ in 0..3 {
        let planned = plan(&word, &memory, &Observed::healthy(3).quorum_lost(&[(0, (3, 40))]));
        assert_eq!((&planned.memory.recovery, planned.decision), (&None, Reason::QuorumLost.into()));
        memory = planned.memory;
    }
    assert!(memory.quorum_lost);
    let another = plan(&asked("tuesday"), &memory, &Observed::healthy(3).quorum_lost(&[(0, (3, 40))]));
    assert_eq!(another.decision, recover(0, "tuesday"), "one that is given now is another one");
}

#[test]
fn a_word_that_was_there_before_the_status_said_that_the_quorum_is_lost_is_refused() {
    // The operator was away when the word was given, and when the quorum was lost.
    let planned = plan(&asked("monday"), &Memory::formed(3), &Observed::healthy(3).quorum_lost(&[(0, (3, 40))]));
    assert_eq!(refused(&planned.memory), Some(("monday", Refused::NotLost)));
    assert_eq!((planned.memory.recovery, planned.decision), (None, Reason::QuorumLost.into()));
    // As with an object that is made anew from an old file.
    let planned = plan(&asked("monday"), &Memory::default(), &Observed::nothing());
    assert_eq!(refused(&planned.memory), Some(("monday", Refused::NotLost)));
}

#[test]
fn as_long_as_it_is_not_certain_a_word_is_neither_taken_up_nor_refused() {
    let soon = Observed::healthy(3).quorum_lost(&[(0, (3, 40))]).without_leader_for(Duration::from_secs(5));
    let planned = plan(&asked("monday"), &lost(), &soon);
    assert_eq!((refused(&planned.memory), stage(&planned.memory)), (None, None));
    assert_eq!(planned.decision, Reason::NoLeader.into());
    let mut memory = planned.memory;
    for _ in 0..2 {
        memory = plan(&asked("monday"), &memory, &Observed::healthy(3)).memory;
    }
    assert_eq!((refused(&memory), memory.quorum_lost), (Some(("monday", Refused::NotLost)), false));
}

#[test]
fn a_cluster_that_is_paused_or_asleep_has_lost_nothing() {
    let seen = Observed::healthy(3).quorum_lost(&[(0, (3, 40))]);
    let paused = Wanted { paused: true, ..asked("monday") };
    let planned = plan(&paused, &lost(), &seen);
    assert_eq!((refused(&planned.memory), stage(&planned.memory)), (None, None));
    assert_eq!(planned.decision, Reason::Paused.into());
    assert_eq!(plan(&asked("monday"), &planned.memory, &seen).decision, recover(0, "monday"));
    let planned = plan(&paused, &Memory::formed(3), &Observed::healthy(3));
    assert_eq!(refused(&planned.memory), Some(("monday", Refused::NotLost)), "said also while nothing is touched");

    let asleep = Wanted { hibernated: true, ..asked("monday") };
    let mut memory = lost();
    for _ in 0..2 {
        memory = plan(&asleep, &memory, &seen).memory;
    }
    assert_eq!((refused(&memory), stage(&memory)), (Some(("monday", Refused::NotLost)), None));
}

#[test]
fn the_member_is_asked_until_it_is_away_and_then_waited_for() {
    let answering = Observed::healthy(3).quorum_lost(&[(0, (3, 40)), (2, (9, 90))]);
    assert_eq!(plan(&asked("monday"), &taken_up(), &answering).decision, recover(0, "monday"), "who was chosen");
    let away = Observed::healthy(3).quorum_lost(&[(2, (9, 90))]);
    let planned = plan(&asked("monday"), &taken_up(), &away);
    assert_eq!((planned.memory, planned.decision), (taken_up(), Reason::RecoveringQuorum(0).into()));
    // Its word is kept although nobody asks for it any more.
    assert_eq!(plan(&Wanted::of(3), &taken_up(), &away).decision, Reason::RecoveringQuorum(0).into());
}

#[test]
fn another_word_asks_anew_as_long_as_the_first_has_come_to_nothing() {
    let both = Observed::healthy(3).quorum_lost(&[(0, (3, 40)), (2, (9, 90))]);
    let planned = plan(&asked("tuesday"), &taken_up(), &both);
    assert_eq!(planned.decision, recover(0, "tuesday"), "one of them has been asked");
    let became = recovered().without_leader_for(minutes(5));
    let planned = plan(&asked("tuesday"), &taken_up(), &became);
    assert_eq!(stage(&planned.memory), Some(RecoveryStage::Recovered { cluster: NEW }), "it had come to something");
}

#[test]
fn a_member_that_was_asked_and_does_not_answer_is_given_up_by_a_name_only() {
    let seen = Observed::healthy(3).quorum_lost(&[(2, (9, 90))]);
    let planned = plan(&asked("tuesday"), &taken_up(), &seen);
    assert_eq!(refused(&planned.memory), Some(("tuesday", Refused::EarlierUnderWay)));
    assert_eq!(planned.memory.recovery, taken_up().recovery, "the first word stands");
    let planned = plan(&asked_of("wednesday", Survivor::At(2)), &planned.memory, &seen);
    assert_eq!(planned.decision, recover(2, "wednesday"));
}

#[test]
fn what_the_member_has_become_is_the_cluster_and_the_other_places_get_new_members() {
    let join = OperationKind::Join {
        ordinal: 1,
        member: FRESH,
        old: Some(member(1)),
        wipe: None,
        why: JoinWhy::VolumeLost,
        nudged: None,
    };
    let before = Memory { operation: Some(Operation { kind: join, started: NOW }), ..taken_up() };
    let mut memory = plan(&asked("monday"), &before, &recovered()).memory;
    assert_eq!((memory.cluster, stage(&memory)), (Some(NEW), Some(RecoveryStage::Recovered { cluster: NEW })));
    for _ in 0..2 {
        memory = plan(&asked("monday"), &memory, &recovered()).memory;
    }
    // The disk there is the former cluster's, or was never any's: it goes by its identity, before anybody is added.
    let operation = memory.operation.clone().expect("a place is filled").kind;
    let wipe = Some(volume_uid(1));
    let expected =
        OperationKind::Join { ordinal: 1, member: FRESH, old: None, wipe, why: JoinWhy::ScaleOut, nudged: None };
    assert_eq!(operation, expected);
    let action = Action::DeleteVolume { ordinal: 1, uid: volume_uid(1), config_index: Some(9) };
    assert_eq!(plan(&asked("monday"), &memory, &recovered()).decision, action.into());
}

#[test]
fn a_majority_of_the_former_cluster_that_comes_back_counts_no_more() {
    let memory = plan(&asked("monday"), &taken_up(), &recovered()).memory;
    let back = Observed::healthy(3);
    assert_eq!(plan(&asked("monday"), &memory, &back).decision, Reason::NoLeader.into());
    let other = Observed::healthy(3).of_cluster(0xe);
    assert_eq!(plan(&asked("monday"), &memory, &other).decision, Reason::NoLeader.into(), "nor does anybody else");
}

#[test]
fn a_former_cluster_that_leads_again_before_anything_has_come_of_it_is_the_cluster() {
    let planned = plan(&asked("monday"), &taken_up(), &Observed::healthy(3));
    assert_eq!(stage(&planned.memory), Some(RecoveryStage::Abandoned));
    assert_eq!((planned.memory.cluster, planned.decision), (Some(FORMER), Decision::Settled));
    let later = Observed::healthy(3).quorum_lost(&[(0, (3, 40))]);
    let memory = plan(&asked("monday"), &planned.memory, &later).memory;
    assert_eq!(plan(&asked("monday"), &memory, &later).decision, Reason::QuorumLost.into(), "its word is used up");
}

#[test]
fn a_place_of_the_cluster_that_holds_another_ones_data_is_left_to_people() {
    let seen = Observed::healthy(3).follower(1, silent(minutes(60))).shown(1, |shown| shown.cluster = NEW);
    assert_eq!(plan(&Wanted::of(3), &Memory::formed(3), &seen).decision, Reason::ForeignDisk(1).into());
}

#[test]
fn it_is_done_when_every_place_has_a_voter_and_the_word_does_nothing_more() {
    let memory = Memory { operation: None, ..plan(&asked("monday"), &taken_up(), &recovered()).memory };
    let whole = Observed::healthy(3).of_cluster(NEW);
    let planned = plan(&asked("monday"), &memory, &whole);
    assert_eq!(stage(&planned.memory), Some(RecoveryStage::Done { cluster: NEW }));
    assert_eq!(planned.decision, Decision::Settled);
    let another = plan(&asked("tuesday"), &planned.memory, &whole).memory;
    assert_eq!(refused(&another), Some(("tuesday", Refused::NotLost)));
    assert_eq!(stage(&another), Some(RecoveryStage::Done { cluster: NEW }), "what was done is still known");

    let mut memory = planned.memory;
    let lost_again = Observed::healthy(3).of_cluster(NEW).quorum_lost(&[(0, (5, 50))]);
    for _ in 0..2 {
        let planned = plan(&asked("monday"), &memory, &lost_again);
        assert_eq!(planned.decision, Reason::QuorumLost.into());
        memory = planned.memory;
    }
    let again = plan(&asked("wednesday"), &memory, &lost_again.shown(0, |shown| shown.cluster = NEW));
    let action = Action::RecoverQuorum { ordinal: 0, member: member(0), cluster: NEW, request: "wednesday".into() };
    assert_eq!(again.decision, action.into(), "another word is another recovery");
}
