//! `quorate hand-over`: before a member stops, another one leads.
//!
//! * Bounded: whatever the cluster is like, it ends within the time given, so that a hook never holds a pod back.
//! * A member that does not lead, or cannot be asked, has nothing to hand over. What is not
//!   settled at the end is a failure, to be seen by people: the cluster will then elect, and loses nothing.

use super::Endpoints;
use super::admin_client::{AdminClient, CallError};
use super::print;
use crate::config::Address;
use admin_api::{
    LeaderTransferred, MemberStatus, Members, PATH_MEMBERS, PATH_STATUS, PATH_TRANSFER_LEADER, Role, TransferLeader,
};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// Between two attempts: a follower that is a little behind catches up meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// Who shall not lead, and how long it may take.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Give up after this.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=3600))]
    within_seconds: u64,
}

/// How it came out.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It did not lead, or nobody was there to be asked.
    Nothing(String),
    /// Another leads.
    HandedOver(LeaderTransferred),
    /// It leads still, or does not say.
    Failed(String),
}

/// Exits with 0 unless a member may lead still.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&options.endpoints)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let within = Duration::from_secs(options.within_seconds);
    let mut code = ExitCode::SUCCESS;
    for endpoint in &options.endpoints.endpoints {
        match runtime.block_on(hand_over(&client, endpoint, within)) {
            Outcome::Nothing(why) => print(&format!("{endpoint}: {why}\n")),
            Outcome::HandedOver(LeaderTransferred { leader, term }) => {
                print(&format!("{endpoint}: {leader} leads now, in term {term}\n"));
            }
            Outcome::Failed(why) => {
                eprintln!("{endpoint}: leadership is not handed over: {why}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn hand_over(client: &AdminClient, endpoint: &Address, within: Duration) -> Outcome {
    let mut last = "it has not answered".to_owned();
    let attempts = async {
        loop {
            match attempt(client, endpoint).await {
                Ok(outcome) => return outcome,
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    };
    match tokio::time::timeout(within, attempts).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed(last),
    }
}

/// One attempt; an error is worth another one.
async fn attempt(client: &AdminClient, endpoint: &Address) -> Result<Outcome, CallError> {
    let status: MemberStatus = match client.get(endpoint, PATH_STATUS).await {
        Ok(status) => status,
        Err(error @ CallError::Connect(_)) => return Ok(Outcome::Nothing(error.to_string())),
        Err(error) => return Err(error),
    };
    if status.role != Role::Leader {
        return Ok(Outcome::Nothing("it does not lead".into()));
    }
    let members: Members = client.get(endpoint, PATH_MEMBERS).await?;
    if members.members.iter().filter(|member| member.voter).count() < 2 {
        return Ok(Outcome::Nothing("nobody else votes".into()));
    }
    client.post(endpoint, PATH_TRANSFER_LEADER, &TransferLeader::default()).await.map(Outcome::HandedOver)
}

#[cfg(test)]
#[path = "hand_over_tests.rs"]
mod tests;
