//! The plan against a model of Kubernetes and of the members: every scenario with a crash before every effect, on
//! views as old as the last 50 changes, and with two operators at once. Every effect is judged; every run must end as
//! asked for.

mod operator;
mod raft;
mod scenario;
mod world;

use operator::Fault;
use scenario::{Progress, SCENARIOS, Scenario, play};
use world::PAST;

/// How long it takes a crashed operator to come back, in seconds.
const AWAY: u64 = 7;

fn well(scenario: &Scenario) -> u64 {
    play(scenario, &|_| vec![Fault::default()])
}

#[test]
fn every_scenario_ends_as_asked_for() {
    for scenario in SCENARIOS {
        assert!(well(scenario) > 0, "{} did nothing", scenario.name);
    }
}

#[test]
fn a_crash_before_any_effect_changes_nothing_about_the_end() {
    for scenario in SCENARIOS {
        for at in 0..well(scenario) {
            let crashed_once = |progress: Progress| match progress.crashed {
                None => vec![Fault { crash: progress.effects == at, ..Fault::default() }],
                Some(crash) if progress.ticks < crash + AWAY => Vec::new(),
                Some(_) => vec![Fault::default()],
            };
            play(scenario, &crashed_once);
        }
    }
}

#[test]
fn an_operator_that_dies_after_every_effect_arrives_all_the_same() {
    for scenario in SCENARIOS {
        // Each life writes what it is about to do and dies; the next one does it and dies as well.
        play(scenario, &|progress| vec![Fault { crash: progress.ticks % 2 == 0, ..Fault::default() }]);
    }
}

#[test]
fn an_old_view_never_leads_to_an_unsafe_effect() {
    for scenario in SCENARIOS {
        for stale in 1..=PAST {
            for stale_memory in [false, true] {
                // Every other look is an old one; the others keep the scenario going.
                play(scenario, &|progress| match progress.ticks % 2 {
                    0 => vec![Fault { stale, stale_memory, crash: false }],
                    _ => vec![Fault::default()],
                });
            }
        }
    }
}

#[test]
fn two_operators_at_once_do_each_thing_once() {
    for scenario in SCENARIOS {
        for stale in [0, 1, 2, 3, 5, 8, 13, 21] {
            let second = Fault { stale, ..Fault::default() };
            play(scenario, &|_| vec![Fault::default(), second]);
            play(scenario, &|_| vec![second, Fault::default()]);
        }
    }
}
