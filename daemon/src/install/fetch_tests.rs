//! Installs from object storage and its troubles: real directories, a real S3 server, a real peer port of the leader.

use super::*;
use crate::bootstrap::StorageId;
use crate::config::settings::Backups;
use crate::disk::SimDisk;
use crate::install::{Limits, Server, SourceKind, Totals};
use crate::node::Inbox;
use crate::node::solo::{CLUSTER, MEMBER, Solo};
use crate::snapshot::{ChunkSource, KeyFile, Pace, SnapshotName, SnapshotStore, Taking};
use crate::transport::gate::Gate;
use crate::transport::hello::{Introduction, KnownCluster, PROTOCOL_VERSION};
use crate::transport::{Listener, PeerSockets};
use admin_api::Id;
use bytes::Bytes;
use mvcc::{Body, Put, StagedSnapshot, Staging};
use object_server::{Effect, Fault as Trouble, ObjectServer};
use objects::Location;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The member that was away.
const AWAY: u64 = 8;
/// An install takes a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// A store that hangs is left after this: long enough for one that does not, on a busy machine.
const QUICK: Duration = Duration::from_secs(4);

fn noise(number: u64, bytes: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[7]
    };
    (0..bytes).map(|_| byte()).collect()
}

fn directory(path: &Path) -> Backups {
    Backups::on_demand(Location::Directory(path.to_owned()))
}

/// A leader with a store of some chunks, and a peer port that answers about snapshots.
struct Leader {
    solo: Solo,
    server: Arc<Server>,
    info: NodeInfo,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn gate(member: u64, info: &NodeInfo, members: &BTreeMap<MemberId, NodeInfo>) -> Arc<Gate> {
    let storage = StorageId::from_bytes([1; 16]);
    let introduction = Introduction {
        version: PROTOCOL_VERSION,
        member: None,
        storage,
        info: info.clone(),
        token: "token".into(),
        cluster: None,
    };
    let gate = Arc::new(Gate::new(introduction, 1));
    let members = members.iter().map(|(id, info)| (Id(id.0), info.clone())).collect();
    let id = crate::bootstrap::ClusterId(CLUSTER);
    gate.open(Id(member), KnownCluster { id, membership_at: 1, members, ..KnownCluster::default() });
    gate
}

impl Leader {
    async fn start() -> Self {
        Self::sending(0).await
    }

    /// One that sends so many bytes per second, 0 for any.
    async fn sending(bytes_per_second: u64) -> Self {
        let leader = Self::empty(bytes_per_second).await;
        leader.write(0..60).await;
        leader
    }

    async fn empty(bytes_per_second: u64) -> Self {
        let solo = Solo::start();
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let url = format!("http://127.0.0.1:{free}");
        let info = NodeInfo { name: "leader".into(), peer_urls: vec![url.clone()], ..NodeInfo::default() };
        let server = Server::new(solo.handle(), Limits { bytes_per_second });
        let snapshots = Arc::new(OnceLock::from(server.clone()));
        let listener = Arc::new(Listener {
            gate: gate(MEMBER, &info, &members(&info)),
            tls: None,
            inbox: Arc::new(Inbox::default()),
            directory: Arc::default(),
            stats: Arc::default(),
            snapshots,
        });
        let sockets = PeerSockets::bind(&[url.parse().expect("an address")]).expect("a free port");
        let serving = tokio::spawn(listener.run(sockets));
        Self { solo, server, info, serving }
    }

    /// A megabyte is a chunk, more or less.
    async fn write(&self, keys: std::ops::Range<u64>) {
        for key in keys {
            let put = Put { key: format!("key{key}").into(), value: noise(key, 100_000), ..Put::default() };
            self.solo.handle().propose(Body::Put(put)).await.expect("a leader").outcome.expect("a put");
        }
    }

    fn applied(&self) -> u64 {
        self.solo.handle().store().applied()
    }

    /// Takes a snapshot, changes what its manifest says, puts it into the store and tells the log.
    async fn stage(&self, backups: &Backups, change: impl FnOnce(&mut Manifest)) -> SnapshotName {
        let node = self.solo.handle();
        let snapshots =
            SnapshotStore::new(objects::open(&backups.store).await.expect("it opens"), backups.keys.clone());
        let mut upload = snapshots.upload(node.identity().cluster).await.expect("a store that is well");
        let mut taking = Taking::start(&node, Pace { bytes_per_second: None }).await.expect("a snapshot");
        let mut manifest = loop {
            match taking.next().await.expect("not given up").expect("memory does not fail") {
                crate::snapshot::Piece::Chunk(sealed) => upload.chunk(sealed).await.expect("a store that is well"),
                crate::snapshot::Piece::Manifest(manifest) => break manifest,
            }
        };
        change(&mut manifest);
        let name = upload.publish(&manifest).await.expect("a store that is well");
        upload.end().await;
        let staged = StagedSnapshot {
            id: *name.id.0.as_bytes(),
            index: name.index.0,
            revision: mvcc::Revision(manifest.revision),
            bytes: manifest.stored_bytes(),
            staged_ms: 1,
            retired_ms: None,
        };
        node.propose(Body::Staging(Staging::Staged(staged))).await.expect("a leader");
        name
    }
}

fn members(leader: &NodeInfo) -> BTreeMap<MemberId, NodeInfo> {
    BTreeMap::from([(MemberId(MEMBER), leader.clone()), (MemberId(AWAY), NodeInfo::default())])
}

/// The member that was away, and its task.
struct Away {
    solo: Solo,
    disk: Arc<SimDisk>,
    spool: Arc<SimDisk>,
    progress: Arc<Progress>,
    fetcher: Fetcher,
    ready: mpsc::Receiver<Ready>,
    members: BTreeMap<MemberId, NodeInfo>,
}

impl Away {
    fn start(leader: &Leader, backups: Option<Backups>, window: Duration) -> Self {
        Self::on([SimDisk::new(), SimDisk::new()], leader, backups, window)
    }

    /// On a data directory and a spool that an earlier run has left.
    fn on(disks: [SimDisk; 2], leader: &Leader, backups: Option<Backups>, window: Duration) -> Self {
        let [disk, spool] = disks.map(Arc::new);
        let (solo, progress) = (Solo::start_as(AWAY), Arc::new(Progress::default()));
        let members = members(&leader.info);
        let gate = gate(AWAY, &NodeInfo::default(), &members);
        let ground = Ground {
            disk: disk.clone(),
            spool: spool.clone(),
            node: solo.handle(),
            local: Arc::new(Local::new(solo.handle().identity().clone(), NodeInfo::default(), gate, None)),
            stored: backups.map(|backups| Arc::new(Stored::new(backups))),
            floor: Floor { window, ..Floor::default() },
            progress: progress.clone(),
        };
        let (sender, ready) = mpsc::channel(1);
        let fetcher = Fetcher::start(ground, move |made| sender.try_send(made).expect("one at a time"));
        Self { solo, disk, spool, progress, fetcher, ready, members }
    }

    fn want(&self, at_least: u64) {
        self.fetcher.want(Index(at_least), &self.members);
    }

    /// Switches to what comes, and compares it with the leader's; the index of what came.
    async fn installed(&mut self, leader: &Leader) -> u64 {
        let ready = timeout(PATIENCE, self.ready.recv()).await.expect("in time").expect("the task runs");
        let Ready { switch, done } = ready;
        let (last, said) = (switch.manifest.last.index.0, switch.manifest.state_hash);
        switch.run(&*self.disk, self.solo.handle().store()).expect("no fault");
        self.solo.change(|brief| (brief.commit, brief.applied) = (Index(last), Index(last)));
        done.send(Installed::Yes).expect("the task waits");
        let (mine, theirs) = (self.solo.handle().store().state_hash(), leader.solo.handle().store().state_hash());
        assert_eq!(mine, (last, said));
        assert!(last < theirs.0 || mine == theirs, "{mine:?} {theirs:?}");
        last
    }

    fn totals(&self) -> Totals {
        self.progress.totals()
    }
}

/// The files of a snapshot's chunks in a directory, in the order that they are fetched in.
fn chunks(store: &Path, name: &SnapshotName) -> Vec<PathBuf> {
    let manifest = fs::read(store.join(name.object().as_str())).expect("it was written");
    let (_, manifest) = Manifest::decode(&manifest).expect("it is a manifest");
    let folder = store.join(format!("chunks/{CLUSTER:016x}"));
    let file = |digest: String| folder.join(&digest[..2]).join(digest);
    manifest.chunks.iter().map(|chunk| file(chunk.digest.to_string())).collect()
}

#[path = "sweep_tests.rs"]
mod sweep;

/// Bytes by objects, and by the leader.
fn served(totals: &Totals) -> (u64, u64) {
    (totals.fetched_bytes.of(SourceKind::Objects), totals.fetched_bytes.of(SourceKind::Leader))
}

#[tokio::test]
async fn all_comes_from_object_storage_and_the_leader_only_names_it() {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let name = leader.stage(&directory(folder.path()), |_| ()).await;
    let mut away = Away::start(&leader, Some(directory(folder.path())), PATIENCE);
    away.want(name.index.0 - 5);
    assert_eq!(away.installed(&leader).await, name.index.0);
    let totals = away.totals();
    let (objects, by_leader) = served(&totals);
    assert!(objects > 5_000_000 && by_leader == 0, "{totals:?}");
    assert_eq!((leader.server.sent_bytes(), totals.failures, totals.source_failures), (0, 0, Default::default()));
}

#[tokio::test]
async fn one_that_the_log_has_left_behind_is_not_taken() {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let name = leader.stage(&directory(folder.path()), |_| ()).await;
    let mut away = Away::start(&leader, Some(directory(folder.path())), PATIENCE);
    away.want(name.index.0 + 1);
    assert!(away.installed(&leader).await > name.index.0);
    let totals = away.totals();
    assert!(served(&totals).0 == 0 && served(&totals).1 > 5_000_000, "{totals:?}");
    assert_eq!(totals.source_failures, Default::default(), "that is no failure");
}

/// A trouble with a store that holds a snapshot.
async fn despite(trouble: impl FnOnce(&Path, &SnapshotName)) -> (Totals, u64, u64) {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let store = folder.path().join("store");
    let name = leader.stage(&directory(&store), |_| ()).await;
    trouble(&store, &name);
    let mut away = Away::start(&leader, Some(directory(&store)), PATIENCE);
    away.want(name.index.0);
    assert!(away.installed(&leader).await >= name.index.0);
    let totals = away.totals();
    assert_eq!(totals.source_failures.of(SourceKind::Objects), 1, "{totals:?}");
    assert_eq!(totals.failures, 0, "the next source was asked at once: {totals:?}");
    let (objects, by_leader) = served(&totals);
    assert!(objects + by_leader > 5_000_000 && by_leader > 0, "{totals:?}");
    (totals, objects, by_leader)
}

#[tokio::test]
async fn a_damaged_chunk_is_seen_and_the_leader_gives_it() {
    let (totals, objects, by_leader) = despite(|store, name| {
        let file = chunks(store, name).pop().expect("there are chunks");
        let mut bytes = fs::read(&file).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).expect("room");
    })
    .await;
    assert_eq!(totals.damaged, 1);
    assert!(objects > 0 && by_leader < 6_000_000, "what the store gave was of use: {totals:?}");
}

#[tokio::test]
async fn a_chunk_that_was_cut_short_or_is_missing_comes_from_the_leader() {
    let (totals, ..) = despite(|store, name| {
        let file = chunks(store, name).pop().expect("there are chunks");
        fs::write(&file, b"").expect("room");
    })
    .await;
    assert_eq!(totals.damaged, 1);
    let (totals, ..) = despite(|store, name| {
        chunks(store, name).iter().for_each(|file| fs::remove_file(file).expect("it was there"));
    })
    .await;
    assert_eq!((totals.damaged, served(&totals).0), (0, 0));
}

#[tokio::test]
async fn a_manifest_that_is_another_one_or_gone_is_not_used() {
    for remove in [false, true] {
        let (_, objects, _) = despite(|store, name| {
            let file = store.join(name.object().as_str());
            let mut bytes = fs::read(&file).expect("it was written");
            // The state hash: everything else of it is sound.
            bytes[48] ^= 1;
            if remove { fs::remove_file(&file).expect("it was there") } else { fs::write(&file, bytes).expect("room") }
        })
        .await;
        assert_eq!(objects, 0);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_costs_nothing_but_a_try() {
    let (_, objects, _) = despite(|store, _| {
        fs::remove_dir_all(store).expect("ours");
        fs::write(store, b"a file").expect("room");
    })
    .await;
    assert_eq!(objects, 0);
}

/// An S3 server with a snapshot of the leader in it.
async fn on_server(folder: &Path, leader: &Leader) -> (ObjectServer, Backups, SnapshotName) {
    let server = ObjectServer::start().await.expect("a server");
    ObjectServer::write_credentials(&folder.join("credentials")).expect("room");
    let location = format!("{}&credentials-file={}", server.location("p"), folder.join("credentials").display());
    let backups = Backups::on_demand(location.parse().expect("a location"));
    let name = leader.stage(&backups, |_| ()).await;
    (server, backups, name)
}

#[tokio::test]
async fn a_store_that_forbids_or_hangs_in_the_middle_is_left_and_what_it_gave_stays() {
    for (effect, window) in [(Effect::Refuse(403, "AccessDenied"), PATIENCE), (Effect::Hang, QUICK)] {
        let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
        let (server, backups, name) = on_server(folder.path(), &leader).await;
        server.faults().add(Trouble::new(effect).at("/chunks/").on(http::Method::GET).after(3));
        let mut away = Away::start(&leader, Some(backups), window);
        away.want(name.index.0);
        assert!(away.installed(&leader).await >= name.index.0);
        let totals = away.totals();
        let (objects, by_leader) = served(&totals);
        assert_eq!(totals.source_failures.of(SourceKind::Objects), 1, "{totals:?}");
        assert!(objects > 0 && by_leader > 0 && totals.resumed == 1, "{totals:?}");
    }
}

/// A file with this key.
fn key(folder: &Path, key: u8) -> KeyFile {
    let path = folder.join(format!("key-{key}"));
    fs::write(&path, format!("{key:064x}")).expect("room");
    KeyFile::open(&path).expect("a key")
}

/// An S3 server with an encrypted snapshot of the leader in it, and where a member with that key finds it.
async fn encrypted_on_server(folder: &Path, leader: &Leader) -> (ObjectServer, Backups, SnapshotName) {
    let server = ObjectServer::start().await.expect("a server");
    ObjectServer::write_credentials(&folder.join("credentials")).expect("room");
    let location = format!("{}&credentials-file={}", server.location("p"), folder.join("credentials").display());
    let plain = Backups::on_demand(location.parse().expect("a location"));
    let backups = Backups { keys: Some(key(folder, 1)), ..plain };
    let name = leader.stage(&backups, |_| ()).await;
    (server, backups, name)
}

#[tokio::test]
async fn an_encrypted_snapshot_is_installed_by_whoever_has_its_key() {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let (_server, backups, name) = encrypted_on_server(folder.path(), &leader).await;
    let mut away = Away::start(&leader, Some(backups), PATIENCE);
    away.want(name.index.0);
    assert_eq!(away.installed(&leader).await, name.index.0);
    let totals = away.totals();
    assert!(served(&totals).0 > 5_000_000 && served(&totals).1 == 0, "{totals:?}");
    assert_eq!((leader.server.sent_bytes(), totals.failures, totals.source_failures), (0, 0, Default::default()));
}

#[tokio::test]
async fn a_member_with_no_key_another_one_or_none_yet_installs_from_members() {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let (server, backups, name) = encrypted_on_server(folder.path(), &leader).await;
    for keys in [None, Some(key(folder.path(), 2)), Some(KeyFile::in_folder(&folder.path().join("later")))] {
        let mut away = Away::start(&leader, Some(Backups { keys, ..backups.clone() }), PATIENCE);
        away.want(name.index.0);
        assert!(away.installed(&leader).await >= name.index.0);
        let totals = away.totals();
        assert_eq!(totals.source_failures.of(SourceKind::Objects), 1, "{totals:?}");
        assert_eq!((totals.failures, served(&totals).0), (0, 0), "the next source was asked at once: {totals:?}");
    }
    assert_eq!(server.faults().seen(&http::Method::GET, "/chunks/"), 0, "nothing that cannot be read is fetched");
}

/// What the store gave before serves with what members give: both are the same chunks.
#[tokio::test]
async fn encrypted_chunks_that_are_damaged_cut_or_swapped_are_seen_and_members_give_the_rest() {
    let trouble: [fn(&[PathBuf]); 3] = [
        |chunks| {
            let mut bytes = fs::read(&chunks[0]).expect("it is there");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&chunks[0], bytes).expect("room");
        },
        |chunks| {
            let bytes = fs::read(&chunks[0]).expect("it is there");
            fs::write(&chunks[0], &bytes[..bytes.len() / 2]).expect("room");
        },
        |chunks| {
            fs::copy(&chunks[1], &chunks[0]).expect("room");
        },
    ];
    for spoil in trouble {
        let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
        let backups = Backups { keys: Some(key(folder.path(), 1)), ..directory(&folder.path().join("store")) };
        let name = leader.stage(&backups, |_| ()).await;
        let chunks = encrypted_chunks(&folder.path().join("store"), &backups, &name).await;
        spoil(&chunks);
        let mut away = Away::start(&leader, Some(backups), PATIENCE);
        away.want(name.index.0);
        assert!(away.installed(&leader).await >= name.index.0);
        let totals = away.totals();
        let (objects, by_leader) = served(&totals);
        assert_eq!((totals.damaged, totals.source_failures.of(SourceKind::Objects)), (1, 1), "{totals:?}");
        assert!(objects > 0 && by_leader > 0 && by_leader < 6_000_000, "what the store gave was of use: {totals:?}");
    }
}

/// The files of a snapshot's chunks, the last one that is fetched first.
async fn encrypted_chunks(store: &Path, backups: &Backups, name: &SnapshotName) -> Vec<PathBuf> {
    let objects = objects::open(&backups.store).await.expect("it opens");
    let opened = SnapshotStore::new(objects, backups.keys.clone()).open(name).await.expect("ours");
    let file = |chunk: &crate::snapshot::Chunk| store.join(opened.chunks.name_of(chunk));
    opened.manifest.chunks.iter().rev().map(file).collect()
}

#[tokio::test]
async fn a_newer_one_is_fetched_as_soon_as_the_log_has_left_this_one_behind() {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let (server, backups, name) = on_server(folder.path(), &leader).await;
    server.faults().add(Trouble::new(Effect::Hang).at("/chunks/").on(http::Method::GET).after(2));
    let mut away = Away::start(&leader, Some(backups.clone()), PATIENCE);
    away.want(name.index.0);
    while served(&away.totals()).0 == 0 {
        tokio::task::yield_now().await;
    }
    server.faults().clear();
    leader.write(60..62).await;
    let newer = leader.stage(&backups, |_| ()).await;
    away.want(newer.index.0);
    assert_eq!(away.installed(&leader).await, newer.index.0);
    let totals = away.totals();
    assert_eq!((totals.failures, totals.source_failures, served(&totals).1), (0, Default::default(), 0), "{totals:?}");
}

#[tokio::test]
async fn one_that_arrives_whole_and_makes_no_state_is_not_fetched_again() {
    let (folder, leader) = (tempfile::tempdir().expect("room"), Leader::start().await);
    let name = leader.stage(&directory(folder.path()), |manifest| manifest.state_hash ^= 1).await;
    let mut away = Away::start(&leader, Some(directory(folder.path())), PATIENCE);
    away.want(name.index.0);
    assert!(away.installed(&leader).await >= name.index.0);
    let totals = away.totals();
    assert_eq!((totals.failures, totals.source_failures.of(SourceKind::Objects)), (1, 1), "{totals:?}");
    assert!(served(&totals).0 > 0 && served(&totals).1 > 0, "{totals:?}");
}

#[tokio::test]
async fn without_a_store_members_are_the_sources() {
    let leader = Leader::start().await;
    let mut away = Away::start(&leader, None, PATIENCE);
    away.want(leader.applied());
    away.installed(&leader).await;
    assert!(served(&away.totals()).1 > 5_000_000);
    assert!(leader.server.sent_bytes() > 5_000_000);
}
