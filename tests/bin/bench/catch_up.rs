//! How fast a follower that was away catches up, next to what the disk can do in the same minute.

use crate::load::Load;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::cluster::{Cluster, Flavor, etcdctl, eventually};

/// A follower with nothing wrong catches up in a small part of this.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

/// As much as the follower writes at once.
const DISK_WRITE_BYTES: usize = 1 << 20;

/// How often the disk is asked to.
const DISK_WRITES: u32 = 128;

/// What was seen.
pub(crate) struct CaughtUp {
    /// Entries that the follower had missed.
    entries: u64,
    /// What the keys and values of one have.
    payload_bytes: u32,
    /// From its start to having applied them.
    took: Duration,
    /// What the follower used of the processors in that time.
    follower_cpu_seconds: f64,
    /// What the leader used, which did little else.
    leader_cpu_seconds: f64,
}

/// Takes a follower away, writes with `load`, and brings it back.
pub(crate) fn measure(flavor: Flavor, flags: &[&str], load: &Load, percent: u64) -> Result<CaughtUp> {
    let mut cluster = Cluster::start(flavor, 3, flags)?;
    let away = (cluster.leader()? + 1) % 3;
    let before = applied(&cluster.members[away].client)?;
    cluster.members[away].kill()?;
    let there: Vec<&str> = cluster
        .members
        .iter()
        .enumerate()
        .filter(|(n, _)| *n != away)
        .map(|(_, member)| member.client.as_str())
        .collect();
    load.drive(&there.join(","), percent)?;
    let leader = cluster.leader()?;
    let goal = applied(&cluster.members[leader].client)?;
    let leader_before = cluster.members[leader].cpu_seconds()?;
    let begun = Instant::now();
    cluster.members[away].spawn()?;
    let client = cluster.members[away].client.clone();
    eventually("caught-up follower", CAUGHT_UP_WITHIN, || (applied(&client).ok()? >= goal).then_some(()))?;
    Ok(CaughtUp {
        entries: goal - before,
        payload_bytes: load.payload_bytes(),
        took: begun.elapsed(),
        follower_cpu_seconds: cluster.members[away].cpu_seconds()?,
        leader_cpu_seconds: cluster.members[leader].cpu_seconds()? - leader_before,
    })
}

fn applied(endpoint: &str) -> Result<u64> {
    let output = etcdctl(endpoint, &["--dial-timeout=200ms", "endpoint", "status", "-w", "json"])?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    said[0]["Status"]["raftAppliedIndex"].as_u64().context("a status has an applied index")
}

/// Bytes per second that reach the disk in writes of one mebibyte, each synced: the most that durable appends can be.
///
/// # Errors
/// When the folder cannot be written to.
pub(crate) fn disk_bytes_per_second(folder: &Path) -> Result<f64> {
    let (path, chunk) = (folder.join("disk-speed"), vec![0x5a; DISK_WRITE_BYTES]);
    let mut file = File::create(&path)?;
    let begun = Instant::now();
    for _ in 0..DISK_WRITES {
        file.write_all(&chunk)?;
        file.sync_data()?;
    }
    let rate = f64::from(DISK_WRITES) * DISK_WRITE_BYTES as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// The head of the table of [`render`].
pub(crate) const HEAD: &str = "\n\
    | a follower was away for | entries/s | MiB/s of keys and values | follower's CPU s | leader's CPU s |\n\
    | --- | ---: | ---: | ---: | ---: |";

/// One row: ours and, after a slash, etcd's where it was measured.
pub(crate) fn render(load: &Load, seen: &[CaughtUp]) -> String {
    let cell = |digits: usize, value: fn(&CaughtUp) -> f64| {
        let values: Vec<String> = seen.iter().map(|seen| format!("{:.digits$}", value(seen))).collect();
        values.join(" / ")
    };
    let entries = seen.first().map_or(0, |seen| seen.entries);
    format!(
        "| {entries} entries, {} | {} | {} | {} | {} |",
        load.name,
        cell(0, CaughtUp::entries_per_second),
        cell(1, |seen| seen.entries_per_second() * f64::from(seen.payload_bytes) / f64::from(1 << 20)),
        cell(1, |seen| seen.follower_cpu_seconds),
        cell(1, |seen| seen.leader_cpu_seconds),
    )
}

impl CaughtUp {
    fn entries_per_second(&self) -> f64 {
        self.entries as f64 / self.took.as_secs_f64()
    }
}
