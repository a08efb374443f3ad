//! One of three members that is ended, or refused, at a chosen system call on its way back, while the others go on and
//! clients write, read and compact: it comes back all the same, and what clients saw is judged in the end.
//!
//! * It comes back by the log, by a snapshot, as the log begins behind it by then, or with an empty disk as another member.
//! * The members take turns: whoever leads is one of them as often as not.
//! * After a strike it is started once more without one. That is all it needs.

use super::point::{Counts, Point, count, counting, draw};
use super::{CYCLES_PER_DIRECTORY, READY_WITHIN, Report, SHORT_LOG, figure, settle, start_struck, wait_ready_or_gone};
use crate::client::Client;
use crate::cluster::{Cluster, Flavor, eventually};
use crate::sim::rng::Rng;
use crate::workload::Workload;
use anyhow::{Context, Result, ensure};
use quorate::etcd::proto::etcdserverpb as pb;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// The log is not kept for one that is away.
const NOT_KEPT: [&str; 2] = ["--log-anchor-bytes=4194304", "--log-anchor-time=1s"];
const MEMBERS: u16 = 3;
/// Few: the members have two cores among them, and one of them is traced.
const CLIENTS: usize = 4;
/// Writes that are acknowledged while one is away, and once it is back: enough for calls of every kind.
const WRITES: u64 = 150;
/// How long those may take: an election may come between, under strace.
const WRITES_WITHIN: Duration = Duration::from_secs(60);
/// The leader flushes its store every two seconds, and cuts its log then.
const CUT_WITHIN: Duration = Duration::from_secs(60);
/// A snapshot of so few keys is there in a moment, but it may be asked for again after a refusal.
const INSTALLED_WITHIN: Duration = Duration::from_secs(30);
/// A change of the membership, between others.
const CHANGED_WITHIN: Duration = Duration::from_secs(60);

/// How a member comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The log still has what it lacks.
    Log,
    /// It does not.
    Snapshot,
    /// It has lost its disk, and another member is added in its place.
    Anew,
}

const WAYS: [Way; 3] = [Way::Log, Way::Snapshot, Way::Anew];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "by the log",
            Self::Snapshot => "by a snapshot",
            Self::Anew => "anew",
        })
    }
}

/// Three members under load.
struct Scene {
    cluster: Cluster,
    load: Workload,
    runtime: tokio::runtime::Runtime,
}

/// Runs so many cycles, drawn from `seed`, for so long at most.
///
/// # Errors
/// What was lost or made up; a member that does not come back; anything the machine refuses.
pub fn campaign_of_three(seed: u64, cycles: u64, time: Duration) -> Result<Report> {
    let mut rng = Rng::new(seed);
    let (mut report, began) = (Report::default(), Instant::now());
    let calls = count_calls(seed).context("count the calls")?;
    while report.cycles < cycles && began.elapsed() < time {
        let count = CYCLES_PER_DIRECTORY.min(cycles - report.cycles);
        let mut drawn = |cycle: u64| {
            // Each way comes up in each cluster.
            let way = WAYS[usize::try_from(cycle).expect("a few") % WAYS.len()];
            let point = draw(&mut rng, &calls[&way])?;
            // It is back sooner than the one that was counted, now and then, and makes fewer calls.
            let nth = if rng.coin() { point.nth.div_ceil(2) } else { point.nth };
            Some((way, Point { nth, ..point }))
        };
        let points: Vec<(Way, Point)> = (0..count).filter_map(&mut drawn).collect();
        one_cluster(seed, &points, &mut report).with_context(|| format!("seed {seed}, points {points:?}"))?;
    }
    Ok(report)
}

/// How many calls a member makes on each way back, when nothing strikes.
fn count_calls(seed: u64) -> Result<BTreeMap<Way, Counts>> {
    let mut scene = Scene::start(seed)?;
    let mut calls = BTreeMap::new();
    for (at, way) in WAYS.into_iter().enumerate() {
        scene.leave(at, way)?;
        let member = &mut scene.cluster.members[at];
        let trace = member.data().with_file_name("trace");
        member.under(counting(&trace.display().to_string()));
        member.spawn()?;
        member.wait_ready()?;
        scene.work(at, way)?;
        scene.cluster.members[at].kill()?;
        let counts = count(&fs::read_to_string(&trace)?);
        ensure!(counts.contains_key("fdatasync"), "strace saw no fdatasync: {counts:?}");
        calls.insert(way, counts);
        scene.come_back(at, way)?;
    }
    scene.end()?;
    Ok(calls)
}

fn one_cluster(seed: u64, points: &[(Way, Point)], report: &mut Report) -> Result<()> {
    let mut scene = Scene::start(seed ^ report.cycles)?;
    for (n, (way, point)) in points.iter().enumerate() {
        // Another one comes back that way the next time.
        let at = (n + n / WAYS.len()) % usize::from(MEMBERS);
        let cycle = scene.cycle(at, *way, *point, report).and_then(|()| scene.come_back(at, *way));
        cycle.with_context(|| format!("m{} {way}, at {point:?}:\n{}", at + 1, scene.cluster.members[at].log()))?;
    }
    report.acknowledged += scene.end()?;
    report.judged += 1;
    Ok(())
}

impl Scene {
    fn start(seed: u64) -> Result<Self> {
        let cluster = Cluster::start(Flavor::Quorate, MEMBERS, &[&SHORT_LOG[..], &NOT_KEPT].concat())?;
        let load = Workload::start(&addresses(&cluster), CLIENTS, seed);
        load.wait_acknowledged(WRITES, WRITES_WITHIN)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { cluster, load, runtime })
    }

    /// Everybody shows the same, and what clients saw is what a store can have shown. How many writes were acknowledged.
    fn end(self) -> Result<u64> {
        self.load.wait_acknowledged(WRITES, WRITES_WITHIN)?;
        let report = self.load.stop_and_judge(&addresses(&self.cluster))?;
        Ok(u64::try_from(report.acknowledged)?)
    }

    fn cycle(&mut self, at: usize, way: Way, point: Point, report: &mut Report) -> Result<()> {
        self.leave(at, way)?;
        *report.ways.entry(way).or_default() += 1;
        let ready = start_struck(&mut self.cluster.members[at], point, report)?;
        if ready {
            self.work(at, way)?;
        }
        settle(&mut self.cluster.members[at], point, ready, report)
    }

    /// Ends a member, and lets the others go on until it has to come back this way.
    fn leave(&mut self, at: usize, way: Way) -> Result<()> {
        let member = &mut self.cluster.members[at];
        let last = figure(member, "quorate_last_index").context("a last entry")?;
        member.kill()?;
        self.load.wait_acknowledged(WRITES, WRITES_WITHIN)?;
        match way {
            Way::Log => Ok(()),
            Way::Snapshot => eventually("a log that begins behind it", CUT_WITHIN, || {
                let leader = self.cluster.leader().ok()?;
                (figure(&self.cluster.members[leader], "quorate_first_index")? > last + 1).then_some(())
            }),
            Way::Anew => {
                self.replace(at)?;
                Ok(fs::remove_dir_all(self.cluster.members[at].data())?)
            }
        }
    }

    /// What a member that is ready has to do, unless it ends meanwhile: get its snapshot, and write with the others.
    fn work(&mut self, at: usize, way: Way) -> Result<()> {
        let member = &mut self.cluster.members[at];
        if way == Way::Snapshot {
            let deadline = Instant::now() + INSTALLED_WITHIN;
            while member.ended()?.is_none() && figure(member, "quorate_snapshot_installed_total") < Some(1) {
                ensure!(Instant::now() < deadline, "no snapshot is installed");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.load.wait_acknowledged(WRITES, WRITES_WITHIN).map(drop)
    }

    /// Starts it as any member is started, and makes it one that votes.
    fn come_back(&mut self, at: usize, way: Way) -> Result<()> {
        self.load.wait_noticed(at)?;
        let member = &mut self.cluster.members[at];
        member.under(Vec::new());
        member.spawn()?;
        ensure!(wait_ready_or_gone(member)?, "it does not start any more, or not within {READY_WITHIN:?}");
        self.work(at, Way::Log)?;
        if way == Way::Anew { self.promote(at) } else { Ok(()) }
    }

    /// Has the others take another member in its place.
    fn replace(&self, at: usize) -> Result<()> {
        let name = &self.cluster.members[at].name;
        let url = format!("http://{}", self.cluster.members[at].peer);
        self.change(at, "another member in the list", &async |client, members| {
            let learner = members.iter().any(|member| member.is_learner);
            match members.iter().find(|member| member.name == *name) {
                Some(former) => drop(client.cluster.member_remove(pb::MemberRemoveRequest { id: former.id }).await),
                None if learner => return true,
                None => {
                    let add = pb::MemberAddRequest { peer_ur_ls: vec![url.clone()], is_learner: true };
                    drop(client.cluster.member_add(add).await);
                }
            }
            false
        })
    }

    fn promote(&self, at: usize) -> Result<()> {
        self.change(at, "a member that votes", &async |client, members| {
            let learner = members.iter().find(|member| member.is_learner);
            match learner.map(|learner| learner.id) {
                Some(id) => drop(client.cluster.member_promote(pb::MemberPromoteRequest { id }).await),
                None => return members.len() == usize::from(MEMBERS),
            }
            false
        })
    }

    /// Asks another member, again and again, to do what the list of members asks for, until it says that all is done: an answer
    /// that was lost may have been a yes.
    fn change(&self, at: usize, what: &str, step: &impl AsyncFn(&mut Client, &[pb::Member]) -> bool) -> Result<()> {
        let other = &self.cluster.members[(at + 1) % usize::from(MEMBERS)].client;
        let turn = async || {
            let mut client = Client::lazy(other).ok()?;
            let list = client.cluster.member_list(pb::MemberListRequest { linearizable: true }).await.ok()?;
            step(&mut client, &list.into_inner().members).await.then_some(())
        };
        eventually(what, CHANGED_WITHIN, || self.runtime.block_on(turn()))
    }
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    cluster.members.iter().map(|member| member.client.clone()).collect()
}
