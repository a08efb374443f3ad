//! The command line: what to run, and how it ends.
//!
//! ```text
//!   quorate serve [etcd's flags]      one member            etcd [flags]   the same, with etcd's defaults
//!   quorate dev                       a cluster on this machine, with a live table
//!   quorate status                    who leads, who follows, how far behind
//!   quorate snapshot ls ...           snapshots and backups: list, inspect, verify, take, delete
//!   quorate restore ...               a member of a new cluster, made from a snapshot
//!   quorate hand-over                 before a member stops: if it leads, another shall
//!   quorate dump-log DIR              what a member's log holds
//! ```

mod admin_client;
mod dev;
mod dump_log;
mod hand_over;
mod restore;
mod serve;
mod snapshot;
mod status;
mod view;

use crate::bootstrap::EXIT_DAMAGED;
use crate::config::{Address, Mode};
use crate::store;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name under which the program behaves as etcd.
const ETCD: &str = "etcd";
/// Set by `quorate dev` for its members: the process id of a parent without which they have no business.
const END_WITH_PARENT: &str = "QUORATE_END_WITH_PARENT";

/// The replicated key-value store that Kubernetes runs for you.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one member. Takes etcd's flags, ETCD_* variables or --config-file; see `quorate serve --help`.
    #[command(disable_help_flag = true)]
    Serve {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        flags: Vec<OsString>,
    },
    /// Run a cluster on this machine and watch it.
    Dev(dev::Options),
    /// Show who leads, who follows and how far behind they are.
    Status(status::Options),
    /// List, inspect, verify, take and delete snapshots.
    Snapshot(snapshot::Options),
    /// Make a data directory of a new cluster from a snapshot.
    Restore(restore::Options),
    /// If the member leads, let another voter lead; for the hook that runs before a pod stops.
    HandOver(hand_over::Options),
    /// Print what a member's log holds.
    DumpLog(dump_log::Options),
}

/// Whom to ask, and how to be trusted there.
#[derive(Clone, Debug, Args)]
struct Endpoints {
    /// Admin endpoints of members, separated by commas. The leader knows of all others.
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2381")]
    endpoints: Vec<Address>,
    /// Verify members against this CA file.
    #[arg(long)]
    cacert: Option<PathBuf>,
    /// Show this certificate.
    #[arg(long, requires_all = ["key", "cacert"])]
    cert: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
}

/// Runs what the command line asks for, and tells what went wrong.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    abort_on_panic();
    crate::tls::install_provider();
    match run(arguments) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{}", whole(&problem));
            ExitCode::FAILURE
        }
    }
}

/// What went wrong and why. Errors of ours name their cause themselves; it is not said twice.
fn whole(problem: &anyhow::Error) -> String {
    problem.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        known if known.ends_with(&cause) => said,
        known => format!("{known}: {cause}"),
    })
}

/// A broken invariant ends the member, on whatever thread it shows; its peers carry on. One in a state file that is
/// being opened is damage, and is told as such. A release is built to abort by itself; what the tests run is built like
/// the tests, which unwind.
fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if store::is_opening() {
            eprintln!("could not start: state.redb has rotted");
            std::process::exit(i32::from(EXIT_DAMAGED));
        }
        std::process::abort();
    }));
}

fn run(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    if called == ETCD {
        return serve::run(Mode::Etcd, &serve::flags(arguments.into_iter().skip(1))?);
    }
    match CommandLine::parse_from(arguments).command {
        Command::Serve { flags } => serve::run(Mode::Quorate, &serve::flags(flags.into_iter())?),
        Command::Dev(options) => dev::run(options),
        Command::Status(options) => status::run(&options),
        Command::Snapshot(options) => snapshot::run(options),
        Command::Restore(options) => restore::run(&options),
        Command::HandOver(options) => hand_over::run(&options),
        Command::DumpLog(options) => dump_log::run(&options),
    }
}

/// Prints for people. Whoever has stopped reading has seen enough: that is no failure of ours.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _unread = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[derive(Debug, thiserror::Error)]
    #[error("the log: {0}")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_cause_is_said_once_whether_its_error_names_it_or_not() {
        let named = anyhow::Error::from(Outer(std::io::Error::other("the disk")));
        assert_eq!(whole(&named), "the log: the disk");
        assert_eq!(whole(&named.context("starting")), "starting: the log: the disk");
    }
}
