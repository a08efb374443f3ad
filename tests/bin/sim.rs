//! Runs simulated clusters, one for each seed: `sim --minutes 5`; one of them again: `sim --seed 7041 --trace`; the
//! smallest part of it that still fails: `sim --seed 7041 --shrink`; or hunts bugs that were planted: `sim --hunt`.

use clap::Parser;
use raft::planted::Bug;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tests::sim::campaign::{Notice, Plan, Setting, campaign, explain, replay, run};
use tests::sim::hunt::{hunt, median};
use tests::sim::queue::{MILLI, SECOND};
use tests::sim::shrink::shrink;
use tests::sim::swarm::{Cut, Fault, Feature};
use tests::sim::trace::Lines;
use tikv_jemallocator::Jemalloc;

/// Hours of seeds leave glibc's memory in pieces.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Simulated clusters under faults, checked as they run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens; with --seed.
    #[arg(long)]
    trace: bool,
    /// Leave out whatever it fails without; with --seed.
    #[arg(long)]
    shrink: bool,
    /// How many seeds.
    #[arg(long, default_value_t = u64::MAX)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Begin no seed after this many minutes.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// How many at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Voters of the first configuration; drawn if not given.
    #[arg(long)]
    members: Option<usize>,
    /// Do not stop at the first failure.
    #[arg(long)]
    keep_going: bool,
    /// Fail unless every mark of the coverage was reached.
    #[arg(long)]
    all_marks: bool,
    /// A fault or a feature to leave out, by its name in the trace.
    #[arg(long)]
    without: Vec<String>,
    /// End the trouble after so many milliseconds.
    #[arg(long)]
    trouble_ms: Option<u64>,
    /// Plant this bug.
    #[arg(long, value_parser = bug)]
    plant: Option<Bug>,
    /// Plant each bug in turn, or the one of --plant, and tell how many seeds it takes to find it.
    #[arg(long)]
    hunt: bool,
    /// Hunts for each bug; with --hunt.
    #[arg(long, default_value_t = 5)]
    hunts: u64,
}

fn bug(name: &str) -> Result<Bug, String> {
    let known = || Bug::ALL.map(Bug::name).join(", ");
    Bug::ALL.into_iter().find(|bug| bug.name().starts_with(name)).ok_or_else(|| format!("known are {}", known()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !(arguments.trace || arguments.seed.is_some()) {
        // A panic of the engine is reported with its seed; its message alone helps nobody.
        std::panic::set_hook(Box::new(|_| {}));
    }
    match (setting(&arguments), arguments.seed) {
        (Err(unknown), _) => {
            eprintln!("there is no fault and no feature {unknown:?}");
            ExitCode::from(2)
        }
        (Ok(_), _) if arguments.hunt => hunt_all(&arguments),
        (Ok(setting), Some(seed)) if arguments.shrink => shrink_one(seed, &setting),
        (Ok(setting), Some(seed)) => one(seed, &setting, arguments.trace),
        (Ok(setting), None) => many(&arguments, &setting),
    }
}

fn setting(arguments: &Arguments) -> Result<Setting, String> {
    let mut cut = Cut { trouble: arguments.trouble_ms.map(|ms| ms * MILLI), ..Cut::default() };
    for name in &arguments.without {
        let fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == *name);
        let feature = Feature::ALL.into_iter().find(|feature| format!("{feature:?}") == *name);
        cut.faults.extend(fault);
        cut.features.extend(feature);
        if fault.is_none() && feature.is_none() {
            return Err(name.clone());
        }
    }
    Ok(Setting { voters: arguments.members, cut, bug: arguments.plant })
}

fn one(seed: u64, setting: &Setting, trace: bool) -> ExitCode {
    let outcome = run(seed, setting, if trace { Lines::Print } else { Lines::None });
    println!("{}trace hash {:#018x}", outcome.report, outcome.trace_hash);
    let Some(failure) = outcome.failure else { return ExitCode::SUCCESS };
    println!("SIMFAIL check={} seed={seed} step={} {}", failure.check, outcome.report.steps, failure.what);
    ExitCode::FAILURE
}

fn shrink_one(seed: u64, setting: &Setting) -> ExitCode {
    match shrink(seed, setting) {
        Some(small) => {
            println!("{}", replay(seed, &small));
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed} does not fail");
            ExitCode::SUCCESS
        }
    }
}

fn many(arguments: &Arguments, setting: &Setting) -> ExitCode {
    let began = Instant::now();
    let (report, failures) = campaign(&Plan {
        from: arguments.from,
        seeds: arguments.seeds,
        seeds_min: 0,
        time: Duration::from_secs(60 * arguments.minutes),
        threads: arguments.threads,
        keep_going: arguments.keep_going,
        setting: setting.clone(),
        hears: tell,
    });
    let (seconds, threads) = (began.elapsed().as_secs_f64(), arguments.threads);
    let simulated = report.time as f64 / SECOND as f64;
    println!(
        "{report}{:.0} seeds/min on {threads} threads; on each, {:.0} simulated seconds in a second",
        60.0 * report.seeds as f64 / seconds,
        simulated / seconds / threads as f64,
    );
    if let Some((seed, failure)) = failures.first() {
        println!("{}", explain(*seed, setting, failure));
    }
    for (seed, failure) in failures.iter().skip(1) {
        println!("SIMFAIL check={} seed={seed} {}", failure.check, failure.what);
    }
    let missing = report.missing();
    println!("marks never reached: {}", if missing.is_empty() { "none".to_owned() } else { missing.join(", ") });
    let failed = !failures.is_empty() || arguments.all_marks && !missing.is_empty();
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Says at once what a killed campaign would not say any more.
fn tell(notice: Notice<'_>) {
    match notice {
        Notice::Failed(seed, failure) => eprintln!("SIMFAIL check={} seed={seed} {}", failure.check, failure.what),
        Notice::Ran(seeds, time) => eprintln!("{seeds} seeds in {} s", time.as_secs()),
    }
}

fn hunt_all(arguments: &Arguments) -> ExitCode {
    let bugs = arguments.plant.map_or(Bug::ALL.to_vec(), |bug| vec![bug]);
    let mut alive = 0;
    println!("{:<24} {:>7}  {:<30} found by", "bug", "median", "seeds to the first kill");
    for bug in bugs {
        let time = Duration::from_secs(60 * arguments.minutes);
        let kills: Vec<_> =
            (0..arguments.hunts).map(|nth| hunt(bug, nth, arguments.seeds, arguments.threads, time)).collect();
        let counts: Vec<u64> = kills.iter().flatten().map(|kill| kill.seeds).collect();
        alive += u64::from(counts.len() < kills.len());
        let shown: Vec<String> =
            kills.iter().map(|kill| kill.as_ref().map_or("-".to_owned(), |kill| kill.seeds.to_string())).collect();
        let checks: std::collections::BTreeSet<&str> = kills.iter().flatten().map(|kill| kill.failure.check).collect();
        let median = median(counts).map_or("-".to_owned(), |median| median.to_string());
        let checks = checks.into_iter().collect::<Vec<_>>().join(" ");
        println!("{:<24} {median:>7}  {:<30} {checks}", bug.name(), shown.join(" "));
    }
    if alive == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
