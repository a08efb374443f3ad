//! The task on a member of its own, against a directory and a real S3 server: one turn at a time.

use super::*;
use crate::node::solo::Solo;
use crate::snapshot::{KeyFile, SnapshotName, verify};
use crate::stage::{Figures, want};
use mvcc::{Body, Put};
use object_server::{ACCESS_KEY, Effect, Fault, ObjectServer, SECRET_KEY};
use objects::Location;
use std::fs;
use std::path::Path;

fn settings(store: Location) -> Backups {
    Backups { parallelism: 2, ..Backups::on_demand(store) }
}

struct Scene {
    stager: Stager,
    _solo: Solo,
}

impl Scene {
    fn new(settings: Backups) -> Self {
        let solo = Solo::start();
        Self { stager: Stager::new(solo.handle(), settings, Arc::default()), _solo: solo }
    }

    fn in_directory(path: &Path) -> Self {
        Self::new(settings(Location::Directory(path.to_owned())))
    }

    async fn put(&self, key: &'static str) {
        let put = Put { key: key.into(), value: vec![7; 1_000].into(), ..Put::default() };
        self.stager.node.propose(Body::Put(put)).await.expect("a leader").outcome.expect("a put");
    }

    /// As many turns as it takes to come to rest, without the pauses.
    async fn settle(&mut self) -> Figures {
        for _ in 0..20 {
            self.stager.not_before = Instant::now();
            self.stager.delegate().await;
            self.stager.turn().await;
            if matches!(self.figures().activity, Activity::Resting | Activity::Failing) {
                break;
            }
        }
        self.figures()
    }

    /// Asks for a snapshot, and lets it be taken.
    async fn staged_now(&mut self) -> Figures {
        want(&self.stager.node).await.expect("a leader");
        self.settle().await
    }

    fn figures(&self) -> Figures {
        self.stager.report.figures()
    }

    fn kept(&self) -> Vec<u64> {
        let staged = self.stager.node.store().staged();
        staged.iter().filter(|it| it.retired_ms.is_none()).map(|it| it.index).collect()
    }

    async fn names(&mut self) -> Vec<SnapshotName> {
        let snapshots = self.stager.worker().await.expect("it opens").snapshots;
        let names = snapshots.list(None).await.expect("the store is well");
        for name in &names {
            let opened = snapshots.open(name).await.expect("a manifest");
            verify(&opened.manifest, &opened.chunks, |_| ()).await.expect("a whole snapshot");
        }
        names
    }
}

#[tokio::test]
async fn a_snapshot_that_is_asked_for_is_staged_told_and_whole() {
    let folder = tempfile::tempdir().expect("room");
    let mut scene = Scene::in_directory(folder.path());
    scene.put("a").await;
    let rested = scene.settle().await;
    assert_eq!((rested.activity, rested.staged), (Activity::Resting, 0), "nobody asked");
    let done = scene.staged_now().await;
    assert_eq!((done.activity, done.staged, done.failures.len()), (Activity::Resting, 1, 0), "{done:?}");
    assert!(done.uploaded_bytes > 0 && done.last_duration.is_some());
    let names = scene.names().await;
    assert_eq!(names.iter().map(|name| name.index.0).collect::<Vec<_>>(), scene.kept());
}

#[tokio::test]
async fn what_is_not_kept_is_retired_and_goes_after_the_grace() {
    let folder = tempfile::tempdir().expect("room");
    let mut scene = Scene::in_directory(folder.path());
    scene.settle().await;
    for key in ["a", "b", "c", "d"] {
        scene.put(key).await;
        scene.staged_now().await;
    }
    let all = scene.stager.node.store().staged();
    let newest: Vec<u64> = all[2..].iter().map(|snapshot| snapshot.index).collect();
    assert_eq!((all.len(), scene.kept()), (4, newest.clone()));
    assert_eq!(scene.names().await.len(), 4, "readable until the grace has passed");
    scene.stager.rules.grace = Duration::ZERO;
    let done = scene.settle().await;
    assert_eq!(done.deleted, 2);
    assert_eq!(scene.names().await.iter().map(|name| name.index.0).collect::<Vec<_>>(), newest);
    assert_eq!(scene.stager.node.store().staged().len(), 2);
}

#[tokio::test]
async fn a_manifest_that_was_never_told_is_told_and_one_that_is_gone_is_not_kept() {
    let folder = tempfile::tempdir().expect("room");
    let mut first = Scene::in_directory(folder.path());
    first.put("a").await;
    first.settle().await;
    first.staged_now().await;
    // Another life of the same cluster that has not heard of the snapshot.
    let mut second = Scene::in_directory(folder.path());
    second.put("a").await;
    second.settle().await;
    assert_eq!(second.kept(), first.kept());

    let manifest = folder.path().join(first.names().await[0].object().as_str());
    fs::remove_file(manifest).expect("it was there");
    let mut third = Scene::new(settings(Location::Directory(folder.path().to_owned())));
    third.stager.node = second.stager.node.clone();
    third.settle().await;
    assert_eq!(third.kept(), Vec::<u64>::new());
}

async fn on_server(folder: &Path) -> (ObjectServer, Scene) {
    let server = ObjectServer::start().await.expect("a server");
    ObjectServer::write_credentials(&folder.join("credentials")).expect("room");
    let location = format!("{}&credentials-file={}", server.location("p"), folder.join("credentials").display());
    let mut scene = Scene::new(settings(location.parse().expect("a location")));
    scene.put("a").await;
    scene.settle().await;
    (server, scene)
}

#[tokio::test]
async fn each_trouble_of_the_store_is_counted_under_its_name_and_passes() {
    let folder = tempfile::tempdir().expect("room");
    let (server, mut scene) = on_server(folder.path()).await;
    let troubles = [
        (Effect::Refuse(403, "AccessDenied"), "denied"),
        (Effect::Refuse(403, "QuotaExceeded"), "full"),
        (Effect::Refuse(404, "NoSuchBucket"), "config"),
        (Effect::FalseSuccess("InternalError"), "protocol"),
    ];
    for (at, (effect, reason)) in troubles.into_iter().enumerate() {
        server.faults().add(Fault::new(effect));
        let failing = scene.staged_now().await;
        assert_eq!(failing.activity, Activity::Failing, "{reason}");
        assert_eq!(failing.failures.get(reason), Some(&1), "{failing:?}");
        assert!(failing.problem.is_some());
        server.faults().clear();
        let working = scene.settle().await;
        assert_eq!((working.staged, working.problem), (at as u64 + 1, None), "{reason}");
    }
}

/// A file with these keys, under this name.
fn keys(folder: &Path, name: &str, keys: &[u8]) -> KeyFile {
    let path = folder.join(name);
    fs::write(&path, keys.iter().map(|key| format!("{key:064x}\n")).collect::<String>()).expect("room");
    KeyFile::open(&path).expect("keys")
}

/// With a key that changes while the member runs, what was staged before stays readable, and goes in its time.
#[tokio::test]
async fn snapshots_are_encrypted_with_the_key_that_the_file_has_and_deleted_whatever_it_was() {
    let (folder, config) = (tempfile::tempdir().expect("room"), tempfile::tempdir().expect("room"));
    let (server, _) = on_server(folder.path()).await;
    let location = format!("{}&credentials-file={}", server.location("q"), folder.path().join("credentials").display());
    let file = keys(config.path(), "keys", &[1]);
    let mut backups = settings(location.parse().expect("a location"));
    backups.keys = Some(file.clone());
    let mut scene = Scene::new(backups);
    scene.put("a").await;
    scene.settle().await;
    let first = scene.staged_now().await;
    assert_eq!((first.staged, first.problem), (1, None));
    keys(config.path(), "keys", &[2, 1]);
    for key in ["b", "c", "d"] {
        scene.put(key).await;
        assert_eq!(scene.staged_now().await.problem, None);
    }
    assert_eq!(scene.names().await.len(), 4, "all can be read");
    scene.stager.rules.grace = Duration::ZERO;
    let done = scene.settle().await;
    assert!(done.deleted == 2 && done.deleted_bytes > 0, "{done:?}");
    let (names, snapshots) = (scene.names().await, scene.stager.worker().await.expect("it opens").snapshots);
    for name in names {
        let opened = snapshots.open(&name).await.expect("a manifest");
        assert_eq!(opened.chunks.key(), Some(file.current().expect("keys").sealing().id()));
    }
}

/// Nothing of it holds the next snapshot up, and none of it is told to the log.
#[tokio::test]
async fn manifests_that_are_damaged_under_another_key_or_not_encrypted_are_left_alone() {
    let folder = tempfile::tempdir().expect("room");
    let store = folder.path().join("store");
    let backups = |file: Option<KeyFile>| Backups { keys: file, ..settings(Location::Directory(store.clone())) };
    // What others have left in the same place: no key, and another key.
    for (file, keys) in [("plain", None), ("other", Some(keys(folder.path(), "other", &[9])))] {
        let mut other = Scene::new(backups(keys));
        other.put("a").await;
        other.settle().await;
        assert_eq!(other.staged_now().await.staged, 1, "{file}");
    }
    let mut scene = Scene::new(backups(Some(keys(folder.path(), "ours", &[1]))));
    let theirs = scene.stager.worker().await.expect("it opens").snapshots.list(None).await.expect("readable");
    assert_eq!(theirs.len(), 2);
    let damaged = SnapshotName { index: raft::Index(1), ..theirs[0] };
    fs::write(store.join(damaged.object().as_str()), b"no manifest").expect("room");
    scene.put("b").await;
    scene.put("c").await;
    scene.settle().await;
    let done = scene.staged_now().await;
    assert_eq!((done.staged, done.problem), (1, None));
    let known: Vec<_> = scene.stager.node.store().staged().iter().map(|staged| staged.index).collect();
    assert!(known.len() == 1 && theirs.iter().all(|name| !known.contains(&name.index.0)), "{known:?} {theirs:?}");
}

#[tokio::test]
async fn who_has_no_key_does_not_go_on_where_snapshots_are_encrypted() {
    let folder = tempfile::tempdir().expect("room");
    let store = Location::Directory(folder.path().join("store"));
    let file = keys(folder.path(), "keys", &[1]);
    let mut first = Scene::new(Backups { keys: Some(file.clone()), ..settings(store.clone()) });
    first.put("a").await;
    first.settle().await;
    assert_eq!(first.staged_now().await.staged, 1);
    let mut second = Scene::new(settings(store));
    second.stager.node = first.stager.node.clone();
    let failing = second.staged_now().await;
    assert_eq!((failing.activity, failing.failures.get("key")), (Activity::Failing, Some(&1)), "{failing:?}");
    let problem = failing.problem.expect("it failed");
    let id = file.current().expect("keys").sealing().id().to_string();
    assert!(problem.contains("manifests/") && problem.contains(&id), "{problem}");
}

/// The files under a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Whoever asked for encryption gets no snapshot before one in the clear, also where snapshots in the clear were before.
#[tokio::test]
async fn while_its_keys_are_missing_or_no_keys_a_member_uploads_nothing_and_once_they_are_there_it_encrypts() {
    let folder = tempfile::tempdir().expect("room");
    let (store, mounted) = (folder.path().join("store"), folder.path().join("mounted"));
    let mut plain = Scene::in_directory(&store);
    plain.put("a").await;
    plain.settle().await;
    assert_eq!(plain.staged_now().await.staged, 1);
    let before = files(&store);
    assert!(!before.is_empty());

    let awaited = KeyFile::in_folder(&mounted);
    let mut scene = Scene::new(Backups { keys: Some(awaited.clone()), ..settings(Location::Directory(store.clone())) });
    scene.stager.node = plain.stager.node.clone();
    for (content, says) in
        [(None, "No such file"), (Some(""), "holds no key"), (Some("passphrase"), "line 1 is no key")]
    {
        if let Some(content) = content {
            fs::create_dir_all(&mounted).expect("room");
            fs::write(mounted.join("keys"), content).expect("room");
        }
        scene.put("b").await;
        let failing = scene.staged_now().await;
        assert_eq!((failing.activity, failing.staged), (Activity::Failing, 0), "{failing:?}");
        assert!(
            failing.problem.is_some_and(|problem| problem.contains("mounted/keys") && problem.contains(says)),
            "{says}"
        );
        assert_eq!(files(&store), before, "nothing was put there");
    }
    assert_eq!(scene.figures().failures.into_iter().collect::<Vec<_>>(), [("key", 3)]);

    keys(&mounted, "keys", &[1]);
    let working = scene.staged_now().await;
    assert_eq!((working.staged, working.problem), (1, None));
    fs::remove_file(mounted.join("keys")).expect("it was there");
    scene.put("c").await;
    assert_eq!(scene.staged_now().await.problem, None, "the keys stay");
    let key = awaited.current().expect("they stay").sealing().id();
    let (names, snapshots) = (scene.names().await, scene.stager.worker().await.expect("it opens").snapshots);
    let mut under = Vec::new();
    for name in names {
        under.push(snapshots.open(&name).await.expect("a manifest").chunks.key());
    }
    assert_eq!(under, [None, Some(key), Some(key)]);
}

#[tokio::test]
async fn a_key_that_comes_later_than_the_member_is_used_without_a_restart() {
    let folder = tempfile::tempdir().expect("room");
    let server = ObjectServer::start().await.expect("a server");
    let location = format!("{}&credentials-dir={}", server.location("p"), folder.path().display());
    let mut scene = Scene::new(settings(location.parse().expect("a location")));
    scene.put("a").await;
    let failing = scene.settle().await;
    assert_eq!((failing.activity, failing.failures.get("denied")), (Activity::Failing, Some(&1)), "{failing:?}");
    assert!(failing.problem.is_some_and(|problem| problem.contains("access-key-id: it is not there, or empty")));
    fs::write(folder.path().join("access-key-id"), ACCESS_KEY).expect("room");
    fs::write(folder.path().join("secret-access-key"), SECRET_KEY).expect("room");
    let working = scene.staged_now().await;
    assert_eq!((working.staged, working.problem), (1, None));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_no_snapshot_and_its_chunks_serve_the_next() {
    let folder = tempfile::tempdir().expect("room");
    let (server, mut scene) = on_server(folder.path()).await;
    server.faults().add(Fault::new(Effect::Refuse(403, "AccessDenied")).on(http::Method::PUT).at("/manifests/"));
    let failing = scene.staged_now().await;
    assert_eq!((failing.activity, failing.failures.get("denied")), (Activity::Failing, Some(&1)), "{failing:?}");
    assert!(scene.names().await.is_empty());
    server.faults().clear();
    let working = scene.settle().await;
    assert_eq!(working.staged, 1);
    assert!(working.shared_bytes > 0, "resumed: {working:?}");
    assert_eq!(scene.names().await.len(), 1);
}

#[tokio::test]
async fn who_fails_again_and_again_gives_the_work_back() {
    let folder = tempfile::tempdir().expect("room");
    fs::write(folder.path().join("file"), b"not a directory").expect("room");
    let mut scene = Scene::in_directory(&folder.path().join("file"));
    scene.stager.delegate().await;
    assert!(is_mine(&scene.stager.node));
    want(&scene.stager.node).await.expect("a leader");
    for _ in 0..FAILURES_MAX {
        assert!(is_mine(&scene.stager.node));
        scene.stager.not_before = Instant::now();
        scene.stager.turn().await;
    }
    assert_eq!(scene.stager.node.store().stager(), None);
    scene.stager.delegate().await;
    assert!(is_mine(&scene.stager.node), "there is nobody else");
}

#[test]
fn pauses_grow_to_a_minute_and_differ() {
    for failures in 1..40 {
        let bound = Duration::from_secs(1 << (failures - 1).min(16)).min(FAILED_PAUSE_MAX);
        let pause = pause(failures);
        assert!(pause >= bound / 2 && pause <= bound, "{failures}: {pause:?}");
    }
}
