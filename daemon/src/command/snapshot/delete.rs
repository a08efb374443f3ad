//! `quorate snapshot delete`.

use super::place::{Place, choose};
use crate::command::print;
use anyhow::ensure;
use std::process::ExitCode;

pub(super) async fn run(place: &Place, id: &str, newest: bool) -> anyhow::Result<ExitCode> {
    let store = place.store()?;
    let all = store.list(None).await?;
    let name = choose(&all, Some(id))?;
    let is_newest = all.iter().filter(|other| other.cluster == name.cluster).max() == Some(&name);
    ensure!(
        newest || !is_newest,
        "{} is the newest snapshot of its cluster: --newest deletes it all the same",
        name.id
    );
    store.delete(&name).await?;
    let collected = store.collect(name.cluster).await?;
    print(&match &collected.deferred {
        Some(why) => format!("{} is deleted; its chunks are left for the next deletion: {why}\n", name.id),
        None => format!("{} is deleted, with {} chunks of {} bytes\n", name.id, collected.chunks, collected.bytes),
    });
    Ok(ExitCode::SUCCESS)
}
