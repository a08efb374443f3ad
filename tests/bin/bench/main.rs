//! Three members of ours and three of etcd 3.7.3 under the same loads, in turn, on this machine, both with fsync; the
//! load comes from etcd's own generator. Prints a table for the README.
//!
//! ```text
//!   cargo run --release -p tests --bin bench            every load, both
//!   cargo run --release -p tests --bin bench -- put     the loads whose name contains "put"
//! ```
//!
//! The figures are ratios within one run: machines differ, and so do two runs on a shared one.

mod load;
mod table;

use anyhow::Result;
use clap::Parser;
use load::{LOADS, Load, Measured};
use std::thread;
use std::time::Duration;
use tests::cluster::{Cluster, Flavor};

/// Lets dirty pages and background work of one load settle, so that the next does not pay for it.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Parser)]
struct Arguments {
    /// Only loads whose name contains this.
    filter: Option<String>,
    /// Only ours, for profiling.
    #[arg(long)]
    ours: bool,
    /// Requests of each load, in percent of the usual.
    #[arg(long, default_value_t = 100)]
    percent: u64,
    /// Further flags for our members.
    #[arg(long)]
    flag: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = |load: &&Load| arguments.filter.as_ref().is_none_or(|filter| load.name.contains(filter.as_str()));
    let loads: Vec<&Load> = LOADS.iter().filter(chosen).collect();
    let flags: Vec<&str> = arguments.flag.iter().map(String::as_str).collect();
    let ours = run_all(Flavor::Quorate, &flags, &loads, arguments.percent)?;
    let theirs = if arguments.ours { Vec::new() } else { run_all(Flavor::Etcd, &[], &loads, arguments.percent)? };
    println!("{}", table::machine());
    print!("{}", table::render(&loads, &ours, &theirs));
    Ok(())
}

fn run_all(flavor: Flavor, flags: &[&str], loads: &[&Load], percent: u64) -> Result<Vec<Measured>> {
    let cluster = Cluster::start(flavor, 3, flags)?;
    cluster.leader()?;
    loads
        .iter()
        .map(|load| {
            thread::sleep(SETTLE);
            let measured = load.run(&cluster, percent)?;
            eprintln!("{flavor:?} {}: {:.0}/s, p99 {:.1} ms", load.name, measured.per_second, measured.p99_ms);
            Ok(measured)
        })
        .collect()
}
