//! The same rejoin from an S3 server whose answers break, lie and fail, to see how much is sent twice.

use super::rejoin::fetched;
use super::scene::{Scene, Size, applied, number};
use anyhow::{Result, ensure};
use object_server::{Effect, Fault, Method, ObjectServer};
use std::time::{Duration, Instant};
use tests::cluster::{Flavor, eventually};

/// One answer in so many goes wrong, each in another way.
const ONE_IN: u32 = 10;
/// From serving to the count of what was installed.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);
/// Longer is a failure.
const WITHIN: Duration = Duration::from_secs(900);

/// What was seen.
pub(crate) struct Faulty {
    /// What the snapshot's chunks take.
    pub(crate) snapshot: u64,
    /// Answers that went wrong.
    pub(crate) faults: usize,
    /// Bytes that the server and the members sent for it, what broke off included.
    pub(crate) sent: u64,
    /// What came from object storage, of what arrived whole.
    pub(crate) from_objects: u64,
    pub(crate) took: Duration,
}

pub(crate) fn measure(size: Size, extra: &[&str]) -> Result<Faulty> {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(ObjectServer::start())?;
    let folder = tempfile::tempdir()?;
    let credentials = folder.path().join("credentials");
    ObjectServer::write_credentials(&credentials)?;
    let store = format!("{}&credentials-file={}", server.location("bench"), credentials.display());
    let mut scene = Scene::start(Flavor::Quorate, size, Some(&store), extra)?;
    let staged = scene.stage()?;
    scene.wait_cut()?;
    let faults = script(&server, staged.bytes);
    let (before, begun) = (server.sent_bytes(), Instant::now());
    scene.cluster.members[scene.away].spawn()?;
    let (leader, away) = (scene.leader()?, &scene.cluster.members[scene.away]);
    eventually("follower that has caught up", WITHIN, || {
        let goal = applied(leader).ok()?;
        (away.is_ready() && applied(away).ok()? >= goal).then_some(())
    })?;
    let took = begun.elapsed();
    let given: u64 =
        scene.there().map(|member| number(member, "quorate_snapshot_sent_bytes_total")).sum::<Result<u64>>()?;
    let (from_objects, _) = fetched(away)?;
    // What it counts, it counts a moment after it serves.
    let installed = || number(away, "quorate_snapshot_installed_total").ok().filter(|installed| *installed > 0);
    let installed = eventually("count of an installed snapshot", COUNTED_WITHIN, installed)?;
    ensure!(installed == 1, "it installed {installed} snapshots");
    let left = server.faults().left();
    Ok(Faulty {
        snapshot: staged.bytes,
        faults: faults - left,
        sent: server.sent_bytes() - before + given,
        from_objects,
        took,
    })
}

/// Lets one answer in ten to a question for a chunk go wrong.
fn script(server: &ObjectServer, bytes: u64) -> usize {
    let effects = [
        Effect::CutAnswer,
        Effect::Refuse(503, "SlowDown"),
        Effect::Drop,
        Effect::LoseAnswer,
        Effect::Refuse(500, "InternalError"),
    ];
    // Chunks are of a mebibyte, more or less.
    let times = usize::try_from(bytes >> 20).unwrap_or(usize::MAX) / ONE_IN as usize;
    for at in 0..times {
        let fault = Fault::new(effects[at % effects.len()].clone());
        server.faults().add(fault.at("/chunks/").on(Method::GET).after(ONE_IN - 1).times(1));
    }
    times
}
