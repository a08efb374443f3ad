//! Spoils the files of a real member while it does not run, again and again, and judges what it says afterwards:
//! `cargo run --release -p tests --bin rot -- --cycles 2000`.

use anyhow::Result;
use clap::Parser;
use tests::rot::campaign;

/// A member whose files rot, lose their end, or go.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many times.
    #[arg(long, default_value_t = 2000)]
    cycles: u64,
    /// Chooses the places.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("{}", campaign(arguments.seed, arguments.cycles)?);
    Ok(())
}
