//! `quorate status`: one look at a cluster.

use super::Endpoints;
use super::admin_client::{AdminClient, CallError};
use super::print;
use super::view::{self, Heard};
use crate::config::Address;
use admin_api::{MemberStatus, PATH_REPLICATION, PATH_STATUS, Replication};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::process::ExitCode;

/// What to ask, and how to show it.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How to show it.
    #[arg(short, long, value_enum, default_value = "table")]
    write_out: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// For programs: what the members said, word for word.
    Json,
}

/// What a round of questions brought.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) heard: Vec<Heard>,
    pub(super) replication: Option<Replication>,
}

/// Exits with 0 when every endpoint answered and a leader is known.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&options.endpoints)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = runtime.block_on(look(&client, &options.endpoints.endpoints));
    match options.write_out {
        Form::Table => print(&view::table(&view::rows(&seen.heard, seen.replication.as_ref()))),
        Form::Json => print(&format!("{}\n", to_json(&seen))),
    }
    let well = |one: &Heard| matches!(&one.status, Ok(status) if status.leader.is_some());
    Ok(if seen.heard.iter().all(well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks everybody at once, then the leader about its followers.
pub(super) async fn look(client: &AdminClient, endpoints: &[Address]) -> Seen {
    let asking = endpoints.iter().map(|endpoint| async move {
        let status: Result<MemberStatus, CallError> = client.get(endpoint, PATH_STATUS).await;
        Heard { endpoint: endpoint.to_string(), status: status.map_err(|error| error.to_string()) }
    });
    let heard = futures::future::join_all(asking).await;
    let leader =
        view::leader(&heard).and_then(|leader| endpoints.iter().find(|endpoint| endpoint.to_string() == leader));
    let replication = match leader {
        // A leader that has just lost its quorum refuses: then there is no lag to show.
        Some(leader) => client.get(leader, PATH_REPLICATION).await.ok(),
        None => None,
    };
    Seen { heard, replication }
}

fn to_json(seen: &Seen) -> serde_json::Value {
    let member = |one: &Heard| match &one.status {
        Ok(status) => json!({"endpoint": one.endpoint, "status": status}),
        Err(error) => json!({"endpoint": one.endpoint, "error": error}),
    };
    json!({"members": seen.heard.iter().map(member).collect::<Vec<_>>(), "replication": seen.replication})
}

#[cfg(test)]
#[path = "status_tests.rs"]
pub(super) mod tests;
