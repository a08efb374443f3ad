//! A backup becomes a cluster of its own, with the same keys and values.

use super::scene::{Scene, Staged};
use super::writers::{block_on, patient};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::cluster::{Cluster, Flavor, Member};
use tests::tree;

/// What was seen.
pub(crate) struct Restored {
    /// `quorate snapshot verify`.
    pub(crate) verified: Duration,
    /// `quorate restore`, which verifies, too.
    pub(crate) restored: Duration,
    /// From the start of the new member until it serves.
    pub(crate) started: Duration,
}

/// Restores the staged snapshot, and compares what it holds with what the members had.
pub(crate) fn measure(scene: &Scene, staged: &Staged) -> Result<Restored> {
    let before = hash(scene.leader()?, staged.revision)?;
    let mut new = Cluster::planned(Flavor::Quorate, 1, &["--quota-backend-bytes=0"])?;
    let place = scene.store().display().to_string();
    let id = newest_at(&place, staged.index)?;
    let verified = timed(&["snapshot", "verify", &place, &id])?;
    let member = &new.members[0];
    std::fs::create_dir_all(member.data().parent().context("it is in a folder")?)?;
    let (data, url) = (member.data().display().to_string(), format!("http://{}", member.peer));
    let list = format!("{}={url}", member.name);
    let restored = timed(&[
        "restore",
        &place,
        &id,
        "--name",
        &member.name,
        "--data-dir",
        &data,
        "--initial-advertise-peer-urls",
        &url,
        "--initial-cluster",
        &list,
        "--initial-cluster-token",
        "test",
    ])?;
    let begun = Instant::now();
    new.start_all()?;
    let started = begun.elapsed();
    let after = hash(&new.members[0], staged.revision)?;
    ensure!(before == after, "HashKV at revision {}: {before} before, {after} after", staged.revision);
    Ok(Restored { verified, restored, started })
}

/// The id of the snapshot with this index.
fn newest_at(place: &str, index: u64) -> Result<String> {
    let listed = quorate(&["snapshot", "ls", place])?;
    let index = index.to_string();
    let row = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row.contains(&&*index));
    Ok((*row.as_ref().and_then(|row| row.first()).with_context(|| format!("no snapshot {index} in:\n{listed}"))?)
        .to_owned())
}

fn hash(member: &Member, revision: i64) -> Result<u32> {
    block_on(async { Ok(patient(&member.client)?.hash_kv(revision).await?) })
}

fn timed(arguments: &[&str]) -> Result<Duration> {
    let begun = Instant::now();
    quorate(arguments)?;
    Ok(begun.elapsed())
}

fn quorate(arguments: &[&str]) -> Result<String> {
    let program: &Path = &tree::quorate()?;
    let output = Command::new(program).args(arguments).output().context("run quorate")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "quorate {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
