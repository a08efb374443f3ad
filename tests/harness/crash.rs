//! A member that is ended, or refused, at a chosen system call, again and again: what it has acknowledged must be there
//! after every one of them. It is alone here, and one of three in `three`.
//!
//! * strace counts the calls and strikes at the N-th, in whatever the member does by then: first boot, recovery, writes,
//!   flushes, sweeps, compaction, new segments and old ones cut off, changes of the membership. How many there are is
//!   counted before, in two cycles that nothing strikes.
//! * A disk that fails under the log or the store ends the member in time; one that has no room for a moment does not.
//! * A cycle starts the member under strace, lets one client work until the member is gone or has done a fixed amount,
//!   and ends it. The next cycle starts from what that left.
//! * Every cycle that gets ready is judged: what is there is what was acknowledged, and the one write whose outcome nobody
//!   knew, or not that one. What a start has shown is what every later one has to show.

mod known;
mod place;
mod point;
mod three;

pub use place::Place;
pub use point::{Point, Strike, can_trace, strace};
pub use three::{Way, campaign_of_three};

use crate::client::Client;
use crate::cluster::{Cluster, Flavor, Member, get};
use crate::sim::rng::Rng;
use anyhow::{Context, Result, bail, ensure};
use known::{Known, Lost, State, Write};
use place::Duty;
use point::{Counts, count, counting, draw};
use quorate::etcd::proto::etcdserverpb as pb;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// Small segments, cut often: a short life fills several of them.
pub(crate) const SHORT_LOG: [&str; 3] =
    ["--log-segment-bytes=65536", "--snapshot-count=20", "--snapshot-catchup-entries=40"];
/// Requests of one cycle.
const REQUESTS: u64 = 30;
/// How often a value says which one it is: a few cycles fill a segment.
const VALUE_WORDS: usize = 200;
/// One cycle in so many goes on until the store has been flushed by itself and the log cut behind it.
const LINGERS_EVERY: u64 = 3;
/// How long it waits for that. The store is flushed every two seconds.
const LINGER: Duration = Duration::from_secs(4);
/// Few enough that most writes meet a value, and most deletions too.
const KEYS: u64 = 17;
/// A member that failed ends within this.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a start may take under strace, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a member that is ready may keep a read waiting: it elects itself first.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Cycles on one data directory before the next one begins from nothing.
const CYCLES_PER_DIRECTORY: u64 = 6;
/// The calls of the first cycle in a directory, which makes the files, and of a later one.
struct Calls {
    first: Counts,
    later: Counts,
}

/// What cycles amounted to.
#[derive(Debug, Default)]
pub struct Report {
    /// Cycles.
    pub cycles: u64,
    /// Of them, struck before the member was ready; while it worked; not at all, as there were fewer such calls.
    pub struck: [u64; 3],
    /// Of them, ended by the member itself.
    pub gave_up: u64,
    /// Points that were struck.
    pub points: BTreeSet<(&'static str, u64, Strike)>,
    /// What was struck, and how often.
    pub places: BTreeMap<(Place, Strike), u64>,
    /// How a member of three came back, and how often.
    pub ways: BTreeMap<Way, u64>,
    /// Times that what is there was judged.
    pub judged: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [boot, work, never] = self.struck;
        writeln!(f, "{} cycles: {boot} struck before ready, {work} at work, {never} not at all", self.cycles)?;
        writeln!(f, "{} different points, {} ended by the member itself", self.points.len(), self.gave_up)?;
        for ((place, strike), count) in &self.places {
            writeln!(f, "  {place}: {strike:?} {count}")?;
        }
        for (way, count) in &self.ways {
            writeln!(f, "  {way}: {count}")?;
        }
        write!(f, "{} writes acknowledged, judged {} times, lost: 0", self.acknowledged, self.judged)
    }
}

/// Counts the calls of the first cycle on a data directory, and of the first one that cuts its log.
fn count_calls() -> Result<Calls> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, &SHORT_LOG)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let member = &mut cluster.members[0];
    let trace = member.data().with_file_name("trace");
    let mut known = Known::nothing();
    let mut cycle = || -> Result<(Counts, bool)> {
        member.under(counting(&trace.display().to_string()));
        member.spawn()?;
        member.wait_ready()?;
        runtime.block_on(judge(&member.client, &mut known))?;
        runtime.block_on(work(&member.client, &mut known))?;
        let has_cut = linger(member)?;
        member.kill()?;
        let counts = count(&fs::read_to_string(&trace)?);
        ensure!(counts.contains_key("fdatasync"), "strace saw no fdatasync: {counts:?}");
        Ok((counts, has_cut))
    };
    let (first, _) = cycle()?;
    for _ in 1..CYCLES_PER_DIRECTORY {
        if let (later, true) = cycle()? {
            return Ok(Calls { first, later });
        }
    }
    bail!("no cycle has cut the log: nothing strikes there")
}

/// Runs so many cycles, drawn from `seed`, for so long at most.
///
/// # Errors
/// What was lost or made up; a member that does not start again; anything the machine refuses.
pub fn campaign(seed: u64, cycles: u64, time: Duration) -> Result<Report> {
    let mut rng = Rng::new(seed);
    let (mut report, began) = (Report::default(), Instant::now());
    let calls = count_calls().context("count the calls")?;
    while report.cycles < cycles && began.elapsed() < time {
        let count = CYCLES_PER_DIRECTORY.min(cycles - report.cycles);
        let counts = |cycle| if cycle == 0 { &calls.first } else { &calls.later };
        let points: Vec<Point> = (0..count).filter_map(|cycle| draw(&mut rng, counts(cycle))).collect();
        directory(&points, &mut report).with_context(|| format!("seed {seed}, points {points:?}"))?;
    }
    Ok(report)
}

/// Runs these cycles on one data directory, one after the other, and a last start without any fault.
fn directory(points: &[Point], report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, &SHORT_LOG)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut known = Known::nothing();
    for point in points {
        let member = &mut cluster.members[0];
        cycle(member, *point, &runtime, &mut known, report).with_context(|| format!("at {point:?}"))?;
    }
    let member = &mut cluster.members[0];
    member.under(Vec::new());
    member.spawn()?;
    member.wait_ready()?;
    runtime.block_on(judge(&member.client, &mut known))?;
    report.judged += 1;
    report.acknowledged += known.acknowledged;
    member.terminate()?;
    Ok(())
}

fn cycle(
    member: &mut Member,
    point: Point,
    runtime: &tokio::runtime::Runtime,
    known: &mut Known,
    report: &mut Report,
) -> Result<()> {
    let ready = start_struck(member, point, report)?;
    if ready {
        // It may be gone at any moment of this, which is no error; what it says while it is there counts.
        match runtime.block_on(judge(&member.client, known)) {
            Ok(()) => {
                report.judged += 1;
                runtime.block_on(work(&member.client, known))?;
                if report.cycles.is_multiple_of(LINGERS_EVERY) {
                    linger(member)?;
                }
            }
            Err(error) => unless_gone(member, error)?,
        }
    }
    settle(member, point, ready, report)
}

/// Starts a member that is to be struck. Says whether it gets ready.
fn start_struck(member: &mut Member, point: Point, report: &mut Report) -> Result<bool> {
    let trace = member.data().with_file_name("trace");
    let mut wrapper = strace(point, &trace.display().to_string());
    wrapper.insert(1, "--seccomp-bpf".to_owned());
    member.under(wrapper);
    member.spawn()?;
    report.cycles += 1;
    wait_ready_or_gone(member)
}

/// Takes down whether a member was struck and what became of it, which must be what it owes, and ends it.
fn settle(member: &mut Member, point: Point, ready: bool, report: &mut Report) -> Result<()> {
    let trace = member.data().with_file_name("trace");
    let traced = fs::read_to_string(&trace).unwrap_or_default();
    let struck = traced.contains("(INJECTED)") || is_gone(member, ENDS_WITHIN / 50)?;
    report.struck[if !struck { 2 } else { usize::from(ready) }] += 1;
    let places = if struck { place::struck(&traced, point) } else { Vec::new() };
    if struck {
        report.points.insert((point.call, point.nth, point.strike));
        places.iter().for_each(|place| *report.places.entry((*place, point.strike)).or_default() += 1);
    }
    let duty = if struck { place::duty(point, &places) } else { Duty::Free };
    // What has been struck while it started may have found nothing to go on with.
    let patience = if !struck || (ready && duty == Duty::GoOn) { Duration::ZERO } else { ENDS_WITHIN };
    if is_gone(member, patience)? {
        let status = member.wait_end(Duration::from_secs(1))?;
        report.gave_up += u64::from(point.strike != Strike::Kill && !status.success());
        // A place that the disk refuses to be made is no reason to end well.
        ensure!(!status.success(), "the member ended as if all were well, after {point:?}");
        ensure!(
            !ready || duty != Duty::GoOn,
            "{places:?} had no room for a moment, and the member ended with {status}"
        );
    } else {
        ensure!(duty != Duty::End, "{places:?} failed, and the member goes on after {ENDS_WITHIN:?}");
        member.kill()?;
    }
    Ok(())
}

/// Leaves a member in peace until it has cut its log, which it does when it has flushed its store; or until it is gone.
/// Says whether it has.
fn linger(member: &mut Member) -> Result<bool> {
    let deadline = Instant::now() + LINGER;
    while Instant::now() < deadline && member.ended()?.is_none() {
        if figure(member, "quorate_log_cuts_total") > Some(0) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// What a member says of itself, in whole numbers.
fn figure(member: &Member, name: &str) -> Option<u64> {
    let page = get(&member.metrics, "/metrics").ok()?;
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until the member is ready, or gone.
pub(crate) fn wait_ready_or_gone(member: &mut Member) -> Result<bool> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if member.ended()?.is_some() {
            return Ok(false);
        }
        if member.is_ready() {
            return Ok(true);
        }
        ensure!(Instant::now() < deadline, "neither ready nor gone after {READY_WITHIN:?}:\n{}", member.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_gone(member: &mut Member, within: Duration) -> Result<bool> {
    let deadline = Instant::now() + within;
    loop {
        if member.ended()?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn unless_gone(member: &mut Member, error: anyhow::Error) -> Result<()> {
    let lost = error.downcast_ref::<Lost>().is_some();
    if !lost && is_gone(member, ENDS_WITHIN)? { Ok(()) } else { Err(error) }
}

/// Reads everything, and holds it against what is known.
async fn judge(address: &str, known: &mut Known) -> Result<()> {
    let mut client = Client::lazy(address)?;
    let deadline = Instant::now() + READ_WITHIN;
    let everything = loop {
        match client.everything(0, false).await {
            Ok(everything) => break everything,
            Err(status) if Instant::now() > deadline => bail!("cannot be read: {status}"),
            // It may be electing itself, or gone.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let held = everything.kvs.iter().map(|kv| (text(&kv.key), (text(&kv.value), kv.mod_revision))).collect();
    let revision = everything.header.context("an answer has a header")?.revision;
    Ok(known.read(State { held, revision })?)
}

/// A client's work: writes and deletions, now and then a compaction or a learner that comes and goes. Ends when the member
/// does.
async fn work(address: &str, known: &mut Known) -> Result<()> {
    let mut client = Client::lazy(address)?;
    for request in 0..REQUESTS {
        match request % 10 {
            // What these come to does not matter: a revision may be compacted already, the member may be gone.
            7 => drop(client.compact(known.revision(), true).await),
            8 => drop(learner(&mut client).await),
            kind => {
                let write = next_write(kind == 3 || kind == 6, known);
                let Ok(revision) = ask(&mut client, &write).await else {
                    known.doubt(write);
                    return Ok(());
                };
                known.acknowledge(&write, revision)?;
            }
        }
    }
    Ok(())
}

/// The next key in turn, and a value that no other write has.
fn next_write(deletes: bool, known: &Known) -> Write {
    let nth = known.asked;
    let value = (!deletes).then(|| format!("value-{nth} ").repeat(VALUE_WORDS));
    Write { key: format!("key-{}", nth % KEYS), value }
}

/// The revision after it.
async fn ask(client: &mut Client, write: &Write) -> Result<i64, tonic::Status> {
    match &write.value {
        Some(value) => client.put(&write.key, value).await,
        None => client.delete(&write.key).await.map(|(revision, _)| revision),
    }
}

pub(crate) async fn learner(client: &mut Client) -> Result<(), tonic::Status> {
    let add = pb::MemberAddRequest { peer_ur_ls: vec!["http://127.0.0.1:9".into()], is_learner: true };
    let added = client.cluster.member_add(add).await?.into_inner();
    let id = added.member.map_or(0, |member| member.id);
    client.cluster.member_remove(pb::MemberRemoveRequest { id }).await.map(|_| ())
}
