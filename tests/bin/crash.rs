//! Ends a real member at chosen system calls, again and again, and judges what it still knows:
//! `cargo run --release -p tests --bin crash -- --cycles 1000`.

use anyhow::{Result, ensure};
use clap::Parser;
use std::time::Duration;
use tests::crash::{campaign, campaign_of_three, can_trace};

/// A member that is killed, or refused by its disk, at the N-th call of a kind.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many times.
    #[arg(long, default_value_t = 1000)]
    cycles: u64,
    /// Begin no directory after this many minutes.
    #[arg(long, default_value_t = 600)]
    minutes: u64,
    /// It is one of three under load, and struck on its way back.
    #[arg(long)]
    of_three: bool,
    /// Chooses the calls.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(can_trace(), "strace is missing, or may not trace here");
    let campaign = if arguments.of_three { campaign_of_three } else { campaign };
    let report = campaign(arguments.seed, arguments.cycles, Duration::from_secs(60 * arguments.minutes))?;
    println!("{report}");
    Ok(())
}
