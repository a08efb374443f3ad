//! The whole install, from the first byte fetched to the last file removed, with the power failing after each effect on
//! either disk, and with the leader gone in the middle: the next run goes on, and ends where an undisturbed one does.

use super::*;
use crate::disk::{Disk, Fate};
use crate::store::{Options, RedbBackend, STATE_FILE};
use raft::planted::{Bug, plant};

/// Chunks that are fetched at once: so many may arrive and not be kept.
const AT_ONCE: u64 = 3;

/// A leader with so many keys, and an endless supply of members that are away.
struct Scene {
    leader: Leader,
    backups: Backups,
    index: u64,
    bytes: u64,
    /// Of its chunks.
    largest: u64,
    _folder: tempfile::TempDir,
}

/// Which disk loses its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// The data directory: the state that is made of the chunks, the record of the switch.
    Data,
    /// The spool: manifest and chunks.
    Spool,
}

/// What became of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All of it was done, and nothing is left over.
    Whole,
    /// The disk refused something.
    Cut,
}

impl Scene {
    async fn new(keys: u64) -> Self {
        let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::empty(0).await);
        leader.write(0..keys).await;
        let backups = directory(folder.path());
        let name = leader.stage(&backups, |_| ()).await;
        let opened = SnapshotStore::new(objects::open(&backups.store).await.expect("it opens"), None).open(&name).await;
        let manifest = opened.expect("it was written").manifest;
        let largest = manifest.chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).max().expect("it has chunks");
        Self { leader, backups, index: name.index.0, bytes: manifest.stored_bytes(), largest, _folder: folder }
    }

    fn away(&self, disks: [SimDisk; 2]) -> Away {
        let away = Away::on(disks, &self.leader, Some(self.backups.clone()), PATIENCE);
        away.want(self.index);
        away
    }

    /// Fails the power of one disk after so many effects; how the run ended that met it, and which disks it left.
    async fn fail(&self, which: Which, effects: u64, fate: Fate) -> (Ended, [SimDisk; 2], u64) {
        let mut away = self.away([SimDisk::new(), SimDisk::new()]);
        let disk = if which == Which::Data { &away.disk } else { &away.spool };
        disk.lose_power_after(effects);
        let ended = timeout(PATIENCE, run(&mut away, 0)).await.expect("in time");
        let fetched = served(&away.totals()).0;
        (ended, [away.disk.crash(fate), away.spool.crash(fate)], fetched)
    }

    /// What a start makes of the disks, and then the install to its end.
    async fn go_on(&self, disks: [SimDisk; 2], what: &str) -> u64 {
        let [data, spool] = disks;
        let intent = crate::install::recover_state(&data).expect("a record is whole or not there");
        if let Some(intent) = intent {
            assert_eq!(intent.last().index.0, self.index, "{what}");
            crate::install::finish_switch(&data).expect("no fault");
        }
        if let Some(applied) = applied(&data) {
            assert_eq!(applied, self.index, "{what}: a state that is half of one");
            // Its log says so: nothing is wanted any more.
            return 0;
        }
        let mut away = self.away([data, spool]);
        // What a disk has spoilt is found when it is used, and fetched again: a try that fails.
        let ended = timeout(PATIENCE, run(&mut away, u64::MAX)).await.expect("in time");
        assert_eq!(ended, Ended::Whole, "{what}");
        assert_eq!(applied(&away.disk.crash(Fate::Kept)), Some(self.index), "{what}");
        assert_eq!(away.solo.handle().store().state_hash(), (self.index, self.hash()), "{what}");
        assert_eq!((away.disk.list().expect("no fault"), away.spool.list().expect("no fault")), left(), "{what}");
        served(&away.totals()).0
    }

    fn hash(&self) -> u64 {
        let staged = self.leader.solo.handle().store().staged();
        let name = crate::stage::name_of(crate::bootstrap::ClusterId(CLUSTER), staged.last().expect("staged"));
        let path = self._folder.path().join(name.object().as_str());
        Manifest::decode(&fs::read(path).expect("it was written")).expect("a manifest").1.state_hash
    }

    /// Visits every effect of an install on one disk; how many there were, and the most bytes fetched twice.
    async fn sweep(&self, which: Which, fate: impl Fn(u64) -> Fate) -> (u64, u64) {
        let (mut effects, mut most) = (0, 0);
        loop {
            let (ended, disks, before) = self.fail(which, effects, fate(effects)).await;
            if ended == Ended::Whole {
                return (effects, most);
            }
            let after = self.go_on(disks, &format!("{which:?} after {effects} effects, {:?}", fate(effects))).await;
            assert!(before + after >= self.bytes, "all of it was fetched, in one run or the other");
            most = most.max(before + after);
            effects += 1;
        }
    }
}

/// What an install leaves of files.
fn left() -> (Vec<String>, Vec<String>) {
    (vec![STATE_FILE.to_owned()], vec![])
}

/// Where the state stands that a start would open; none if there is no file for it.
fn applied(disk: &SimDisk) -> Option<u64> {
    let there = disk.list().expect("no fault").iter().any(|name| name == STATE_FILE);
    let open = || RedbBackend::open(disk, Options { cache_bytes: 1 << 20 }).expect("a sound file");
    there.then(|| mvcc::Store::open(Arc::new(open())).expect("a sound store").applied())
}

/// Lets the task go on until it has installed, or met a disk that refuses, and has failed more often than it may.
async fn run(away: &mut Away, failures_max: u64) -> Ended {
    loop {
        if away.totals().failures > failures_max {
            return Ended::Cut;
        }
        if away.totals().installed > 0 && away.progress.view().is_none() {
            return Ended::Whole;
        }
        let Ok(Ready { switch, done }) = away.ready.try_recv() else {
            tokio::task::yield_now().await;
            continue;
        };
        let last = switch.manifest.last.index;
        // A member whose switch fails stops, and says nothing more.
        if switch.run(&*away.disk, away.solo.handle().store()).is_err() {
            return Ended::Cut;
        }
        away.solo.change(|brief| (brief.commit, brief.applied) = (last, last));
        done.send(Installed::Yes).expect("the task waits");
    }
}

#[tokio::test]
async fn the_power_may_fail_at_every_chunk_and_what_the_disk_kept_is_not_fetched_again() {
    let scene = Scene::new(60).await;
    let (effects, most) = scene.sweep(Which::Spool, |_| Fate::Kept).await;
    assert!(effects > 20, "{effects}: three for each chunk");
    // What was on its way, or could not be written.
    let again = AT_ONCE * scene.largest;
    assert!(
        most <= scene.bytes + again,
        "{most} bytes were fetched for {}, of which {again} may be again",
        scene.bytes
    );
}

#[tokio::test]
async fn the_power_may_fail_at_every_chunk_and_take_with_it_what_it_likes() {
    let scene = Scene::new(30).await;
    scene.sweep(Which::Spool, |_| Fate::Lost).await;
    scene.sweep(Which::Spool, Fate::Chance).await;
}

#[tokio::test]
async fn the_power_may_fail_at_every_effect_of_making_the_state_and_switching_to_it() {
    let scene = Scene::new(3).await;
    for fate in [Fate::Kept, Fate::Lost] {
        let (effects, most) = scene.sweep(Which::Data, |_| fate).await;
        assert!(effects > 20, "{effects}");
        assert!(fate == Fate::Lost || most == scene.bytes, "chunks are on the other disk: {most}");
    }
    scene.sweep(Which::Data, Fate::Chance).await;
}

/// A record whose name is durable before its bytes cannot be read by the next start.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_record_that_is_not_synced_is_found_by_the_sweep() {
    let scene = Scene::new(3).await;
    let (effects, _) = scene.sweep(Which::Data, |_| Fate::Kept).await;
    let mut found = false;
    for effects in effects.saturating_sub(12)..effects {
        plant(Some(Bug::IntentNotSynced));
        let (_, disks, _) = scene.fail(Which::Data, effects, Fate::Lost).await;
        plant(None);
        let [data, _] = disks;
        found |= crate::install::recover_state(&data).is_err();
    }
    assert!(found, "{} lives", Bug::IntentNotSynced.name());
}

#[tokio::test]
async fn another_leader_goes_on_where_the_one_that_is_gone_stopped() {
    // A second and more for all of it.
    let (first, second) = (Leader::sending(4 << 20).await, Leader::sending(0).await);
    second.write(60..62).await;
    let mut away = Away::start(&first, None, PATIENCE);
    away.want(first.applied());
    let whole = loop {
        let view = away.progress.view().unwrap_or_default();
        if view.have_bytes * 3 > view.total_bytes && view.total_bytes > 0 {
            break view.total_bytes;
        }
        tokio::task::yield_now().await;
    };
    first.serving.abort();
    // The new leader's log begins later.
    away.members = members(&second.info);
    away.want(second.applied());
    assert_eq!(away.installed(&second).await, second.applied());
    let totals = away.totals();
    let fetched = served(&totals).1;
    assert!(second.server.sent_bytes() < whole * 3 / 4, "{} of {whole}", second.server.sent_bytes());
    assert!(fetched <= whole * 3 / 2 && totals.resumed > 0, "{fetched} of {whole}: {totals:?}");
}
