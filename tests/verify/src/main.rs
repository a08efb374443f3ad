//! Everything that keeps the tree honest, in one read-only command; the same here and in CI.
//!
//! ```text
//!   cargo verify                       every step; on Kubernetes the scenarios of every day, if time is left for them
//!   cargo verify kubernetes            these scenarios
//!   cargo verify all                   every step, with every scenario
//!   cargo verify sim cluster           these steps
//!   cargo verify cluster -- leader     the tests of a step whose names contain a word
//!   cargo verify --list                what there is
//! ```
//!
//! * Steps run one after the other, each in a process of its own; the first failure ends the run with its exit code.
//! * A test suite that ran no test has failed, whatever its exit code says.

mod ahead;
mod builds;
mod run;
mod steps;

use ahead::Ahead;
use run::{Outcome, Runner};
use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use steps::{STEPS, Step};

/// Stands for every step.
const ALL: &str = "all";

/// Where everything had to be built first, the other steps take most of an hour. Scenarios on Kubernetes begin no later
/// than this, so that a run which nobody gave steps ends within 75 minutes; the next one finds everything built.
const SCENARIOS_BEGIN_WITHIN: Duration = Duration::from_secs(53 * 60);

fn main() -> ExitCode {
    let mut wanted: Vec<String> = env::args().skip(1).collect();
    let names: Vec<String> = match wanted.iter().position(|word| word == "--") {
        Some(at) => wanted.split_off(at).split_off(1),
        None => Vec::new(),
    };
    if wanted.iter().any(|word| word == "--list") {
        STEPS.iter().for_each(|step| println!("{:<10} {}", step.name, step.what));
        return ExitCode::SUCCESS;
    }
    let is_step = |word: &&String| *word == ALL || STEPS.iter().any(|step| step.name == **word);
    if let Some(unknown) = wanted.iter().find(|word| !is_step(word)) {
        eprintln!("there is no step {unknown:?}: cargo verify --list");
        return ExitCode::from(2);
    }
    let target = match builds::target() {
        Ok(target) => target,
        Err(error) => {
            eprintln!("verify: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    verify::packages::provide();
    let (mut passed, all) = (0, Instant::now());
    let has = |name: &str| wanted.iter().any(|word| word == name);
    let runner = Runner { target, everyday: names.is_empty() && !has(ALL), names };
    let steps: Vec<&Step> = STEPS.iter().filter(|step| wanted.is_empty() || has(ALL) || has(step.name)).collect();
    let mut go = steps.iter().any(|step| step.takes_go_programs()).then(Ahead::go);
    let (loads_images, mut programs) = (steps.iter().any(|step| step.is_on_kubernetes()), None);
    for step in steps {
        if step.takes_go_programs() {
            drop(go.take());
            // Not before: what compiles beside them takes the disk's time from members that are timed.
            programs = programs.or_else(|| loads_images.then(Ahead::programs));
        }
        println!("\n== {}: {}", step.name, step.what);
        if wanted.is_empty() && step.is_on_kubernetes() && all.elapsed() > SCENARIOS_BEGIN_WITHIN {
            println!("left out, as the steps before it took too long: cargo verify {}", step.name);
            continue;
        }
        let begun = Instant::now();
        match runner.run(step) {
            Ok(Outcome::Passed(tests)) => passed += tests,
            Ok(Outcome::Skipped(why)) => println!("skipped, as this machine has {why}"),
            Err(error) => {
                eprintln!("\nverify: {} failed: {error:#}", step.name);
                return ExitCode::FAILURE;
            }
        }
        println!("== {} took {:.0} s", step.name, begun.elapsed().as_secs_f64());
    }
    println!("\nverify: everything holds after {:.0} s", all.elapsed().as_secs_f64());
    println!("{passed} passed, 0 failed");
    ExitCode::SUCCESS
}
