//! A majority is lost for good, and the member that is left becomes a cluster of its own.

use crate::membership::{ctl_at, members_at, voters_at};
use crate::{CLIENTS, addresses};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tests::client::{Client, Dial};
use tests::cluster::{Cluster, Flavor, Member, Ports, copy_folder, eventually, get, post_json};
use tests::crash::{Point, Strike, can_trace, strace};
use tests::workload::{Plan, Workload};

const FLAG: &str = "--force-new-cluster";
/// The exit code of a member that waits for a restart, to become another one.
const EXIT_RECOVERING: i32 = 75;
/// An exchange with a member, on a machine that runs other tests too.
const WITHIN: Duration = Duration::from_secs(20);
/// A member that has come back is asked for by clients that wait between their tries.
const WRITES_AGAIN_WITHIN: Duration = Duration::from_secs(30);

/// What a member says of its store, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    cluster: u64,
    revision: i64,
    hash: u32,
}

fn ask<T>(work: impl AsyncFn() -> Result<T>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
}

/// Of itself, without a quorum; the hash is that at revision `at`, or at the newest for 0.
fn shown(member: &Member, at: i64) -> Result<Shown> {
    ask(async || {
        let mut client = Client::lazy(&member.client)?;
        let header = client.everything(0, true).await?.header.context("a header")?;
        let hash = client.hash_kv(at).await?;
        Ok(Shown { cluster: header.cluster_id, revision: header.revision, hash })
    })
}

fn put(member: &Member, key: &str, value: &str) -> Result<i64> {
    ask(async || Ok(Client::lazy(&member.client)?.put(key, value).await?))
}

fn value(member: &Member, key: &str) -> Result<Option<String>> {
    ask(async || Ok(Client::lazy(&member.client)?.get(key, true).await?.1.map(|(value, _)| value)))
}

/// Ends these members, and takes their data away. Says where to.
fn lose(cluster: &mut Cluster, lost: &[usize]) -> Result<Vec<PathBuf>> {
    for n in lost {
        cluster.members[*n].kill()?;
    }
    lost.iter().map(|n| set_aside(&cluster.members[*n])).collect()
}

fn set_aside(member: &Member) -> Result<PathBuf> {
    let aside = member.data().with_file_name("former");
    fs::rename(member.data(), &aside)?;
    Ok(aside)
}

fn others(survivor: usize) -> [usize; 2] {
    [(survivor + 1) % 3, (survivor + 2) % 3]
}

fn with_flag(member: &mut Member) -> Result<()> {
    member.with_flag(FLAG);
    member.spawn()?;
    member.wait_ready()
}

/// Adds an empty member that does not vote, in the place of one of the first three, as the member at `endpoint` has it.
fn add_learner(cluster: &mut Cluster, n: usize, endpoint: &str) -> Result<()> {
    let member = &mut cluster.members[n];
    let url = format!("--peer-urls=http://{}", member.peer);
    ctl_at(endpoint, &["member", "add", &member.name, "--learner", &url])?;
    member.spawn()?;
    member.wait_ready()
}

/// Adds one that votes as soon as it has caught up: a cluster of one cannot wait for a vote that nobody can give yet.
fn add(cluster: &mut Cluster, n: usize, endpoint: &str) -> Result<()> {
    let before = voters_at(endpoint)?;
    add_learner(cluster, n, endpoint)?;
    let id = eventually("its name in the list", WITHIN, || {
        members_at(endpoint).ok()?.get(&cluster.members[n].name).copied()
    })?;
    let promoted = format!("{id:x}");
    eventually("another voter", WITHIN, || {
        // An answer that was lost may have been a yes: the members know.
        let done = ctl_at(endpoint, &["member", "promote", &promoted]).is_ok() || voters_at(endpoint).ok()? > before;
        done.then_some(())
    })
}

#[test]
fn the_last_of_three_members_goes_on_with_every_write_and_takes_two_new_ones() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    // Its hash is asked for at a revision of before, which nobody may compact.
    let dials = addresses(&cluster).iter().map(|address| Dial::plain(address)).collect();
    let load = Workload::start_at(dials, Plan { clients: CLIENTS, seed: 11, rest: Duration::ZERO, compacts: false });
    load.wait_acknowledged(1_000, WITHIN)?;
    // Whoever leads has every write that was acknowledged, and some that were not: what is left then is judged whole.
    let survivor = cluster.leader()?;
    lose(&mut cluster, &others(survivor))?;
    let before = shown(&cluster.members[survivor], 0)?;
    cluster.members[survivor].kill()?;
    load.wait_noticed(survivor)?;
    with_flag(&mut cluster.members[survivor])?;
    let after = shown(&cluster.members[survivor], before.revision)?;
    ensure!(after.cluster != before.cluster, "it is another cluster");
    ensure!(after.hash == before.hash && after.revision >= before.revision, "{before:?}, then {after:?}");
    load.wait_acknowledged(200, WRITES_AGAIN_WITHIN)?;

    // The flag is left where it was: it has been heeded.
    cluster.members[survivor].kill()?;
    load.wait_noticed(survivor)?;
    cluster.members[survivor].spawn()?;
    cluster.members[survivor].wait_ready()?;
    ensure!(shown(&cluster.members[survivor], 0)?.cluster == after.cluster, "once is enough");
    ensure!(cluster.members[survivor].log().contains("heeded already"), "it says so");

    let endpoint = cluster.members[survivor].client.clone();
    for n in others(survivor) {
        add(&mut cluster, n, &endpoint)?;
    }
    ensure!(voters_at(&endpoint)? == 3, "three members vote");
    load.wait_acknowledged(500, WRITES_AGAIN_WITHIN)?;
    // And none of them is needed more than another.
    cluster.members[survivor].kill()?;
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    cluster.members[survivor].spawn()?;
    cluster.members[survivor].wait_ready()?;
    load.stop_and_judge(&addresses(&cluster))?;
    Ok(())
}

#[test]
fn the_former_majority_comes_back_and_nothing_of_it_is_mixed_with_the_new_cluster() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    put(&cluster.members[0], "both", "1")?;
    let (survivor, lost) = (0, [1, 2]);
    let former = lose(&mut cluster, &lost)?;
    cluster.members[survivor].kill()?;
    with_flag(&mut cluster.members[survivor])?;
    put(&cluster.members[survivor], "new", "1")?;

    for (n, data) in lost.iter().zip(&former) {
        fs::rename(data, cluster.members[*n].data())?;
        cluster.members[*n].spawn()?;
    }
    for n in lost {
        cluster.members[n].wait_ready()?;
    }
    put(&cluster.members[1], "former", "1")?;
    // It knows whose they are: what is left of the cluster that it was made of is no reason not to start.
    cluster.members[survivor].kill()?;
    cluster.members[survivor].spawn()?;
    cluster.members[survivor].wait_ready()?;
    put(&cluster.members[survivor], "new", "2")?;
    eventually("former members that are turned away", WITHIN, || {
        lost.iter().all(|n| cluster.members[*n].log().contains("it belongs to another cluster")).then_some(())
    })?;
    for n in lost {
        let member = &cluster.members[n];
        ensure!(value(member, "both")?.as_deref() == Some("1") && value(member, "new")?.is_none());
    }
    let member = &cluster.members[survivor];
    ensure!(value(member, "new")?.as_deref() == Some("2") && value(member, "former")?.is_none());
    ensure!(shown(member, 0)?.cluster != shown(&cluster.members[1], 0)?.cluster);

    // One of them is replaced while the other one is still about: the newcomer is told of both clusters.
    cluster.members[1].kill()?;
    set_aside(&cluster.members[1])?;
    let endpoint = cluster.members[survivor].client.clone();
    add_learner(&mut cluster, 1, &endpoint)?;
    ensure!(value(&cluster.members[1], "new")?.as_deref() == Some("2"));
    Ok(())
}

#[test]
fn a_directory_that_holds_nothing_is_not_made_a_cluster_of() -> Result<()> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, &[FLAG])?;
    cluster.members[0].spawn()?;
    let status = cluster.members[0].wait_end(WITHIN)?;
    let log = cluster.members[0].log();
    ensure!(status.code() == Some(73), "ended with {status}:\n{log}");
    ensure!(log.contains("the data directory is empty"), "it says why:\n{log}");
    Ok(())
}

#[test]
fn a_member_that_is_killed_while_it_becomes_a_cluster_becomes_one_at_the_next_start() -> Result<()> {
    if !can_trace() {
        eprintln!("skipped: strace is missing, or may not trace here");
        return Ok(());
    }
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    for n in 0..50 {
        put(&cluster.members[0], &format!("key-{n}"), &"value".repeat(40))?;
    }
    lose(&mut cluster, &[1, 2])?;
    let before = shown(&cluster.members[0], 0)?;
    cluster.members[0].kill()?;
    let former = set_aside(&cluster.members[0])?;
    cluster.members[0].with_flag(FLAG);
    let points = [("rename", &[1, 2][..]), ("fdatasync", &[2, 7, 10, 16, 20]), ("fsync", &[5, 6, 9]), ("unlink", &[1])];
    let (mut struck, data) = (0, cluster.members[0].data());
    for (call, nth) in points.into_iter().flat_map(|(call, all)| all.iter().map(move |nth| (call, *nth))) {
        copy_folder(&former, &data)?;
        let member = &mut cluster.members[0];
        let trace = data.with_file_name("trace");
        member.under(strace(Point { call, nth, strike: Strike::Kill }, &trace.display().to_string()));
        member.spawn()?;
        eventually("an end, or a member that is ready", WITHIN * 3, || {
            (member.ended().ok()?.is_some() || member.is_ready()).then_some(())
        })?;
        struck += u32::from(member.ended()?.is_some());
        member.kill()?;
        member.under(Vec::new());
        member.spawn()?;
        member.wait_ready()?;
        let after = shown(member, before.revision)?;
        ensure!(after.cluster != before.cluster && after.hash == before.hash, "{call} {nth}: {before:?}, {after:?}");
        put(member, "it", "goes on")?;
        member.kill()?;
        fs::remove_dir_all(&data)?;
    }
    ensure!(struck >= 8, "{struck} points were reached");
    Ok(())
}

/// A request to the member behind this admin port, as a person or the operator makes it.
fn request(admin: &str, word: &str) -> Result<Value> {
    let status: Value = serde_json::from_str(&get(admin, "/v1/status")?)?;
    let body = json!({
        "request": word,
        "expectedClusterId": status["identity"]["clusterId"],
        "expectedMemberId": status["identity"]["memberId"],
        "acceptDataLoss": true,
    });
    Ok(serde_json::from_str(&post_json(admin, "/v1/recover-quorum", &body.to_string())?)?)
}

#[test]
fn a_member_that_is_asked_through_its_admin_port_ends_and_comes_back_as_a_cluster() -> Result<()> {
    let ports = Ports::take()?;
    let admin = format!("127.0.0.1:{}", ports.port(0));
    let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
    cluster.members[0].with_flag(format!("--listen-admin-urls=http://{admin}"));
    cluster.start_all()?;
    put(&cluster.members[0], "kept", "1")?;
    let refused = request(&admin, "monday").expect_err("somebody leads").to_string();
    ensure!(refused.contains("412") && refused.contains("leads"), "{refused}");

    lose(&mut cluster, &[1, 2])?;
    let before = shown(&cluster.members[0], 0)?;
    // It may take a moment until it knows that nobody leads.
    let taken = eventually("a request that is taken", WITHIN, || request(&admin, "monday").ok())?;
    ensure!(taken == json!({ "request": "monday", "done": false }), "{taken}");
    let status = cluster.members[0].wait_end(WITHIN)?;
    ensure!(status.code() == Some(EXIT_RECOVERING), "ended with {status}:\n{}", cluster.members[0].log());
    cluster.members[0].spawn()?;
    cluster.members[0].wait_ready()?;
    let after = shown(&cluster.members[0], before.revision)?;
    ensure!(after.cluster != before.cluster && after.hash == before.hash, "{before:?}, then {after:?}");
    ensure!(value(&cluster.members[0], "kept")?.as_deref() == Some("1"));

    let status: Value = serde_json::from_str(&get(&admin, "/v1/status")?)?;
    let (word, former) = (&status["recovered"]["request"], &status["recovered"]["formerClusterId"]);
    ensure!(word == "monday" && *former == format!("{:x}", before.cluster), "{status}");
    let page = get(&cluster.members[0].metrics, "/metrics")?;
    let metric = format!("quorate_quorum_recovered_index{{former_cluster=\"{:x}\"", before.cluster);
    ensure!(page.lines().any(|line| line.starts_with(&metric)), "no {metric} in\n{page}");
    ensure!(request(&admin, "monday")? == json!({ "request": "monday", "done": true }), "once is enough");
    Ok(())
}
