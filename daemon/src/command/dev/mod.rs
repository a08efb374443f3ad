//! `quorate dev`: a cluster on this machine, and a live table of it.
//!
//! Every member is a process of its own, so it can be killed, stopped and watched. When this process ends, however it
//! ends, its members end: by SIGTERM when asked, by the kernel when it is killed.

mod load;
mod member;
mod plan;
mod screen;

use super::admin_client::AdminClient;
use super::print;
use super::status::{self, Seen};
use anyhow::Context;
use clap::Args;
use load::Load;
use member::Member;
use plan::Plan;
use screen::Screen;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks. Often enough to see a stream catch up, rare enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What a member may take to hand over and stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the cluster is like.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many members.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    members: u16,
    /// Where their data lives, kept for the next time. By default a new folder that goes away at a clean end.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The first member's client port; its peer and admin ports follow, the next member's are 10 further.
    #[arg(long, default_value_t = 2379, value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// Writers that keep the cluster busy.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    clients: u16,
    /// Flags for every member, after `--`: they are those of `quorate serve`.
    #[arg(last = true)]
    flags: Vec<String>,
}

pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(options.members, options.base_port, options.dir, &options.flags)?;
    // One thread: members are bound to the life of the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(&plan, options.clients))?;
    plan.clean_up();
    Ok(ExitCode::SUCCESS)
}

async fn play(plan: &Plan, clients: u16) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut members = plan.members.iter().map(Member::start).collect::<anyhow::Result<Vec<_>>>()?;
    print(&plan.introduction());
    let watched = tokio::select! {
        watched = watch(plan, &mut members, clients) => watched,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    print(&format!("stopping {} members\n", members.len()));
    let stopping =
        async { futures::future::join_all(members.iter_mut().map(|member| member.stop(STOP_TIMEOUT))).await };
    tokio::select! {
        _stopped = stopping => {}
        _ = interrupt.recv() => print("killing them\n"), // dropping a member kills it
    }
    watched
}

/// Looks and shows until something breaks.
async fn watch(plan: &Plan, members: &mut [Member], clients: u16) -> anyhow::Result<()> {
    let client = AdminClient::default();
    let mut screen = Screen::new();
    let endpoints: Vec<_> = plan.members.iter().map(|member| member.admin.clone()).collect();
    let clients_of: Vec<_> = plan.members.iter().map(|member| member.client.clone()).collect();
    let mut load = (clients > 0).then(|| Load::start(clients, &clients_of)).transpose()?;
    let mut answered = vec![false; endpoints.len()];
    loop {
        let seen = status::look(&client, &endpoints).await;
        let news =
            members.iter_mut().filter_map(|member| member.revive().transpose()).collect::<anyhow::Result<Vec<_>>>()?;
        let rate = load.as_mut().map(Load::rate);
        screen
            .show(&name_them(plan, &mut answered, seen), &news, rate.as_ref())
            .context("cannot write to the terminal")?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An endpoint that does not answer is shown by its member's name, and is starting until it has answered once.
fn name_them(plan: &Plan, answered: &mut [bool], mut seen: Seen) -> Seen {
    for ((one, member), answered) in seen.heard.iter_mut().zip(&plan.members).zip(answered) {
        *answered |= one.status.is_ok();
        one.endpoint.clone_from(&member.name);
        if let Err(why) = &mut one.status
            && !*answered
        {
            "starting".clone_into(why);
        }
    }
    seen
}
