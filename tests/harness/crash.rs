//! One member that is ended, or refused, at a chosen system call, again and again: what it has acknowledged must be
//! there after every one of them.
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

pub use place::Place;

use crate::client::Client;
use crate::cluster::{Cluster, Flavor, Member, get};
use crate::sim::rng::Rng;
use anyhow::{Context, Result, bail, ensure};
use known::{Known, Lost, State, Write};
use place::Duty;
use quorate::etcd::proto::etcdserverpb as pb;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};
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
/// The system calls whose order decides what a crash leaves. The two that every write makes stand here more often.
const CALLS: [&str; 10] = [
    "fdatasync",
    "fdatasync",
    "fdatasync",
    "pwrite64",
    "pwrite64",
    "pwrite64",
    "pwritev",
    "fsync",
    "rename",
    "ftruncate",
];

/// How many of each call each thread makes that makes any, in a cycle that is not struck: strace counts for each thread.
type Counts = BTreeMap<&'static str, Vec<u64>>;

/// The calls of the first cycle in a directory, which makes the files, and of a later one.
struct Calls {
    first: Counts,
    later: Counts,
}

/// What happens at the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// The process is killed before the call.
    Kill,
    /// The call fails: the device is broken.
    Eio,
    /// The call fails: the device is full.
    Enospc,
}

/// When and how a cycle strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The system call.
    pub call: &'static str,
    /// Which one of them, from the start of the process on.
    pub nth: u64,
    /// What happens.
    pub strike: Strike,
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
    /// Times the member was judged.
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
        write!(f, "{} writes acknowledged, judged {} times, lost: 0", self.acknowledged, self.judged)
    }
}

/// Whether strace is there and may trace: some machines forbid it.
#[must_use]
pub fn can_trace() -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=SIGKILL:when=1", "true"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Draws a point of a cycle that makes so many calls, if it makes any.
fn draw(rng: &mut Rng, counts: &Counts) -> Option<Point> {
    let made: Vec<&'static str> = CALLS.into_iter().filter(|call| counts.contains_key(call)).collect();
    let call = *rng.pick(&made)?;
    let most = *rng.pick(&counts[call])?;
    let nth = rng.between(1, most);
    let strike = match rng.below(6) {
        0 => Strike::Eio,
        1 => Strike::Enospc,
        _ => Strike::Kill,
    };
    Some(Point { call, nth, strike })
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

/// How many of each call each thread made, by the lines of strace: a thread, the call, and what came of it.
fn count(trace: &str) -> Counts {
    let mut threads: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    place::calls(trace).for_each(|(thread, name, _)| *threads.entry((thread, name)).or_default() += 1);
    threads.into_iter().fold(Counts::new(), |mut counts, ((_, call), count)| {
        counts.entry(call).or_default().push(count);
        counts
    })
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
    let trace = member.data().with_file_name("trace");
    let mut wrapper = strace(point, &trace.display().to_string());
    wrapper.insert(1, "--seccomp-bpf".to_owned());
    member.under(wrapper);
    member.spawn()?;
    report.cycles += 1;
    let ready = wait_ready_or_gone(member)?;
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
    let has_cut = |member: &Member| {
        let page = get(&member.metrics, "/metrics").unwrap_or_default();
        page.lines().any(|line| line.strip_prefix("quorate_log_cuts_total ").is_some_and(|count| count != "0"))
    };
    while Instant::now() < deadline && member.ended()?.is_none() {
        if has_cut(member) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// What a member is started under to be struck there; what strace saw goes to `output`.
#[must_use]
pub fn strace(Point { call, nth, strike }: Point, output: &str) -> Vec<String> {
    let effect = match strike {
        Strike::Kill => "signal=SIGKILL",
        Strike::Eio => "error=EIO",
        Strike::Enospc => "error=ENOSPC",
    };
    let inject = format!("inject={call}:{effect}:when={nth}");
    let trace = format!("trace={call}");
    // As a grandchild: the member stays our child, and is what we kill.
    let words = ["strace", "-D", "-f", "-y", "-qq", "-o", output, "-e", &trace, "-e", &inject];
    words.map(str::to_owned).to_vec()
}

/// What a member is started under when its calls are only counted.
fn counting(output: &str) -> Vec<String> {
    let trace = format!("trace={}", CALLS.join(","));
    ["strace", "--seccomp-bpf", "-D", "-f", "-y", "-qq", "-o", output, "-e", &trace].map(str::to_owned).to_vec()
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
            7 => drop(compact(&mut client, known.revision(), true).await),
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

/// Compacts, and flushes and sweeps the store if that is asked for.
pub(crate) async fn compact(client: &mut Client, revision: i64, physical: bool) -> Result<(), tonic::Status> {
    client.kv.compact(pb::CompactionRequest { revision, physical }).await.map(|_| ())
}

pub(crate) async fn learner(client: &mut Client) -> Result<(), tonic::Status> {
    let add = pb::MemberAddRequest { peer_ur_ls: vec!["http://127.0.0.1:9".into()], is_learner: true };
    let added = client.cluster.member_add(add).await?.into_inner();
    let id = added.member.map_or(0, |member| member.id);
    client.cluster.member_remove(pb::MemberRemoveRequest { id }).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_drawn_over_every_call_and_every_strike() {
        let mut rng = Rng::new(1);
        let counts: Counts = CALLS.into_iter().map(|call| (call, vec![3, 1])).collect();
        let points: Vec<Point> = (0..500).filter_map(|_| draw(&mut rng, &counts)).collect();
        assert_eq!(points.len(), 500);
        for call in CALLS {
            for strike in [Strike::Kill, Strike::Eio, Strike::Enospc] {
                assert!(points.iter().any(|point| (point.call, point.strike) == (call, strike)), "{call} {strike:?}");
            }
        }
        assert!(points.iter().all(|point| (1..=3).contains(&point.nth)));
        let renames = Counts::from([("rename", vec![1])]);
        assert!((0..50).filter_map(|_| draw(&mut rng, &renames)).all(|point| (point.call, point.nth) == ("rename", 1)));
    }

    #[test]
    fn calls_are_counted_by_thread() {
        let trace = "7 fdatasync(5) = 0\n8 fdatasync(6 <unfinished ...>\n7 rename(\"a\", \"b\") = 0\n\
                     8 <... fdatasync resumed>) = 0\n8 fdatasync(6) = 0\n9  fdatasync(5) = 0\n9 +++ killed by SIGKILL +++\n";
        assert_eq!(count(trace), Counts::from([("fdatasync", vec![1, 2, 1]), ("rename", vec![1])]));
    }
}
