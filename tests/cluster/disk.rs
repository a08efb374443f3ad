//! Disks that fill up.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, eventually};

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

#[test]
fn a_member_with_a_full_disk_holds_nobody_up_and_recovers_when_there_is_room() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a small file system can be mounted by root only");
        return Ok(());
    }
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
    let place = cluster.members[0].data().parent().context("data lie in a folder")?.to_path_buf();
    let disk = SmallDisk::mount(&place, 400)?;
    cluster.start_all()?;
    let ballast = place.join("ballast");
    fill(&ballast)?;
    let others = format!("{},{}", cluster.members[1].client, cluster.members[2].client);
    let value = "x".repeat(100_000);
    for n in 0..300 {
        let wrote = eventually("write beside a full disk", Duration::from_secs(20), || {
            let output = tests::cluster::etcdctl(&others, &["put", &format!("k{n}"), &value]).ok()?;
            output.status.success().then_some(())
        });
        wrote?;
    }
    fs::remove_file(&ballast)?;
    if cluster.members[0].ended()?.is_some() {
        cluster.members[0].wait_end(Duration::from_secs(1))?;
        cluster.members[0].spawn()?;
    }
    let full = cluster.members[0].client.clone();
    eventually("the same value through the member that was full", Duration::from_secs(30), || {
        let output = tests::cluster::etcdctl(&full, &["get", "--print-value-only", "k299"]).ok()?;
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
