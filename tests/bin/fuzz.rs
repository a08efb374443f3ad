//! Feeds every decoder bytes it did not expect: `cargo run --profile sim -p tests --bin fuzz -- --seconds 60`.

use anyhow::{Result, ensure};
use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use tests::fuzz::{Counting, Target, targets};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Decoders under mutated bytes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this one.
    #[arg(long)]
    target: Option<String>,
    /// The first case.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = u64::MAX)]
    cases: u64,
    /// For each target, at most.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Write what a decoder panics on, or makes too much of, into the corpus.
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let only = arguments.target.as_deref();
    let chosen: Vec<&Target> = targets().filter(|target| only.is_none_or(|name| name == target.name)).collect();
    ensure!(!chosen.is_empty(), "there is no such target");
    // A panic is reported with its case; one of a single case says where it was as well.
    if arguments.cases > 1 {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let (mut cases, mut found) = (0, false);
    for target in chosen {
        match target.run(arguments.from, arguments.cases, Duration::from_secs(arguments.seconds)) {
            Ok(fed) => {
                cases += fed.cases;
                let (slowest, most) = (fed.slowest, fed.bytes_most >> 10);
                println!(
                    "{:<15} {} cases, {} accepted; at the most {slowest:.1?}, {most} KiB",
                    target.name, fed.cases, fed.accepted
                );
            }
            Err(finding) => {
                found = true;
                println!("{:<15} {finding}", target.name);
                if arguments.keep {
                    println!("{:<15} kept as {}", "", target.keep(&finding)?.display());
                }
            }
        }
    }
    println!("{:<15} {cases} cases", "all");
    Ok(if found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
