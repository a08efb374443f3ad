//! Makes container images of this workspace's programs without Docker.
//!
//! ```text
//!   cargo run -p tests --bin image -- quorate      prints the image's name and the archive to load
//! ```

use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::time::Instant;
use tests::release::Image;

/// Make container images without Docker.
#[derive(Debug, Parser)]
struct Options {
    /// What to pack.
    #[arg(value_enum, default_value = "quorate")]
    programs: Vec<Program>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Program {
    /// The daemon.
    Quorate,
    /// `etcdctl`, for use inside a cluster.
    Client,
}

fn main() -> Result<()> {
    for program in Options::parse().programs {
        let begun = Instant::now();
        let image = match program {
            Program::Quorate => Image::quorate()?,
            Program::Client => Image::client()?,
        };
        eprintln!("{} after {:.0} s", image.reference(), begun.elapsed().as_secs_f64());
        println!("{} {}", image.reference(), image.archive().display());
    }
    Ok(())
}
