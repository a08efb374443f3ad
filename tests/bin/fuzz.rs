//! Feeds every decoder bytes it did not expect: `cargo run --profile sim -p tests --bin fuzz -- --seconds 60`.

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use tests::fuzz::targets;

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic is reported with its case.
    std::panic::set_hook(Box::new(|_| {}));
    let mut found = false;
    for target in targets().iter().filter(|target| arguments.target.as_ref().is_none_or(|name| name == target.name)) {
        match target.run(arguments.from, arguments.cases, Duration::from_secs(arguments.seconds)) {
            Ok(fed) => println!("{:<12} {} cases, {} accepted", target.name, fed.cases, fed.accepted),
            Err(finding) => {
                found = true;
                println!("{:<12} panics on case {}: {:02x?}", target.name, finding.case, finding.bytes);
            }
        }
    }
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
