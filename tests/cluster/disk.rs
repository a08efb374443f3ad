//! Disks that fill up.

use crate::membership::members;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::client::Client;
use tests::cluster::{Cluster, Flavor, Member, etcdctl, eventually};
use tokio::runtime::Runtime;

/// A file system of its own in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Result<Self> {
        fs::create_dir_all(at)?;
        let options = format!("size={mebibytes}m,mode=0700");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .status()
            .context("run mount")?;
        ensure!(status.success(), "mount a file system of {mebibytes} MiB at {}", at.display());
        Ok(Self(at.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a member that is being ended may still hold files.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("could not unmount {}", self.0.display());
        }
    }
}

/// Whether this process may mount; says so if not.
fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: a small file system can be mounted by root only");
    }
    root
}

/// A client of several members.
struct Writer {
    runtime: Runtime,
    clients: Vec<Client>,
}

impl Writer {
    fn to(members: &[Member]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clients: Result<Vec<_>> =
            runtime.block_on(async { members.iter().map(|member| Client::lazy(&member.client)).collect() });
        Ok(Self { runtime, clients: clients? })
    }

    /// Writes through the first of them that takes it. Who leads may change on the way.
    fn put(&mut self, key: &str, value: &str) -> Result<()> {
        let (runtime, clients) = (&self.runtime, &mut self.clients);
        eventually("write beside a full disk", Duration::from_secs(20), || {
            clients.iter_mut().find_map(|client| runtime.block_on(client.put(key, value)).ok().map(drop))
        })
    }
}

/// Makes this member lead.
fn lead(cluster: &Cluster, wanted: usize) -> Result<()> {
    eventually("leadership where it is wanted", Duration::from_secs(30), || {
        let leader = cluster.leader().ok()?;
        if leader == wanted {
            return Some(());
        }
        let id = *members(cluster).ok()?.get(&cluster.members[wanted].name)?;
        let moved = etcdctl(&cluster.members[leader].client, &["move-leader", &format!("{id:x}")]).ok()?;
        moved.status.success().then_some(())
    })
}

/// Segments that are ready for a log to go on in.
fn spares(log: &Path) -> usize {
    let names = fs::read_dir(log).into_iter().flatten().filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("spare-") && !name.ends_with(".new")).count()
}

#[test]
fn a_leader_whose_log_has_no_room_hands_over_and_leads_again_when_there_is_room() -> Result<()> {
    if !may_mount() {
        return Ok(());
    }
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
    let place = cluster.folder().join("small");
    let (disk, log) = (SmallDisk::mount(&place, 400)?, place.join("wal"));
    cluster.members[0].with_flag(format!("--wal-dir={}", log.display()));
    cluster.start_all()?;
    lead(&cluster, 0)?;
    eventually("spare segments", Duration::from_secs(60), || (spares(&log) == 2).then_some(()))?;
    let ballast = place.join("ballast");
    fill(&ballast)?;

    let (mut others, value) = (Writer::to(&cluster.members[1..])?, "x".repeat(1_000_000));
    let mut written = 0;
    while cluster.leader()? == 0 {
        ensure!(written < 200, "its log has taken {written} MB without a word");
        others.put(&format!("k{}", written % 10), &value)?;
        written += 1;
    }
    others.put("after", "x")?;
    ensure!(cluster.members[0].ended()?.is_none(), "it goes on, and follows as far as it can");

    fs::remove_file(&ballast)?;
    let full = cluster.members[0].client.clone();
    eventually("the same value through the member that was full", Duration::from_secs(60), || {
        let output = etcdctl(&full, &["get", "--print-value-only", "after"]).ok()?;
        (output.stdout.trim_ascii() == b"x").then_some(())
    })?;
    lead(&cluster, 0)?;
    Writer::to(&cluster.members[..1])?.put("again", "x")?;
    drop(cluster);
    drop(disk);
    Ok(())
}

#[test]
fn a_member_with_a_full_disk_holds_nobody_up_and_recovers_when_there_is_room() -> Result<()> {
    if !may_mount() {
        return Ok(());
    }
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
    let place = cluster.members[0].data().parent().context("data lie in a folder")?.to_path_buf();
    let disk = SmallDisk::mount(&place, 400)?;
    cluster.start_all()?;
    let ballast = place.join("ballast");
    fill(&ballast)?;
    let (mut others, value) = (Writer::to(&cluster.members[1..])?, "x".repeat(100_000));
    for n in 0..300 {
        others.put(&format!("k{n}"), &value)?;
    }
    fs::remove_file(&ballast)?;
    if cluster.members[0].ended()?.is_some() {
        cluster.members[0].wait_end(Duration::from_secs(1))?;
        cluster.members[0].spawn()?;
    }
    let full = cluster.members[0].client.clone();
    eventually("the same value through the member that was full", Duration::from_secs(30), || {
        let output = etcdctl(&full, &["get", "--print-value-only", "k299"]).ok()?;
        (output.stdout.trim_ascii() == value.as_bytes()).then_some(())
    })?;
    drop(cluster);
    drop(disk);
    Ok(())
}

/// Writes until no byte is left.
fn fill(path: &Path) -> Result<()> {
    use std::io::Write;
    let (mut file, chunk) = (fs::File::create(path)?, vec![0_u8; 64 << 10]);
    while file.write(&chunk).is_ok_and(|written| written > 0) {}
    Ok(())
}
