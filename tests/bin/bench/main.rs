//! Three members of ours and three of etcd 3.7.3 under the same loads, in turn, on this machine, both with fsync; the
//! load comes from etcd's own generator. Prints a table for the README.
//!
//! ```text
//!   cargo run --release -p tests --bin bench            every load, both
//!   cargo run --release -p tests --bin bench -- put     the loads whose name contains "put"
//!   cargo run --release -p tests --bin bench -- --catch-up   a follower that was away comes back
//!   cargo run --release -p tests --bin bench -- --snapshots  it comes back through a snapshot of a gibibyte; backups
//! ```
//!
//! The figures are ratios within one run: machines differ, and so do two runs on a shared one.

mod catch_up;
mod load;
mod snapshots;
mod table;

use anyhow::Result;
use clap::Parser;
use load::{AWAY, LOADS, Load, Measured};
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
    /// Measure how fast a follower that was away catches up, instead of the loads.
    #[arg(long)]
    catch_up: bool,
    /// Measure snapshots: of what is staged, installed, restored.
    #[arg(long)]
    snapshots: bool,
    /// How much data snapshots are measured with.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    mib: u64,
    /// Further flags for our members.
    #[arg(long)]
    flag: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = |load: &&Load| arguments.filter.as_ref().is_none_or(|filter| load.name.contains(filter.as_str()));
    let loads: Vec<&Load> = LOADS.iter().filter(chosen).collect();
    let flags: Vec<&str> = arguments.flag.iter().map(String::as_str).collect();
    if arguments.catch_up {
        return catch_up(&flags, arguments.ours, arguments.percent);
    }
    if arguments.snapshots {
        println!("{}", table::machine());
        return snapshots::run(arguments.mib, &flags, arguments.ours);
    }
    let ours = run_all(Flavor::Quorate, &flags, &loads, arguments.percent)?;
    let theirs = if arguments.ours { Vec::new() } else { run_all(Flavor::Etcd, &[], &loads, arguments.percent)? };
    println!("{}", table::machine());
    print!("{}", table::render(&loads, &ours, &theirs));
    Ok(())
}

fn catch_up(flags: &[&str], ours_only: bool, percent: u64) -> Result<()> {
    println!("{}", table::machine());
    let folder = tempfile::tempdir()?;
    println!(
        "disk: {:.0} MiB/s in synced writes of 1 MiB",
        catch_up::disk_bytes_per_second(folder.path())? / f64::from(1 << 20)
    );
    println!("{}", catch_up::HEAD);
    for load in AWAY {
        let mut seen = vec![catch_up::measure(Flavor::Quorate, flags, load, percent)?];
        if !ours_only {
            seen.push(catch_up::measure(Flavor::Etcd, &[], load, percent)?);
        }
        println!("{}", catch_up::render(load, &seen));
    }
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
