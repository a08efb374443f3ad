//! The cluster under simulation, a bounded number of seeds of it: `cargo test --profile sim -p tests --test sim`.
//! SIM_SEEDS runs more of them, SIM_SEED one.

use raft::planted::Bug;
use std::time::Duration;
use tests::sim::campaign::{Plan, Setting, campaign, explain, run};
use tests::sim::hunt::hunt;
use tests::sim::shrink::shrink;
use tests::sim::trace::Lines;

/// Seeds of one run of the tests, if there is time for them.
const SEEDS: u64 = 3000;
/// No further seed begins after this...
const TIME: Duration = Duration::from_secs(5 * 60);
/// ...if so many have run: a slow machine takes longer, and proves as much.
const SEEDS_MIN: u64 = 1000;
/// Seeds that run twice.
const TWICE: u64 = 30;
/// Seeds in which a planted bug must be found: several times what it takes, see `sim --hunt`.
const HUNTED_SEEDS: u64 = 400;
/// As many as the machine that runs the tests has cores.
const THREADS: usize = 2;
/// Longer than any number of seeds somebody waits for.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn every_rule_holds_in_every_seed() {
    let (from, asked) = number("SIM_SEED").map_or((0, number("SIM_SEEDS")), |seed| (seed, Some(1)));
    let (seeds, seeds_min) = asked.map_or((SEEDS, SEEDS_MIN), |asked| (asked, asked));
    let setting = Setting::default();
    let plan = Plan { from, seeds, seeds_min, time: TIME, threads: THREADS, keep_going: false, setting, hears: |_| {} };
    let (report, failures) = campaign(&plan);
    println!("{report}");
    if let Some((seed, failure)) = failures.first() {
        panic!("{}", explain(*seed, &Setting::default(), failure));
    }
    assert!(report.seeds >= seeds_min, "{} seeds ran, {seeds_min} at least should have", report.seeds);
}

#[test]
fn a_seed_gives_the_same_trace_again_line_by_line() {
    for seed in 0..TWICE {
        let [first, second] = [(); 2].map(|()| run(seed, &Setting::default(), Lines::Latest(usize::MAX)));
        let differs = first.lines.iter().zip(&second.lines).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed} differs in line {at}:\n{}\n{}", first.lines[at], second.lines[at]);
        }
        assert_eq!((first.lines.len(), first.trace_hash), (second.lines.len(), second.trace_hash), "seed {seed}");
        assert!(first.lines.len() > 100, "seed {seed} does something");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let alive: Vec<&str> = Bug::ALL
        .into_iter()
        .filter(|bug| hunt(*bug, 0, HUNTED_SEEDS, THREADS, NO_LIMIT).is_none())
        .map(Bug::name)
        .collect();
    assert!(alive.is_empty(), "{HUNTED_SEEDS} seeds did not find {alive:?}");
}

#[test]
fn a_failure_gets_smaller_and_stays_the_same_failure() {
    let setting = Setting { bug: Some(Bug::VoteBeforeSync), ..Setting::default() };
    let failing = (0..HUNTED_SEEDS).find_map(|seed| Some((seed, run(seed, &setting, Lines::None).failure?)));
    let (seed, failure) = failing.expect("the bug is found");
    let small = shrink(seed, &setting).expect("it fails");
    assert!(small.cut.faults.len() > 5, "{small:?}");
    let again = run(seed, &small, Lines::None).failure.expect("it still fails");
    assert_eq!(again.check, failure.check);
    assert!(shrink(seed, &Setting::default()).is_none(), "without the bug nothing fails");
}
