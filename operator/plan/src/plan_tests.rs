//! The table of cases.

use crate::fixtures::*;
use crate::*;
use std::time::Duration;

fn decide(wanted: &Wanted, memory: &Memory, seen: &Observed) -> Decision {
    plan(wanted, memory, seen).decision
}

/// What is done, step by step, as long as only the memory changes.
fn settle(wanted: &Wanted, memory: &Memory, seen: &Observed) -> Plan {
    let mut planned = plan(wanted, memory, seen);
    for _ in 0..5 {
        let next = plan(wanted, &planned.memory, seen);
        if next == planned {
            break;
        }
        planned = next;
    }
    planned
}

fn act(wanted: &Wanted, memory: &Memory, seen: &Observed) -> Action {
    match settle(wanted, memory, seen).decision {
        Decision::Act(action) => action,
        other => panic!("no action but {other:?}"),
    }
}

fn wait(wanted: &Wanted, memory: &Memory, seen: &Observed) -> Reason {
    match settle(wanted, memory, seen).decision {
        Decision::Wait(reason) => reason,
        other => panic!("no wait but {other:?}"),
    }
}

fn delete_pod(ordinal: Ordinal, safe: Option<MemberId>) -> Action {
    Action::DeletePod { ordinal, uid: pod_uid(ordinal), safe }
}

fn three() -> (Wanted, Memory) {
    (Wanted::of(3), Memory::formed(3))
}

mod forming {
    use super::*;

    #[test]
    fn nothing_is_made_into_everything() {
        let planned = plan(&Wanted::of(3), &Memory::default(), &Observed::nothing());
        assert_eq!(planned.decision, Action::Apply.into());
        assert_eq!(planned.memory.places, 3);
        assert_eq!(planned.memory.cluster, None);
    }

    #[test]
    fn forming_ends_when_a_leader_is_seen() {
        let memory = Memory { replicas: Some(3), places: 3, ..Memory::default() };
        let waiting = Observed { membership: None, ..Observed::healthy(3) };
        assert_eq!(plan(&Wanted::of(3), &memory, &waiting).decision, Reason::Forming.into());
        let planned = plan(&Wanted::of(3), &memory, &Observed::healthy(3));
        assert_eq!(planned.memory.cluster, Some(0xc));
    }

    #[test]
    fn a_wish_that_changes_while_forming_waits() {
        let memory = Memory { replicas: Some(3), places: 3, ..Memory::default() };
        let waiting = Observed { membership: None, ..Observed::healthy(3) };
        let planned = plan(&Wanted::of(5), &memory, &waiting);
        assert_eq!((planned.memory.places, planned.decision), (3, Reason::Forming.into()));
    }

    #[test]
    fn a_set_that_is_larger_than_the_wish_is_taken_as_it_is_when_nothing_is_remembered() {
        let planned = plan(&Wanted::of(3), &Memory::default(), &Observed::healthy(5));
        assert_eq!(planned.memory.places, 5, "no pod is taken away before its member");
    }
}

mod steady {
    use super::*;

    #[test]
    fn a_healthy_cluster_is_settled() {
        let (wanted, memory) = three();
        assert_eq!(decide(&wanted, &memory, &Observed::healthy(3)), Decision::Settled);
    }

    #[test]
    fn drift_is_healed() {
        let (wanted, memory) = three();
        let seen = Observed { drifted: true, ..Observed::healthy(3) };
        assert_eq!(act(&wanted, &memory, &seen), Action::Apply);
        let no_set = Observed { set: None, ..Observed::healthy(3) };
        assert_eq!(act(&wanted, &memory, &no_set), Action::Apply);
    }

    #[test]
    fn a_paused_cluster_is_left_alone() {
        let (mut wanted, memory) = three();
        wanted.paused = true;
        let broken = Observed { drifted: true, ..Observed::healthy(3) }.without_pod(1);
        assert_eq!(wait(&wanted, &memory, &broken), Reason::Paused);
    }

    #[test]
    fn a_set_that_was_scaled_down_by_hand_is_set_right_without_a_leader() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).set(|set| set.replicas = 0).without_leader_for(minutes(5));
        assert_eq!(act(&wanted, &memory, &seen), Action::SetReplicas { set: set_uid(), from: 0, to: 3 });
    }

    #[test]
    fn a_set_that_was_scaled_up_by_hand_is_scaled_back_in_order() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).with_pod(3).with_volume(3).set(|set| set.replicas = 4);
        let volume = Action::DeleteVolume { ordinal: 3, uid: volume_uid(3), config_index: Some(7) };
        assert_eq!(act(&wanted, &memory, &seen), volume);
    }

    #[test]
    fn an_unsettled_configuration_is_waited_for() {
        let (wanted, memory) = three();
        let mut seen = Observed::healthy(3).outdated(&[0, 1, 2]);
        seen.membership.as_mut().expect("a leader").settled = false;
        assert_eq!(wait(&wanted, &memory, &seen), Reason::MembershipChanging);
    }

    #[test]
    fn a_member_of_a_strange_name_is_left_alone() {
        let (wanted, memory) = three();
        let mut seen = Observed::healthy(3).outdated(&[1]);
        seen.membership.as_mut().expect("a leader").members.get_mut(&member(2)).expect("there").ordinal = None;
        assert_eq!(wait(&wanted, &memory, &seen), Reason::StrangeMember(member(2)));
    }
}

mod quorum_lost {
    use super::*;

    #[test]
    fn nothing_is_touched() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).without_volume(0).without_pod(1).outdated(&[2]);
        assert_eq!(wait(&wanted, &memory, &seen.clone().without_leader_for(minutes(5))), Reason::QuorumLost);
        assert_eq!(wait(&wanted, &memory, &seen.without_leader_for(Duration::from_secs(2))), Reason::NoLeader);
    }

    #[test]
    fn an_outdated_pod_whose_process_does_not_run_may_still_be_replaced() {
        let memory = Memory::formed(1);
        let seen = Observed::healthy(1).outdated(&[0]).pod(0, |pod| pod.state = PodState::Down);
        assert_eq!(act(&Wanted::of(1), &memory, &seen.without_leader_for(minutes(5))), delete_pod(0, None));
    }

    #[test]
    fn volumes_grow_all_the_same() {
        let (mut wanted, memory) = three();
        wanted.storage_bytes = 2 * GIB;
        let seen = Observed::healthy(3).without_leader_for(minutes(5));
        let grown = Action::GrowVolume { ordinal: 0, uid: volume_uid(0), bytes: 2 * GIB };
        assert_eq!(act(&wanted, &memory, &seen), grown);
    }
}

mod scaling {
    use super::*;

    fn joining(ordinal: Ordinal) -> Memory {
        let kind =
            OperationKind::Join { ordinal, member: FRESH, old: None, wipe: None, why: JoinWhy::ScaleOut, nudged: None };
        Memory::formed(3).doing(kind)
    }

    #[test]
    fn a_place_is_latched_before_a_learner_is_added_to_it() {
        let planned = plan(&Wanted::of(5), &Memory::formed(3), &Observed::healthy(3));
        assert!(matches!(planned.decision, Decision::Wait(_)));
        assert_eq!(planned.memory.operation, joining(3).operation);
        let added = Action::AddLearner { config_index: 7, member: FRESH, ordinal: 3 };
        assert_eq!(act(&Wanted::of(5), &planned.memory, &Observed::healthy(3)), added);
    }

    #[test]
    fn the_set_grows_after_the_learner_is_known() {
        let seen = Observed::healthy(3).with_learner(3, silent(minutes(1)));
        let grown = Action::SetReplicas { set: set_uid(), from: 3, to: 4 };
        assert_eq!(act(&Wanted::of(5), &joining(3), &seen), grown);
    }

    #[test]
    fn a_learner_votes_once_it_has_been_caught_up_for_a_while() {
        let seen = |follower| {
            Observed::healthy(3).with_learner(3, follower).with_pod(3).with_volume(3).set(|set| set.replicas = 4)
        };
        let waiting = Reason::CatchingUp { member: FRESH, ordinal: 3, lag_entries: 5000 };
        assert_eq!(wait(&Wanted::of(5), &joining(3), &seen(behind(5000))), waiting);
        let briefly = Follower { caught_up_for: Some(Duration::from_secs(3)), ..caught_up() };
        assert!(matches!(wait(&Wanted::of(5), &joining(3), &seen(briefly)), Reason::CatchingUp { .. }));
        let promoted = Action::Promote { config_index: 7, member: FRESH };
        assert_eq!(act(&Wanted::of(5), &joining(3), &seen(caught_up())), promoted);
    }

    #[test]
    fn a_vote_is_not_given_when_the_greater_quorum_would_not_be_healthy() {
        let seen = Observed::healthy(3)
            .with_learner(3, caught_up())
            .with_pod(3)
            .with_volume(3)
            .set(|set| set.replicas = 4)
            .follower(1, silent(minutes(1)))
            .follower(2, silent(minutes(1)));
        let not_safe = Reason::NotSafe { member: FRESH, healthy: 2, required: 3 };
        assert_eq!(wait(&Wanted::of(5), &joining(3), &seen), not_safe);
    }

    #[test]
    fn a_kept_volume_goes_before_its_place_is_taken_again() {
        let seen = Observed::healthy(3).with_volume(3);
        let volume = Action::DeleteVolume { ordinal: 3, uid: volume_uid(3), config_index: Some(7) };
        assert_eq!(act(&Wanted::of(5), &Memory::formed(3), &seen), volume);
        let going = seen.volume(3, |volume| volume.terminating = true);
        let memory = settle(&Wanted::of(5), &Memory::formed(3), &Observed::healthy(3).with_volume(3)).memory;
        assert_eq!(wait(&Wanted::of(5), &memory, &going), Reason::Volume(3));
    }

    #[test]
    fn a_newcomer_is_taken_back_when_the_wish_is() {
        let seen = Observed::healthy(3).with_learner(3, behind(9)).with_pod(3).set(|set| set.replicas = 4);
        let removed = Action::Remove { config_index: 7, member: FRESH };
        assert_eq!(act(&Wanted::of(3), &joining(3), &seen), removed);
    }

    #[test]
    fn a_learner_that_was_found_is_finished() {
        let seen =
            Observed::healthy(3).with_learner(3, caught_up()).with_pod(3).with_volume(3).set(|set| set.replicas = 4);
        let promoted = Action::Promote { config_index: 7, member: FRESH };
        assert_eq!(act(&Wanted::of(5), &Memory::formed(3), &seen), promoted);
    }

    #[test]
    fn the_highest_place_goes_first_member_then_volume_then_pod() {
        let (wanted, memory) = (Wanted::of(3), Memory::formed(5));
        let seen = Observed::healthy(5);
        assert_eq!(act(&wanted, &memory, &seen), Action::Remove { config_index: 7, member: member(4) });
        let memory = memory.doing(OperationKind::Shrink { ordinal: 4 });
        let seen = seen.without_member(4);
        let volume = Action::DeleteVolume { ordinal: 4, uid: volume_uid(4), config_index: Some(8) };
        assert_eq!(act(&wanted, &memory, &seen), volume);
        let seen = seen.volume(4, |volume| volume.terminating = true);
        let planned = settle(&wanted, &memory, &seen);
        assert_eq!(planned.memory.places, 4);
        assert_eq!(planned.decision, Action::SetReplicas { set: set_uid(), from: 5, to: 4 }.into());
        let seen = seen.set(|set| set.replicas = 4);
        assert_eq!(wait(&wanted, &planned.memory, &seen), Reason::Pod(4));
        let seen = seen.without_pod(4);
        assert_eq!(wait(&wanted, &planned.memory, &seen), Reason::Volume(4));
        let seen = seen.without_volume(4);
        assert_eq!(act(&wanted, &planned.memory, &seen), Action::Remove { config_index: 8, member: member(3) });
    }

    #[test]
    fn a_volume_is_kept_if_that_was_asked_for() {
        let wanted = Wanted { scale_in: ScaleIn::Retain, ..Wanted::of(3) };
        let memory = Memory::formed(4).doing(OperationKind::Shrink { ordinal: 3 });
        let seen = Observed::healthy(4).without_member(3);
        let planned = settle(&wanted, &memory, &seen);
        assert_eq!(planned.decision, Action::SetReplicas { set: set_uid(), from: 4, to: 3 }.into());
        let seen = seen.set(|set| set.replicas = 3).without_pod(3);
        assert_eq!(settle(&wanted, &planned.memory, &seen).decision, Decision::Settled);
    }

    #[test]
    fn a_leader_hands_over_before_it_is_removed() {
        let seen = Observed::healthy(4).led_by(3);
        let handed = Action::Transfer { from: member(3), to: member(0) };
        assert_eq!(act(&Wanted::of(3), &Memory::formed(4), &seen), handed);
    }

    #[test]
    fn a_member_that_is_down_is_kept_from_costing_the_quorum_by_a_removal() {
        let seen = Observed::healthy(5).follower(1, silent(minutes(1))).follower(2, silent(minutes(1)));
        assert!(matches!(wait(&Wanted::of(3), &Memory::formed(5), &seen), Reason::NotSafe { .. }));
    }

    #[test]
    fn one_voter_of_two_may_be_removed_when_both_are_well() {
        let removed = Action::Remove { config_index: 7, member: member(1) };
        assert_eq!(act(&Wanted::of(1), &Memory::formed(2), &Observed::healthy(2)), removed);
        let sick = Observed::healthy(2).follower(1, silent(minutes(1)));
        assert!(matches!(wait(&Wanted::of(1), &Memory::formed(2), &sick), Reason::NotSafe { .. }));
    }
}

mod repairing {
    use super::*;

    fn replacing(ordinal: Ordinal, wipe: Option<Uid>) -> Memory {
        let old = Some(member(ordinal));
        let kind = OperationKind::Join { ordinal, member: FRESH, old, wipe, why: JoinWhy::VolumeLost, nudged: None };
        Memory::formed(3).doing(kind)
    }

    #[test]
    fn a_member_whose_disk_was_replaced_is_removed_first() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).crashed(1, Exit::DiskReplaced, minutes(1));
        assert_eq!(act(&wanted, &memory, &seen), Action::Remove { config_index: 7, member: member(1) });
        assert_eq!(settle(&wanted, &memory, &seen).memory.operation, replacing(1, Some(volume_uid(1))).operation);
    }

    #[test]
    fn so_is_one_whose_disk_has_rotted() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).crashed(1, Exit::Damaged, minutes(1));
        assert_eq!(act(&wanted, &memory, &seen), Action::Remove { config_index: 7, member: member(1) });
        let Some(Operation { kind: OperationKind::Join { wipe, why, .. }, .. }) =
            settle(&wanted, &memory, &seen).memory.operation
        else {
            panic!("another member is to take its place");
        };
        assert_eq!((wipe, why), (Some(volume_uid(1)), JoinWhy::Corrupt));
        let two = seen.crashed(2, Exit::Damaged, minutes(1));
        assert!(matches!(wait(&wanted, &memory, &two), Reason::NotSafe { .. }), "their votes would be missing");
    }

    #[test]
    fn then_its_volume_goes_then_its_pod_then_a_fresh_member_comes() {
        let wanted = Wanted::of(3);
        let memory = replacing(1, Some(volume_uid(1)));
        let seen = Observed::healthy(3).crashed(1, Exit::DiskReplaced, minutes(1)).without_member(1);
        let volume = Action::DeleteVolume { ordinal: 1, uid: volume_uid(1), config_index: Some(8) };
        assert_eq!(act(&wanted, &memory, &seen), volume);
        let seen = seen.volume(1, |volume| volume.terminating = true);
        assert_eq!(act(&wanted, &memory, &seen), delete_pod(1, None));
        let seen = seen.pod(1, |pod| pod.terminating = true);
        assert_eq!(wait(&wanted, &memory, &seen), Reason::Pod(1));
        let seen = seen.without_pod(1).without_volume(1);
        let added = Action::AddLearner { config_index: 8, member: FRESH, ordinal: 1 };
        assert_eq!(act(&wanted, &memory, &seen), added);
        let fresh_volume = |volume: &mut Volume| volume.uid = Uid("another".into());
        let seen = seen.with_pod(1).with_volume(1).volume(1, fresh_volume).with_learner(1, caught_up());
        assert_eq!(act(&wanted, &memory, &seen), Action::Promote { config_index: 8, member: FRESH });
    }

    #[test]
    fn a_pod_whose_claim_went_away_is_made_anew() {
        let memory = replacing(1, Some(volume_uid(1)));
        let seen = Observed::healthy(3)
            .crashed(1, Exit::Other, minutes(1))
            .without_member(1)
            .without_volume(1)
            .with_learner(1, silent(minutes(1)));
        assert_eq!(act(&Wanted::of(3), &memory, &seen), delete_pod(1, None));
    }

    #[test]
    fn a_corrupt_leader_hands_over_and_is_replaced() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).shown(0, |shown| shown.corrupt = true);
        assert_eq!(act(&wanted, &memory, &seen), Action::Transfer { from: member(0), to: member(1) });
    }

    #[test]
    fn a_member_that_is_away_is_waited_for_and_then_replaced() {
        let (wanted, memory) = three();
        let seen = |ago| Observed::healthy(3).crashed(2, Exit::Other, ago);
        assert_eq!(decide(&wanted, &memory, &seen(minutes(9))), Decision::Settled);
        let removed = Action::Remove { config_index: 7, member: member(2) };
        assert_eq!(act(&wanted, &memory, &seen(minutes(11))), removed);
    }

    #[test]
    fn a_process_that_runs_and_is_cut_off_is_not_replaced() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).follower(2, silent(minutes(60)));
        assert_eq!(decide(&wanted, &memory, &seen), Decision::Settled);
    }

    #[test]
    fn a_template_that_fails_everywhere_is_no_reason_to_replace_a_disk() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).outdated(&[0, 1]).crashed(2, Exit::Other, minutes(60));
        let planned = settle(&wanted, &memory, &seen);
        assert_eq!(planned.decision, Reason::Pod(2).into());
        assert_eq!(planned.memory.operation, None);
    }

    #[test]
    fn manual_repair_says_so_and_starts_nothing() {
        let wanted = Wanted { repair: Repair::Manual, ..Wanted::of(3) };
        let seen = Observed::healthy(3).crashed(1, Exit::DiskReplaced, minutes(1)).outdated(&[2]);
        assert_eq!(wait(&wanted, &Memory::formed(3), &seen), Reason::RepairIsManual(1));
    }

    #[test]
    fn nobody_is_replaced_when_the_others_are_no_quorum() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).crashed(1, Exit::DiskReplaced, minutes(1)).crashed(2, Exit::Other, minutes(1));
        assert!(matches!(wait(&wanted, &memory, &seen), Reason::NotSafe { .. }));
    }

    #[test]
    fn a_disk_that_belongs_elsewhere_is_for_people() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).crashed(1, Exit::WrongIdentity, minutes(60));
        assert_eq!(wait(&wanted, &memory, &seen), Reason::ForeignDisk(1));
    }

    #[test]
    fn a_member_that_is_scaled_away_is_not_replaced_before() {
        let seen = Observed::healthy(4).crashed(3, Exit::DiskReplaced, minutes(1));
        let removed = Action::Remove { config_index: 7, member: member(3) };
        assert_eq!(act(&Wanted::of(3), &Memory::formed(4), &seen), removed);
        let planned = settle(&Wanted::of(3), &Memory::formed(4), &seen);
        assert!(matches!(planned.memory.operation.expect("begun").kind, OperationKind::Shrink { ordinal: 3 }));
    }

    #[test]
    fn repair_does_not_wait_behind_a_restart_that_is_stuck() {
        let memory = Memory::formed(5).doing(OperationKind::Restart { ordinal: 1, pod: pod_uid(1) });
        let seen = Observed::healthy(5)
            .outdated(&[0, 2, 3, 4])
            .crashed(1, Exit::Other, minutes(1))
            .crashed(2, Exit::DiskReplaced, minutes(1))
            .pod(2, |pod| pod.revision = "r1".into());
        assert_eq!(act(&Wanted::of(5), &memory, &seen), Action::Remove { config_index: 7, member: member(2) });
    }
}

mod rolling {
    use super::*;

    #[test]
    fn the_follower_that_is_furthest_behind_goes_first() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).outdated(&[0, 1, 2]).follower(1, Follower { lag_entries: 5, ..caught_up() });
        assert_eq!(act(&wanted, &memory, &seen), delete_pod(1, Some(member(1))));
    }

    #[test]
    fn the_next_waits_until_the_last_has_been_caught_up_for_a_while() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).outdated(&[0, 2]).follower(1, behind(700));
        let waiting = Reason::CatchingUp { member: member(1), ordinal: 1, lag_entries: 700 };
        assert_eq!(wait(&wanted, &memory, &seen), waiting);
    }

    #[test]
    fn the_leader_goes_last_and_hands_over_to_one_that_stays() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).outdated(&[0]);
        assert_eq!(act(&wanted, &memory, &seen), Action::Transfer { from: member(0), to: member(1) });
        let memory = settle(&wanted, &memory, &seen).memory;
        assert_eq!(act(&wanted, &memory, &seen.led_by(1)), delete_pod(0, Some(member(0))));
    }

    #[test]
    fn without_anybody_fit_the_leader_keeps_leading() {
        let (wanted, memory) = three();
        let unready = |pod: &mut Pod| pod.unready_since = Some(NOW);
        let seen = Observed::healthy(3).outdated(&[0]).pod(1, unready).pod(2, unready);
        let memory = memory.doing(OperationKind::Restart { ordinal: 0, pod: pod_uid(0) });
        assert_eq!(wait(&wanted, &memory, &seen), Reason::NoTransferee);
    }

    #[test]
    fn an_unready_outdated_member_goes_before_ready_ones() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).outdated(&[0, 1, 2]).pod(1, |pod| pod.unready_since = Some(NOW));
        assert_eq!(act(&wanted, &memory, &seen), delete_pod(1, Some(member(1))));
    }

    #[test]
    fn a_running_member_is_not_stopped_when_another_is_away() {
        let (wanted, memory) = three();
        let seen = Observed::healthy(3).outdated(&[0, 1, 2]).follower(1, silent(minutes(1)));
        // The one that is away is no vote now: it may be restarted.
        assert_eq!(act(&wanted, &memory, &seen), delete_pod(1, Some(member(1))));
        let memory = memory.doing(OperationKind::Restart { ordinal: 2, pod: pod_uid(2) });
        assert!(matches!(wait(&wanted, &memory, &seen), Reason::NotSafe { .. }));
    }

    #[test]
    fn a_bad_template_stops_after_one_and_heals_when_it_is_taken_back() {
        let (wanted, memory) = three();
        let memory = memory.doing(OperationKind::Restart { ordinal: 2, pod: Uid("before".into()) });
        let bad = Observed::healthy(3).crashed(2, Exit::Other, minutes(1)).outdated(&[0, 1]);
        assert_eq!(wait(&wanted, &memory, &bad), Reason::Pod(2));
        let back = bad.set(|set| set.revision = Some("r0".into()));
        assert_eq!(act(&wanted, &memory, &back), delete_pod(2, None));
    }

    #[test]
    fn a_paused_update_starts_nothing() {
        let (mut wanted, memory) = three();
        wanted.update_paused = true;
        assert_eq!(decide(&wanted, &memory, &Observed::healthy(3).outdated(&[0, 1, 2])), Decision::Settled);
    }

    #[test]
    fn a_single_member_is_restarted_without_asking_it() {
        let seen = Observed::healthy(1).outdated(&[0]);
        assert_eq!(act(&Wanted::of(1), &Memory::formed(1), &seen), delete_pod(0, None));
    }

    #[test]
    fn a_template_the_set_has_not_seen_is_waited_for() {
        let (wanted, memory) = three();
        assert_eq!(wait(&wanted, &memory, &Observed::healthy(3).set(|set| set.revision = None)), Reason::Set);
    }

    #[test]
    fn scaling_comes_before_rolling() {
        let planned = settle(&Wanted::of(5), &Memory::formed(3), &Observed::healthy(3).outdated(&[0, 1, 2]));
        assert!(matches!(planned.decision, Decision::Act(Action::AddLearner { ordinal: 3, .. })));
    }
}

mod volumes {
    use super::*;

    #[test]
    fn every_volume_grows_and_then_the_set_is_made_anew_around_its_pods() {
        let (mut wanted, memory) = three();
        wanted.storage_bytes = 2 * GIB;
        let mut seen = Observed::healthy(3);
        for ordinal in 0..3 {
            let grown = Action::GrowVolume { ordinal, uid: volume_uid(ordinal), bytes: 2 * GIB };
            assert_eq!(act(&wanted, &memory, &seen), grown);
            seen = seen.volume(ordinal, |volume| volume.requested_bytes = 2 * GIB);
        }
        assert_eq!(act(&wanted, &memory, &seen), Action::OrphanSet { uid: set_uid() });
        assert_eq!(wait(&wanted, &memory, &seen.clone().set(|set| set.terminating = true)), Reason::Set);
        seen.set = None;
        assert_eq!(act(&wanted, &memory, &seen), Action::Apply);
    }

    #[test]
    fn growth_that_is_refused_holds_nothing_up() {
        let (mut wanted, memory) = three();
        wanted.storage_bytes = 2 * GIB;
        let seen = Observed { growth_refused: true, ..Observed::healthy(3).outdated(&[2]) };
        assert_eq!(act(&wanted, &memory, &seen), delete_pod(2, Some(member(2))));
    }
}

mod leaving {
    use super::*;

    #[test]
    fn a_deleted_cluster_keeps_its_volumes() {
        let (mut wanted, memory) = three();
        wanted.deleting = true;
        let seen = Observed::healthy(3).without_leader_for(minutes(60));
        assert_eq!(act(&wanted, &memory, &seen), Action::Release);
    }

    #[test]
    fn unless_it_was_asked_to_take_them_along() {
        let (mut wanted, memory) = three();
        (wanted.deleting, wanted.delete_volumes, wanted.paused) = (true, true, true);
        let seen = Observed::healthy(1);
        let volume = Action::DeleteVolume { ordinal: 0, uid: volume_uid(0), config_index: None };
        assert_eq!(act(&wanted, &memory, &seen), volume);
        let going = seen.volume(0, |volume| volume.terminating = true);
        assert_eq!(act(&wanted, &memory, &going), Action::Release);
    }

    #[test]
    fn sleep_takes_the_pods_and_keeps_the_rest() {
        let (mut wanted, memory) = three();
        wanted.hibernated = true;
        let planned = settle(&wanted, &memory, &Observed::healthy(3));
        assert_eq!(planned.decision, Action::SetReplicas { set: set_uid(), from: 3, to: 0 }.into());
        assert_eq!((planned.memory.places, planned.memory.set_size()), (3, 0));
        let asleep = Observed::healthy(3).set(|set| set.replicas = 0).without_leader_for(minutes(60));
        assert_eq!(wait(&wanted, &planned.memory, &asleep), Reason::Hibernated);
        wanted.hibernated = false;
        let woken = settle(&wanted, &planned.memory, &asleep);
        assert_eq!(woken.decision, Action::SetReplicas { set: set_uid(), from: 0, to: 3 }.into());
    }

    #[test]
    fn what_was_begun_is_finished_before_sleep() {
        let mut wanted = Wanted::of(3);
        wanted.hibernated = true;
        let memory = Memory::formed(4).doing(OperationKind::Shrink { ordinal: 3 });
        let removed = Action::Remove { config_index: 7, member: member(3) };
        assert_eq!(act(&wanted, &memory, &Observed::healthy(4)), removed);
    }
}
