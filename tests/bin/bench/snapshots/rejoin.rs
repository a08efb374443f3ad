//! A follower that the log does not reach any more comes back while clients write.

use super::scene::{Scene, applied, id_of, number};
use super::writers::{Pace, Writers};
use anyhow::Result;
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::{Flavor, Member, get};

/// How long the writers run without the follower, once they have warmed up, and with it when it is back: for comparison.
const COMPARED: Duration = Duration::from_secs(20);
/// What the first moments of 256 new connections are not counted for.
const WARM_UP: Duration = Duration::from_secs(3);
/// How often it is looked whether the follower has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longer is a failure.
const WITHIN: Duration = Duration::from_secs(900);

/// What was seen.
pub(crate) struct Rejoined {
    /// From its start until it had applied what the leader had.
    pub(crate) took: Duration,
    /// What the leader sent it of snapshots; etcd counts both together.
    pub(crate) sent_of_snapshot: Option<u64>,
    /// What the leader sent it in all.
    pub(crate) sent: u64,
    /// The writers without it.
    pub(crate) without: Pace,
    /// The writers in the meantime.
    pub(crate) with: Pace,
    /// The writers when it was back.
    pub(crate) whole: Pace,
    pub(crate) leader_cpu_seconds: f64,
    pub(crate) follower_cpu_seconds: f64,
}

pub(crate) fn measure(scene: &mut Scene, flavor: Flavor) -> Result<Rejoined> {
    let there: Vec<String> = scene.there().map(|member| member.client.clone()).collect();
    let (leader, away) = (scene.cluster.leader()?, scene.away);
    let id = id_of(&scene.cluster.members[leader], &scene.cluster.members[away].name)?;
    let writers = Writers::start(&there);
    thread::sleep(WARM_UP);
    let alone = writers.now();
    thread::sleep(COMPARED);
    writers.check()?;
    let before = Sent::look(&scene.cluster.members[leader], &id, flavor)?;
    let cpu_before = scene.cluster.members[leader].cpu_seconds()?;
    let (begun, started) = (writers.now(), Instant::now());
    scene.cluster.members[away].spawn()?;
    wait_caught_up(&scene.cluster.members[leader], &scene.cluster.members[away], started)?;
    let (took, ended) = (started.elapsed(), writers.now());
    let after = Sent::look(&scene.cluster.members[leader], &id, flavor)?;
    writers.check()?;
    let (leader_cpu_seconds, follower_cpu_seconds) =
        (scene.cluster.members[leader].cpu_seconds()? - cpu_before, scene.cluster.members[away].cpu_seconds()?);
    thread::sleep(COMPARED);
    let compared = writers.now();
    let written = writers.stop()?;
    Ok(Rejoined {
        took,
        sent_of_snapshot: (flavor == Flavor::Quorate).then(|| after.snapshots - before.snapshots),
        sent: after.all - before.all,
        without: written.within(alone..begun)?,
        with: written.within(begun..ended)?,
        whole: written.within(ended..compared)?,
        leader_cpu_seconds,
        follower_cpu_seconds,
    })
}

/// The leader is asked first: what the follower has then is no older.
fn wait_caught_up(leader: &Member, follower: &Member, started: Instant) -> Result<()> {
    loop {
        anyhow::ensure!(started.elapsed() < WITHIN, "{} has not caught up within {WITHIN:?}", follower.name);
        thread::sleep(LOOK_EVERY);
        if !follower.is_ready() {
            continue;
        }
        let goal = applied(leader)?;
        if applied(follower).is_ok_and(|applied| applied >= goal) {
            return Ok(());
        }
    }
}

/// What a leader has sent to one member.
struct Sent {
    all: u64,
    snapshots: u64,
}

impl Sent {
    fn look(leader: &Member, id: &str, flavor: Flavor) -> Result<Self> {
        let row = format!("etcd_network_peer_sent_bytes_total{{To=\"{id}\"}}");
        // etcd has no row for a member that it has sent nothing to.
        let streamed = number(leader, &row)?;
        let snapshots = match flavor {
            // Nobody else is sent any.
            Flavor::Quorate => number(leader, "quorate_snapshot_sent_bytes_total")?,
            Flavor::Etcd => 0,
        };
        Ok(Self { all: streamed + snapshots, snapshots })
    }
}

/// Bytes of snapshots that a member has fetched: from object storage, and from all sources.
pub(crate) fn fetched(member: &Member) -> Result<(u64, u64)> {
    let page = get(&member.metrics, "/metrics")?;
    let rows = page.lines().filter_map(|line| line.strip_prefix("quorate_snapshot_fetched_bytes_total{source="));
    let values =
        rows.filter_map(|row| Some((row.starts_with("\"objects\""), row.rsplit(' ').next()?.parse::<f64>().ok()?)));
    let (mut objects, mut all) = (0, 0);
    for (is_objects, bytes) in values {
        objects += if is_objects { bytes as u64 } else { 0 };
        all += bytes as u64;
    }
    Ok((objects, all))
}
