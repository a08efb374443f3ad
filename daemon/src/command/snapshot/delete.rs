//! `quorate snapshot delete`.

use super::place::{Place, choose};
use crate::command::print;
use anyhow::ensure;
use std::process::ExitCode;

pub(super) async fn run(place: &str, id: &str, newest: bool) -> anyhow::Result<ExitCode> {
    let place = Place::open(place).await?;
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
    print(&if collected.deferred {
        format!("{} is deleted; its chunks are, with the next one, when no snapshot is being uploaded\n", name.id)
    } else {
        format!("{} is deleted, with {} chunks of {} bytes\n", name.id, collected.chunks, collected.bytes)
    });
    Ok(ExitCode::SUCCESS)
}
