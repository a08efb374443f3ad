//! Runs simulated clusters, one for each seed: `sim --minutes 5`, or one of them again: `sim --seed 7041 --trace`.

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tests::sim::campaign::{Plan, campaign, explain, run};
use tests::sim::trace::Lines;

/// Simulated clusters under faults, checked as they run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens; with --seed.
    #[arg(long)]
    trace: bool,
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let lines = if arguments.trace { Lines::Print } else { Lines::None };
    let outcome = run(seed, arguments.members, lines);
    println!("{}trace hash {:#018x}", outcome.report, outcome.trace_hash);
    let Some(failure) = outcome.failure else { return ExitCode::SUCCESS };
    println!("SIMFAIL check={} seed={seed} step={} {}", failure.check, outcome.report.steps, failure.what);
    ExitCode::FAILURE
}

fn many(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    // A panic of the engine is reported with its seed below; its message alone helps nobody.
    std::panic::set_hook(Box::new(|_| {}));
    let (report, failures) = campaign(&Plan {
        from: arguments.from,
        seeds: arguments.seeds,
        time: Duration::from_secs(60 * arguments.minutes),
        threads: arguments.threads,
        voters: arguments.members,
        keep_going: arguments.keep_going,
    });
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{report}{:.0} seeds/min on {} threads", report.seeds as f64 / minutes, arguments.threads);
    if let Some((seed, failure)) = failures.first() {
        println!("{}", explain(*seed, arguments.members, failure));
    }
    for (seed, failure) in failures.iter().skip(1) {
        println!("SIMFAIL check={} seed={seed} {}", failure.check, failure.what);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
