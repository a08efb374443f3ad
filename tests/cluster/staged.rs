//! Members that the log does not reach install from object storage, and from each other when that is of no use.

use crate::install::{
    INSTALL_WITHIN, LARGE_SEGMENTS, LOAD_BYTES, SHORT_LOG, VALUES, cut_past, fetched, fill, installed, number,
    promoted, same_everywhere, served,
};
use crate::{CLIENTS, addresses};
use anyhow::{Result, ensure};
use quorate::disk::{Disk, RealDisk};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, Member, eventually, get};
use tests::workload::Workload;

/// Two intervals, and what a busy machine makes of them.
const STAGED_WITHIN: Duration = Duration::from_secs(90);

/// Three members that stage into a directory.
fn staging(flags: &[&str], interval: &str) -> Result<Cluster> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, flags)?;
    let store = format!("--backup-store=dir:{}", store(&cluster).display());
    for member in &mut cluster.members {
        member.with_flag(store.as_str());
        member.with_flag(format!("--backup-interval={interval}"));
    }
    cluster.start_all()?;
    Ok(cluster)
}

fn store(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("backups")
}

/// Waits for a snapshot in the store that holds what the member has applied now.
fn staged(member: &Member) -> Result<()> {
    let applied = number(member, "quorate_last_index")?;
    eventually(&format!("snapshot of entry {applied} in the store"), STAGED_WITHIN, || {
        (number(member, "quorate_backup_index").ok()? >= applied).then_some(())
    })
}

/// A cluster whose log has been cut past what one member has, behind a snapshot in the store; who is away.
fn one_far_behind() -> Result<(Cluster, usize)> {
    let mut cluster = staging(&[&SHORT_LOG[..], &[LARGE_SEGMENTS]].concat(), "5s")?;
    let leader = cluster.leader()?;
    let away = (leader + 1) % 3;
    cluster.members[away].kill()?;
    fill(&cluster.members[leader])?;
    let leader = cluster.leader()?;
    staged(&cluster.members[leader])?;
    cut_past(&cluster.members[leader], VALUES / 2)?;
    Ok((cluster, away))
}

/// Bytes of chunks that members have sent, all together.
fn sent(cluster: &Cluster, away: usize) -> Result<u64> {
    let others = cluster.members.iter().filter(|member| member.name != cluster.members[away].name);
    others.map(|member| number(member, "quorate_snapshot_sent_bytes_total")).sum()
}

/// Bytes that the leader has sent to its peers outside of snapshots.
fn streamed(cluster: &Cluster) -> Result<f64> {
    let page = get(&cluster.members[cluster.leader()?].metrics, "/metrics")?;
    let rows = page.lines().filter(|line| line.starts_with("etcd_network_peer_sent_bytes_total{"));
    Ok(rows.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

fn all(cluster: &Cluster) -> Vec<&Member> {
    cluster.members.iter().collect()
}

#[test]
fn a_member_that_was_away_installs_from_object_storage_and_the_leader_sends_next_to_nothing() -> Result<()> {
    let (mut cluster, away) = one_far_behind()?;
    let before = streamed(&cluster)?;
    cluster.members[away].spawn()?;
    installed(&cluster.members[away])?;
    cluster.members[away].wait_ready()?;
    same_everywhere(&all(&cluster))?;
    let (served, sent) = (served(&cluster.members[away])?, sent(&cluster, away)?);
    ensure!(served[0] > LOAD_BYTES / 2, "{served:?} of {LOAD_BYTES} bytes, the first from object storage");
    ensure!(sent * 20 < LOAD_BYTES && (served[1] + served[2]) * 20 < LOAD_BYTES, "{served:?}, {sent} bytes were sent");
    let streamed = streamed(&cluster)? - before;
    ensure!(streamed * 4.0 < LOAD_BYTES as f64, "the leader sent {streamed} bytes besides");
    ensure!(number(&cluster.members[away], "quorate_snapshot_failures_total")? == 0, "at the first try");
    Ok(())
}

#[test]
fn an_install_from_object_storage_that_is_killed_goes_on_where_it_was() -> Result<()> {
    let (mut cluster, away) = one_far_behind()?;
    cluster.members[away].with_flag("--backup-bandwidth-limit=4194304");
    cluster.members[away].spawn()?;
    let total = fetched(&cluster.members[away], LOAD_BYTES / 2)?;
    cluster.members[away].kill()?;
    cluster.members[away].spawn()?;
    installed(&cluster.members[away])?;
    cluster.members[away].wait_ready()?;
    same_everywhere(&all(&cluster))?;
    let served = served(&cluster.members[away])?;
    ensure!(served[0] > 0 && served.iter().sum::<u64>() < total * 3 / 4, "{served:?} of {total} after the restart");
    ensure!(number(&cluster.members[away], "quorate_snapshot_resumed_total")? > 0, "it went on");
    Ok(())
}

/// Lets a member come back to a store that is of no use: it installs from members, and has what they have.
fn comes_back_despite(trouble: impl FnOnce(&Path) -> Result<()>, says: &str) -> Result<()> {
    let (mut cluster, away) = one_far_behind()?;
    trouble(&store(&cluster))?;
    cluster.members[away].spawn()?;
    installed(&cluster.members[away])?;
    cluster.members[away].wait_ready()?;
    same_everywhere(&all(&cluster))?;
    let served = served(&cluster.members[away])?;
    ensure!(served[1] + served[2] > LOAD_BYTES / 2, "{served:?} of {LOAD_BYTES} bytes, the first from object storage");
    let failures = "quorate_snapshot_source_failures_total{source=\"objects\"}";
    ensure!(number(&cluster.members[away], failures)? > 0, "it was asked first");
    ensure!(cluster.members[away].log().contains(says), "{says:?} is not in its log");
    let left = RealDisk::read_only(&cluster.members[away].data().join("install")).list()?;
    ensure!(left.is_empty(), "{left:?} is left of the install");
    // What it has is whole: it starts from it.
    cluster.members[away].kill()?;
    cluster.members[away].spawn()?;
    cluster.members[away].wait_ready()?;
    same_everywhere(&all(&cluster))
}

/// One bit of every file in a folder is another one.
fn damage(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            damage(&path)?;
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes)?;
    }
    Ok(())
}

#[test]
fn a_store_whose_chunks_are_damaged_is_noticed_and_members_give_what_is_needed() -> Result<()> {
    comes_back_despite(|store| damage(&store.join("chunks")), "from objects is not what its digest says")
}

#[test]
fn a_store_that_is_gone_leaves_the_members() -> Result<()> {
    let replace = |store: &Path| {
        fs::rename(store, store.with_extension("away"))?;
        Ok(fs::write(store, b"not a directory")?)
    };
    comes_back_despite(replace, "a source of a snapshot failed")
}

#[test]
fn a_member_joins_by_a_snapshot_from_before_it_was_one() -> Result<()> {
    // With room for what is written between two snapshots.
    let flags = [&SHORT_LOG[..3], &["--log-anchor-bytes=67108864", "--log-anchor-time=1s"]].concat();
    let mut cluster = staging(&flags, "20s")?;
    let load = Workload::start(&addresses(&cluster), CLIENTS, 7);
    load.wait_acknowledged(1_000, Duration::from_secs(60))?;
    let leader = cluster.leader()?;
    // The next one is due twenty seconds after this one.
    staged(&cluster.members[leader])?;
    cut_past(&cluster.members[cluster.leader()?], 200)?;
    let newest = number(&cluster.members[leader], "quorate_backup_index")?;
    let store = format!("--backup-store=dir:{}", store(&cluster).display());
    let joining = cluster.joining("m4", &[&flags[..], &[&store]].concat())?;
    let url = format!("--peer-urls=http://{}", cluster.members[joining].peer);
    let added = cluster.etcdctl(&["member", "add", "m4", "--learner", &url])?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    cluster.members[joining].spawn()?;
    eventually("snapshot installed by m4", INSTALL_WITHIN, || {
        (number(&cluster.members[joining], "quorate_snapshot_installed_total").ok()? > 0).then_some(())
    })?;
    cluster.members[joining].wait_ready()?;
    let served = served(&cluster.members[joining])?;
    ensure!(served[0] > 0 && served[1] + served[2] == 0, "{served:?}: from object storage, the newest of {newest}");
    load.wait_acknowledged(100, Duration::from_secs(20))?;
    drop(load.stop()?);
    promoted(&cluster, "m4")?;
    same_everywhere(&all(&cluster))
}
