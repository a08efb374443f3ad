//! A Kubernetes cluster for tests: `kind up`, `kind down`, `eval "$(kind env)"`, `kind load IMAGE.tar`, `kind run COMMAND`,
//! `kind possible`.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tests::kind::{self, Cluster, Session};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

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
    /// Say why this machine can have none, and fail; or say nothing.
    Possible,
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
    perform(Arguments::parse().verb).unwrap_or_else(|error| {
        eprintln!("kind: {error:#}");
        ExitCode::FAILURE
    })
}

fn perform(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Up => drop(kind::up()?),
        Verb::Down => kind::down()?,
        Verb::Possible => return Ok(possible()),
        Verb::Env => env()?,
        Verb::Load { archives } => Cluster::current()?.load(&archives)?,
        Verb::Run { command } => return run(&command),
    }
    Ok(ExitCode::SUCCESS)
}

fn possible() -> ExitCode {
    match kind::impossible() {
        Some(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn env() -> Result<()> {
    let cluster = Cluster::current()?;
    cluster.provide_clients()?;
    for (name, value) in cluster.environment() {
        println!("export {name}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(())
}

fn run(words: &[String]) -> Result<ExitCode> {
    let session = Session::begin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let provided = session.cluster.provide_clients();
    let succeeded = provided.and_then(|()| runtime.block_on(attend(words, &session.cluster)));
    session.end()?;
    Ok(if succeeded? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the command to its end. A signal ends the command and not us: the cluster is still to be taken down.
async fn attend(words: &[String], cluster: &Cluster) -> Result<bool> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(cluster.environment());
    let mut child = command.spawn().with_context(|| format!("start {}", words[0]))?;
    tokio::select! {
        status = child.wait() => return Ok(status?.success()),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    child.kill().await?;
    Ok(false)
}
