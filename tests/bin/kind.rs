//! A Kubernetes cluster for tests: `kind up`, `kind down`, `eval "$(kind env)"`, `kind load IMAGE.tar`, `kind run COMMAND`.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use tests::kind::{self, Cluster, Session};

/// One control plane, four workers in three zones; with Docker or without.
#[derive(Debug, Parser)]
#[command(name = "kind")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring a cluster up, after clearing what a run that was killed left. The first time builds what it is made of.
    Up,
    /// Take it down.
    Down,
    /// Print what a shell needs to use it: KUBECONFIG, PATH with kubectl, helm, etcdctl, kind, docker.
    Env,
    /// Load image archives, as `docker save` writes them, into every node.
    Load {
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Bring a cluster up unless one is, run a command with its environment, and take it down again.
    Run {
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Up => kind::up().map(|_| ExitCode::SUCCESS),
        Verb::Down => kind::down().map(|()| ExitCode::SUCCESS),
        Verb::Env => env().map(|()| ExitCode::SUCCESS),
        Verb::Load { archives } => {
            Cluster::current().and_then(|cluster| cluster.load(&archives)).map(|()| ExitCode::SUCCESS)
        }
        Verb::Run { command } => run(&command),
    };
    done.unwrap_or_else(|error| {
        eprintln!("kind: {error:#}");
        ExitCode::FAILURE
    })
}

fn env() -> Result<()> {
    for (name, value) in Cluster::current()?.environment() {
        println!("export {name}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(())
}

fn run(words: &[String]) -> Result<ExitCode> {
    let session = Session::begin()?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(session.cluster.environment());
    let status = command.status().with_context(|| format!("start {}", words[0]))?;
    session.end()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
