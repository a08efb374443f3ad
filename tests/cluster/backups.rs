//! Snapshots in object storage: a real S3 server behind scripted faults, and three members that stage into it.

use crate::{CLIENTS, addresses};
use anyhow::{Context, Result, ensure};
use object_server::{Effect, Fault, ObjectServer};
use objects::Location;
use quorate::snapshot::{SnapshotStore, verify};
use std::time::Duration;
use tests::cluster::{Cluster, Flavor, Member, eventually, get};
use tests::workload::Workload;
use tokio::runtime::Runtime;

/// A snapshot is taken, uploaded and told within this on a machine that runs other tests too.
const STAGED_WITHIN: Duration = Duration::from_secs(60);

/// The task's pauses have grown to half a minute by the end of the outage.
const STAGED_AGAIN_WITHIN: Duration = Duration::from_secs(120);

/// Writes that are waited for while the store is dead.
const WRITES: u64 = 2_000;

/// A store and a cluster that stages into it once a second.
struct Scene {
    cluster: Cluster,
    load: Workload,
    server: ObjectServer,
    location: String,
    runtime: Runtime,
}

impl Scene {
    fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let server = runtime.block_on(ObjectServer::start())?;
        let mut cluster = Cluster::planned(Flavor::Quorate, 3, &[])?;
        let credentials = cluster.folder().join("credentials");
        ObjectServer::write_credentials(&credentials)?;
        let location = format!("{}&credentials-file={}", server.location("cluster"), credentials.display());
        let flags = [
            format!("--backup-store={location}"),
            "--backup-interval=1s".to_owned(),
            "--backup-retention-count=2".to_owned(),
            "--backup-delete-grace=20s".to_owned(),
        ];
        for member in &mut cluster.members {
            flags.iter().for_each(|flag| member.with_flag(flag.as_str()));
        }
        cluster.start_all()?;
        let load = Workload::start(&addresses(&cluster), CLIENTS, 1);
        Ok(Self { cluster, load, server, location, runtime })
    }

    /// Ends the members and reads every snapshot that is in the store, chunk by chunk; how many.
    fn verify_all(mut self) -> Result<usize> {
        self.server.faults().clear();
        let report = self.load.stop_and_judge(&addresses(&self.cluster))?;
        ensure!(report.acknowledged > 0, "nothing was written");
        self.cluster.members.iter_mut().try_for_each(Member::kill)?;
        self.runtime.block_on(async {
            let location: Location = self.location.parse()?;
            let snapshots = SnapshotStore::new(objects::open(&location).await?, None);
            let names = snapshots.list(None).await?;
            for name in &names {
                let opened = snapshots.open(name).await?;
                verify(&opened.manifest, &opened.chunks, |_| ()).await?;
            }
            Ok(names.len())
        })
    }
}

/// A figure on a member's page; none if it is not there.
fn figure(member: &Member, name: &str) -> Option<f64> {
    let page = get(&member.metrics, "/metrics").ok()?;
    let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn figures(cluster: &Cluster, name: &str) -> Vec<Option<f64>> {
    cluster.members.iter().map(|member| figure(member, name)).collect()
}

/// Waits until the figure is as wanted on every member.
fn wait_all(cluster: &Cluster, name: &str, within: Duration, wanted: impl Fn(f64) -> bool) -> Result<()> {
    eventually(name, within, || {
        figures(cluster, name).into_iter().all(|figure| figure.is_some_and(&wanted)).then_some(())
    })
    .with_context(|| format!("{name}: {:?}", figures(cluster, name)))
}

/// The member that stages, once it is one.
fn stager(cluster: &Cluster, within: Duration) -> Result<usize> {
    eventually("one member that stages", within, || {
        let all = figures(cluster, "quorate_backup_stager");
        let mine: Vec<usize> = (0..all.len()).filter(|at| all[*at] == Some(1.0)).collect();
        (mine.len() == 1).then(|| mine[0])
    })
}

#[test]
fn an_outage_of_the_store_is_seen_and_passes_and_no_write_notices() -> Result<()> {
    let scene = Scene::start()?;
    wait_all(&scene.cluster, "quorate_backups_kept", STAGED_WITHIN, |kept| kept >= 2.0)?;
    let stager = stager(&scene.cluster, STAGED_WITHIN)?;
    assert_ne!(stager, scene.cluster.leader()?, "a follower does it");

    scene.server.faults().add(Fault::new(Effect::Refuse(503, "SlowDown")));
    scene.load.wait_acknowledged(WRITES, Duration::from_secs(60))?;
    wait_all(&scene.cluster, "quorate_backup_age_seconds", STAGED_WITHIN, |age| age > 6.0)?;
    wait_all_failing(&scene.cluster)?;

    scene.server.faults().clear();
    wait_all(&scene.cluster, "quorate_backup_age_seconds", STAGED_AGAIN_WITHIN, |age| age < 5.0)?;
    eventually("a deletion", STAGED_AGAIN_WITHIN, || {
        let deleted = figures(&scene.cluster, "quorate_backups_deleted_total");
        (deleted.into_iter().flatten().sum::<f64>() >= 2.0).then_some(())
    })?;
    ensure!(scene.verify_all()? >= 2, "two are kept");
    Ok(())
}

/// Some member says that its last try failed.
fn wait_all_failing(cluster: &Cluster) -> Result<()> {
    eventually("a member that says that it fails", STAGED_WITHIN, || {
        figures(cluster, "quorate_backup_failing").contains(&Some(1.0)).then_some(())
    })
}

#[test]
fn two_members_that_both_stage_leave_whole_snapshots() -> Result<()> {
    let scene = Scene::start()?;
    wait_all(&scene.cluster, "quorate_backups_kept", STAGED_WITHIN, |kept| kept >= 1.0)?;
    let first = stager(&scene.cluster, STAGED_WITHIN)?;
    // In the middle of an upload it stops, for longer than the leader waits for it.
    scene.server.faults().add(Fault::new(Effect::Delay(Duration::from_secs(1))).at("/chunks/"));
    eventually("an upload", STAGED_WITHIN, || {
        (figure(&scene.cluster.members[first], "quorate_backup_in_progress") == Some(1.0)).then_some(())
    })?;
    scene.cluster.members[first].pause()?;
    let others: Vec<usize> = (0..3).filter(|at| *at != first).collect();
    let second = eventually("another member that stages", STAGED_WITHIN, || {
        others.iter().copied().find(|at| figure(&scene.cluster.members[*at], "quorate_backup_stager") == Some(1.0))
    });
    let staged = second.and_then(|second| {
        eventually("a snapshot of the other member", STAGED_AGAIN_WITHIN, || {
            figure(&scene.cluster.members[second], "quorate_backups_staged_total").filter(|staged| *staged >= 1.0)
        })
    });
    scene.cluster.members[first].resume()?;
    staged?;
    scene.server.faults().clear();
    let before = figure(&scene.cluster.members[others[0]], "quorate_backup_index").context("a snapshot")?;
    wait_all(&scene.cluster, "quorate_backup_index", STAGED_WITHIN, |index| index > before)?;
    ensure!(scene.verify_all()? >= 1, "one is kept at least");
    Ok(())
}
