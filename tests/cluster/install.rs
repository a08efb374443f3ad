//! The log is cut, and members that it does not reach any more come back through a snapshot.

use crate::{CLIENTS, addresses};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tests::client::Client;
use tests::cluster::{Cluster, Flavor, Member, eventually, get};
use tests::workload::Workload;

/// A log that is cut as soon as the store has flushed, every two seconds, and keeps next to nothing for those who are
/// away.
pub(crate) const SHORT_LOG: [&str; 5] = [
    "--log-segment-bytes=65536",
    "--snapshot-count=1",
    "--snapshot-catchup-entries=50",
    "--log-anchor-bytes=4194304",
    "--log-anchor-time=1s",
];
/// As that, with segments that hold some of the large values.
pub(crate) const LARGE_SEGMENTS: &str = "--log-segment-bytes=1048576";
/// A snapshot of [`LOAD_BYTES`] then takes several seconds.
const SLOW: &str = "--snapshot-send-rate=6291456";

/// Two flushes and what a busy machine makes of them.
const CUT_WITHIN: Duration = Duration::from_secs(20);
/// An install, with what it waits for on a busy machine.
pub(crate) const INSTALL_WITHIN: Duration = Duration::from_secs(60);

const VALUE_BYTES: usize = 64 << 10;
pub(crate) const VALUES: u64 = 640;
/// What [`fill`] writes: chunks in flight are a small part of it.
pub(crate) const LOAD_BYTES: u64 = VALUES * VALUE_BYTES as u64;

/// One number of a member's page.
pub(crate) fn number(member: &Member, metric: &str) -> Result<u64> {
    let page = get(&member.metrics, "/metrics")?;
    let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("{metric} of {}", member.name))?.parse::<f64>()? as u64)
}

/// Text that does not shrink when it is packed; another one for each number.
fn noise(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 57) as u8 % 90)
    };
    (0..bytes).map(|_| letter()).collect()
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Writes large values, each once, a few at a time.
pub(crate) fn fill(member: &Member) -> Result<()> {
    use futures::stream::{self, TryStreamExt};
    block_on(async {
        let client = Client::lazy(&member.client)?;
        let numbers = stream::iter((0..VALUES).map(anyhow::Ok));
        let write = |number: u64| {
            let mut client = client.clone();
            async move { put(&mut client, &format!("large{number}"), &noise(number, VALUE_BYTES)).await }
        };
        numbers.try_for_each_concurrent(4, write).await
    })
}

/// A busy disk may make a request wait too long; the value is the same each time.
async fn put(client: &mut Client, key: &str, value: &str) -> Result<()> {
    for _ in 0..10 {
        if client.put(key, value).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("{key} could not be written")
}

/// Waits until all show the same history.
pub(crate) fn same_everywhere(members: &[&Member]) -> Result<()> {
    let hash = |member: &Member| {
        let address = member.client.clone();
        async move { Ok(Client::lazy(&address)?.hash_kv(0).await?) }
    };
    eventually("equal hash of the history on every member", Duration::from_secs(30), || {
        let hashes = block_on(futures::future::try_join_all(members.iter().map(|member| hash(member))));
        hashes.ok()?.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    })
}

/// Reads one of the large values, as the cluster has it.
fn read(member: &Member, number: u64) -> Result<Option<String>> {
    eventually("answer to a read", Duration::from_secs(30), || {
        let found =
            block_on(async { Ok(Client::lazy(&member.client)?.get(&format!("large{number}"), false).await?.1) });
        Some(found.ok()?.map(|(value, _)| value))
    })
}

/// Waits until the leader's log begins after this entry.
pub(crate) fn cut_past(leader: &Member, index: u64) -> Result<()> {
    eventually(&format!("log of {} that begins after {index}", leader.name), CUT_WITHIN, || {
        (number(leader, "quorate_first_index").ok()? > index).then_some(())
    })
}

pub(crate) fn installed(member: &Member) -> Result<()> {
    eventually(&format!("snapshot installed by {}", member.name), INSTALL_WITHIN, || {
        (number(member, "quorate_snapshot_installed_total").ok()? > 0).then_some(())
    })
}

/// Bytes of snapshots that have arrived: from object storage, from members that do not lead, from the leader.
pub(crate) fn served(member: &Member) -> Result<[u64; 3]> {
    let from = |source| number(member, &format!("quorate_snapshot_fetched_bytes_total{{source=\"{source}\"}}"));
    Ok([from("objects")?, from("member")?, from("leader")?])
}

/// Bytes of the segments of its log.
fn log_bytes(member: &Member) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(member.data().join("wal"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(".wal") {
            // A segment may be handed on while it is looked at.
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

#[test]
fn the_log_stays_within_its_bounds_and_a_restart_finds_everything() -> Result<()> {
    let flags = [&SHORT_LOG[..], &[LARGE_SEGMENTS]].concat();
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &flags)?;
    fill(&cluster.members[0])?;
    for member in &cluster.members {
        eventually(&format!("log of {} below a fifth of what was written", member.name), CUT_WITHIN, || {
            (log_bytes(member).ok()? < LOAD_BYTES / 5).then_some(())
        })?;
        ensure!(number(member, "quorate_log_cuts_total")? > 0, "{} cut its log", member.name);
        ensure!(number(member, "quorate_log_bytes")? < LOAD_BYTES / 5, "{} says so", member.name);
    }
    cluster.members.iter_mut().try_for_each(Member::kill)?;
    cluster.members.iter_mut().try_for_each(Member::spawn)?;
    cluster.members.iter_mut().try_for_each(Member::wait_ready)?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())?;
    assert_eq!(read(&cluster.members[1], 7)?, Some(noise(7, VALUE_BYTES)));
    Ok(())
}

#[test]
fn a_follower_that_the_log_does_not_reach_comes_back_under_load() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &SHORT_LOG)?;
    let leader = cluster.leader()?;
    let away = (leader + 1) % 3;
    let load = Workload::start(&addresses(&cluster), CLIENTS, 1);
    load.wait_acknowledged(100, Duration::from_secs(20))?;
    let last = number(&cluster.members[away], "quorate_last_index")?;
    cluster.members[away].kill()?;
    load.wait_acknowledged(1_000, Duration::from_secs(60))?;
    cut_past(&cluster.members[cluster.leader()?], last + 200)?;
    cluster.members[away].spawn()?;
    cluster.members[away].wait_ready()?;
    installed(&cluster.members[away])?;
    load.wait_acknowledged(100, Duration::from_secs(20))?;
    load.stop_and_judge(&addresses(&cluster))?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())
}

/// A cluster with one member away that needs a snapshot of [`LOAD_BYTES`], which takes some seconds; the leader, and
/// who is away.
fn one_far_behind() -> Result<(Cluster, usize, usize)> {
    let flags = [&SHORT_LOG[..], &[LARGE_SEGMENTS, SLOW]].concat();
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &flags)?;
    let leader = cluster.leader()?;
    let away = (leader + 1) % 3;
    cluster.members[away].kill()?;
    fill(&cluster.members[leader])?;
    let leader = cluster.leader()?;
    cut_past(&cluster.members[leader], VALUES / 2)?;
    Ok((cluster, leader, away))
}

/// Waits until so many bytes of the snapshot are there, and returns how many it has.
pub(crate) fn fetched(member: &Member, part: u64) -> Result<u64> {
    eventually(&format!("{part} bytes of the snapshot at {}", member.name), INSTALL_WITHIN, || {
        let total = number(member, "quorate_snapshot_total_bytes").ok()?;
        (number(member, "quorate_snapshot_have_bytes").ok()? >= part && total > 0).then_some(total)
    })
}

#[test]
fn an_install_that_is_killed_again_and_again_goes_on_where_it_was() -> Result<()> {
    let (mut cluster, leader, away) = one_far_behind()?;
    let mut total = 0;
    for part in [1, LOAD_BYTES / 3, LOAD_BYTES * 2 / 3] {
        cluster.members[away].spawn()?;
        total = fetched(&cluster.members[away], part)?;
        cluster.members[away].kill()?;
    }
    cluster.members[away].spawn()?;
    // The leader shows how far the other has come.
    eventually("follower's progress at the leader", INSTALL_WITHIN, || {
        let page = get(&cluster.members[leader].metrics, "/metrics").ok()?;
        page.lines().any(|line| line.starts_with("quorate_follower_snapshot_have_bytes{")).then_some(())
    })?;
    eventually("switch to the snapshot", INSTALL_WITHIN, || {
        cluster.members[away].log().contains("switching to a snapshot").then_some(())
    })?;
    cluster.members[away].kill()?;
    cluster.members[away].spawn()?;
    cluster.members[away].wait_ready()?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())?;
    let others = cluster.members.iter().filter(|member| member.name != cluster.members[away].name);
    let sent: u64 = others.map(|member| number(member, "quorate_snapshot_sent_bytes_total")).sum::<Result<u64>>()?;
    ensure!(total > LOAD_BYTES / 2, "a snapshot of {total} bytes");
    ensure!(sent * 2 <= total * 3, "{sent} bytes were sent for a snapshot of {total}");
    Ok(())
}

#[test]
fn an_install_whose_source_is_killed_goes_on_from_another() -> Result<()> {
    let (mut cluster, leader, away) = one_far_behind()?;
    cluster.members[away].spawn()?;
    let total = fetched(&cluster.members[away], LOAD_BYTES / 2)?;
    // A follower is asked before the leader.
    let source = 3 - leader - away;
    ensure!(number(&cluster.members[source], "quorate_snapshot_sent_bytes_total")? > 0, "it is the source");
    cluster.members[source].kill()?;
    installed(&cluster.members[away])?;
    let fetched: u64 = served(&cluster.members[away])?.into_iter().sum();
    ensure!(fetched * 2 <= total * 3, "{fetched} bytes arrived for a snapshot of {total}");
    ensure!(number(&cluster.members[away], "quorate_snapshot_resumed_total")? > 0, "it went on");
    cluster.members[source].spawn()?;
    cluster.members[source].wait_ready()?;
    cluster.members[away].wait_ready()?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())
}

#[test]
fn a_leader_killed_in_mid_transfer_costs_nothing_that_was_acknowledged() -> Result<()> {
    let (mut cluster, leader, away) = one_far_behind()?;
    cluster.members[away].spawn()?;
    fetched(&cluster.members[away], LOAD_BYTES / 3)?;
    cluster.members[leader].kill()?;
    cluster.members[leader].spawn()?;
    installed(&cluster.members[away])?;
    cluster.members.iter_mut().try_for_each(Member::wait_ready)?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())?;
    let last = VALUES - 1;
    assert_eq!(read(&cluster.members[away], last)?, Some(noise(last, VALUE_BYTES)));
    Ok(())
}

#[test]
fn a_member_that_joins_after_the_log_was_cut_is_given_a_snapshot() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &SHORT_LOG)?;
    let load = Workload::start(&addresses(&cluster), CLIENTS, 5);
    load.wait_acknowledged(1_000, Duration::from_secs(60))?;
    cut_past(&cluster.members[cluster.leader()?], 200)?;
    let joining = cluster.joining("m4", &SHORT_LOG)?;
    let url = format!("--peer-urls=http://{}", cluster.members[joining].peer);
    let added = cluster.etcdctl(&["member", "add", "m4", "--learner", &url])?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    cluster.members[joining].spawn()?;
    installed(&cluster.members[joining])?;
    cluster.members[joining].wait_ready()?;
    load.wait_acknowledged(100, Duration::from_secs(20))?;
    drop(load.stop()?);
    promoted(&cluster, "m4")?;
    same_everywhere(&cluster.members.iter().collect::<Vec<_>>())
}

/// A learner does not answer for its history; it is promoted, as the fourth voter, only when it has caught up.
pub(crate) fn promoted(cluster: &Cluster, name: &str) -> Result<()> {
    // A learner that is asked for the list refuses.
    let id = eventually(&format!("{name} in the list of members"), Duration::from_secs(20), || {
        crate::membership::members(cluster).ok()?.get(name).copied()
    })?;
    eventually(&format!("promotion of {name}"), Duration::from_secs(20), || {
        let promoted = cluster.etcdctl(&["member", "promote", &format!("{id:x}")]).ok()?.status.success();
        // An answer that came too late for etcdctl may have been a yes.
        (promoted || crate::membership::voters(cluster).ok()? == 4).then_some(())
    })
}
