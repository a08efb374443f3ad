//! Disks that fill up.

use crate::install::{LARGE_SEGMENTS, LOAD_BYTES, SHORT_LOG, cut_past, fill as fill_with_load};
use crate::install::{installed, number, same_everywhere};
use crate::membership::members;
use anyhow::{Context, Result, ensure};
use quorate::install::NEXT_FILE;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::client::Client;
use tests::cluster::{Cluster, Flavor, Member, etcdctl, eventually, get};
use tokio::runtime::Runtime;

/// A file system of its own in memory, unmounted when dropped: before the cluster on it, whose folder could not go
/// otherwise.
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
    let (_disk, log) = (SmallDisk::mount(&place, 400)?, place.join("wal"));
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
    Ok(())
}

/// A small disk for the data of the first member, and the name of a file to fill it with.
fn on_small_disk(cluster: &Cluster, mebibytes: u32) -> Result<(SmallDisk, PathBuf)> {
    let place = cluster.members[0].data();
    Ok((SmallDisk::mount(&place, mebibytes)?, place.join("filler")))
}

/// What a member itself has under a key.
fn own(member: &Member, key: &str) -> Option<Vec<u8>> {
    let output = etcdctl(&member.client, &["get", "--consistency=s", "--print-value-only", key]).ok()?;
    output.status.success().then(|| output.stdout.trim_ascii().to_vec()).filter(|value| !value.is_empty())
}

/// Whether a member says that what is to be written to one of its directories waits for room.
fn is_full(member: &Member, directory: &str) -> Option<bool> {
    let page = get(&member.metrics, "/metrics").ok()?;
    let name = format!("quorate_disk_full{{directory=\"{directory}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).map(|value| value == "1")
}

#[test]
fn a_member_with_a_full_disk_holds_nobody_up_and_goes_on_when_there_is_room() -> Result<()> {
    if !may_mount() {
        return Ok(());
    }
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &["--log-segment-bytes=8388608"])?;
    let (_disk, filler) = on_small_disk(&cluster, 200)?;
    cluster.start_all()?;
    let (mut others, value) = (Writer::to(&cluster.members[1..])?, "x".repeat(100_000));
    others.put("before", "x")?;
    eventually("the value at the member", Duration::from_secs(30), || own(&cluster.members[0], "before"))?;
    fill(&filler)?;
    // More than the segments at hand take: what comes after waits in the log, and the state behind it.
    for n in 0..500 {
        others.put(&format!("k{n}"), &value)?;
    }
    eventually("a full log", Duration::from_secs(30), || is_full(&cluster.members[0], "log")?.then_some(()))?;
    ensure!(cluster.members[0].ended()?.is_none(), "it goes on");
    ensure!(own(&cluster.members[0], "before").is_some(), "it shows what it has");
    let ready = |member: &Member| get(&member.metrics, "/readyz").is_ok();
    ensure!(!ready(&cluster.members[0]), "clients are led past it");
    eventually("another that is ready", Duration::from_secs(30), || ready(&cluster.members[1]).then_some(()))?;

    cluster.members[0].kill()?;
    cluster.members[0].spawn()?;
    eventually("what it has, after a start without room", Duration::from_secs(60), || {
        own(&cluster.members[0], "before")
    })?;
    ensure!(cluster.members[0].ended()?.is_none(), "it goes on");
    fs::remove_file(&filler)?;
    let full = cluster.members[0].client.clone();
    eventually("the same value through the member that was full", Duration::from_secs(60), || {
        let output = etcdctl(&full, &["get", "--print-value-only", "k499"]).ok()?;
        (output.stdout.trim_ascii() == value.as_bytes()).then_some(())
    })
    .with_context(|| cluster.members[0].log())?;
    eventually("readiness", Duration::from_secs(30), || ready(&cluster.members[0]).then_some(()))?;
    ensure!(cluster.members[0].ended()?.is_none(), "it was not started again");
    Ok(())
}

#[test]
fn a_state_that_finds_no_room_refuses_writes_and_is_read_until_there_is_some() -> Result<()> {
    if !may_mount() {
        return Ok(());
    }
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, &[])?;
    let (_disk, filler) = on_small_disk(&cluster, 64)?;
    let log = cluster.folder().join("wal");
    cluster.members[0].with_flag(format!("--wal-dir={}", log.display()));
    cluster.start_all()?;
    fill(&filler)?;
    let (runtime, value) = (tokio::runtime::Builder::new_current_thread().enable_all().build()?, "x".repeat(20_000));
    let mut client = runtime.block_on(async { Client::lazy(&cluster.members[0].client) })?;
    let mut written = 0;
    let refused = loop {
        match runtime.block_on(client.put(&format!("k{written}"), &value)) {
            Ok(_) => written += 1,
            Err(refused) => break format!("{refused:#}"),
        }
        ensure!(written < 3000, "60 MB were taken that cannot be kept");
    };
    ensure!(refused.contains("database space exceeded"), "{refused}");
    let last = format!("k{}", written - 1);
    let shows = |member: &Member| {
        let output = etcdctl(&member.client, &["get", "--print-value-only", &last]).ok()?;
        (output.stdout.trim_ascii() == value.as_bytes()).then_some(())
    };
    shows(&cluster.members[0]).context("what was written is read")?;
    ensure!(is_full(&cluster.members[0], "data") == Some(true) && is_full(&cluster.members[0], "log") == Some(false));

    let saved =
        etcdctl(&cluster.members[0].client, &["snapshot", "save", &cluster.folder().join("s").to_string_lossy()])?;
    ensure!(String::from_utf8_lossy(&saved.stderr).contains("no room to flush"), "{saved:?}");

    let (_, status) = cluster.members[0].terminate()?;
    ensure!(status.success(), "it stops as asked, without what the log replays: {status}");
    cluster.members[0].spawn()?;
    cluster.members[0].wait_ready()?;
    eventually("what was written, after a start without room", Duration::from_secs(30), || shows(&cluster.members[0]))?;
    eventually("a full disk", Duration::from_secs(30), || is_full(&cluster.members[0], "data")?.then_some(()))?;
    fs::remove_file(&filler)?;
    eventually("a write", Duration::from_secs(30), || runtime.block_on(client.put("after", "x")).ok().map(drop))?;
    eventually("room", Duration::from_secs(30), || (!is_full(&cluster.members[0], "data")?).then_some(()))?;
    ensure!(cluster.members[0].ended()?.is_none(), "it was not started again");
    cluster.members[0].kill()?;
    cluster.members[0].spawn()?;
    cluster.members[0].wait_ready()?;
    eventually("what was written, after all", Duration::from_secs(30), || shows(&cluster.members[0]))?;
    Ok(())
}

#[test]
fn a_snapshot_that_finds_no_room_gives_back_what_it_took_and_is_installed_when_there_is_some() -> Result<()> {
    if !may_mount() {
        return Ok(());
    }
    let flags = [&SHORT_LOG[1..], &[LARGE_SEGMENTS]].concat();
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &flags)?;
    let (_disk, filler) = on_small_disk(&cluster, 240)?;
    cluster.start_all()?;
    lead(&cluster, 1)?;
    cluster.members[0].kill()?;
    let last = number(&cluster.members[1], "quorate_durable_index")?;
    fill_with_load(&cluster.members[1])?;
    cut_past(&cluster.members[cluster.leader()?], last)?;
    fill(&filler)?;
    // Room for what is fetched, and not for the state that is made of it.
    fs::File::options().write(true).open(&filler)?.set_len(fs::metadata(&filler)?.len() - LOAD_BYTES * 4 / 3)?;

    cluster.members[0].spawn()?;
    let failures = |member: &Member| number(member, "quorate_snapshot_failures_total").ok();
    eventually("attempts that fail", Duration::from_secs(60), || (failures(&cluster.members[0])? > 1).then_some(()))?;
    eventually("room that is given back", Duration::from_secs(30), || {
        (!cluster.members[0].data().join(NEXT_FILE).exists()).then_some(())
    })?;
    ensure!(cluster.members[0].ended()?.is_none(), "it goes on");
    fs::remove_file(&filler)?;
    installed(&cluster.members[0])?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())?;
    ensure!(cluster.members[0].ended()?.is_none(), "it was not started again");
    Ok(())
}

/// Writes until no byte is left.
fn fill(path: &Path) -> Result<()> {
    use std::io::Write;
    let (mut file, chunk) = (fs::File::create(path)?, vec![0_u8; 64 << 10]);
    while file.write(&chunk).is_ok_and(|written| written > 0) {}
    Ok(())
}
