//! Members in one process: real sockets on loopback, real logs in temporary directories.

use super::{Handle, Parts, Running, Stop, start};
use crate::bootstrap::{BootstrapError, NodeInfo, new_member_id};
use crate::config::{Mode, Settings, Wanted, load};
use crate::disk::SimDisk;
use crate::metrics;
use crate::node::StartError;
use admin_api::Id;
use mvcc::{Body, KeyRange, MemoryBackend, Put, RangeRequest, Store};
use prometheus::Registry;
use raft::{Change, MemberId};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for a busy machine; every wait below ends much earlier.
const PATIENCE: Duration = Duration::from_secs(30);

/// Members that know each other's addresses.
struct Cluster {
    directory: TempDir,
    ports: Vec<u16>,
}

impl Cluster {
    fn new(members: usize) -> Self {
        Self { directory: TempDir::new().unwrap(), ports: free_ports(members) }
    }

    fn data_dir(&self, at: usize) -> PathBuf {
        self.directory.path().join(format!("m{at}"))
    }

    fn initial(&self, members: usize) -> String {
        let one = |at: usize| format!("m{at}=http://127.0.0.1:{}", self.ports[at]);
        (0..members).map(one).collect::<Vec<_>>().join(",")
    }

    fn settings(&self, at: usize, initial: &str, state: &str) -> Settings {
        let peer = format!("http://127.0.0.1:{}", self.ports[at]);
        settings(&self.data_dir(at), &format!("m{at}"), &peer, initial, state)
    }

    async fn start(&self, at: usize) -> Running {
        self.try_start(at).await.unwrap()
    }

    async fn try_start(&self, at: usize) -> Result<Running, StartError> {
        let members = self.ports.len();
        start(parts(self.settings(at, &self.initial(members), "new"))).await
    }

    async fn start_all(&self) -> Vec<Running> {
        futures::future::join_all((0..self.ports.len()).map(|at| self.start(at))).await
    }
}

fn settings(data_dir: &Path, name: &str, peer: &str, initial: &str, state: &str) -> Settings {
    std::fs::create_dir_all(data_dir).unwrap();
    let flags = [
        ("name", name),
        ("data-dir", data_dir.to_str().unwrap()),
        ("listen-peer-urls", peer),
        ("initial-advertise-peer-urls", peer),
        ("listen-client-urls", "http://127.0.0.1:1"),
        ("advertise-client-urls", "http://127.0.0.1:1"),
        ("initial-cluster", initial),
        ("initial-cluster-state", state),
        ("heartbeat-interval", "30"),
        ("election-timeout", "300"),
    ];
    let arguments: Vec<String> = flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
    match load(Mode::Etcd, &arguments, std::iter::empty(), &|_| false).unwrap() {
        Wanted::Run(checked) => checked.settings,
        other => panic!("{other:?}"),
    }
}

fn parts(settings: Settings) -> Parts {
    let store = Arc::new(Store::open(Arc::new(MemoryBackend::default())).unwrap());
    Parts { settings, store, disk: Arc::new(SimDisk::new()), patience: Arc::default(), intent: None }
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
}

fn put(key: &str, value: &str) -> Body {
    Body::Put(Put { key: key.to_owned().into(), value: value.to_owned().into(), ..Put::default() })
}

async fn get(handle: &Handle, key: &str) -> Option<String> {
    handle.linearize().await.unwrap();
    let request = RangeRequest { range: KeyRange::one(key.to_owned()), ..RangeRequest::default() };
    let found = handle.store().range(&request).unwrap();
    found.kvs.first().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

/// One write, which is never tried again here: the node does what can be done.
async fn write(handle: &Handle, key: &str, value: &str) {
    handle.propose(put(key, value)).await.unwrap().outcome.unwrap();
}

async fn leader(members: &[Running]) -> usize {
    eventually(|| members.iter().position(|member| member.handle().status().is_leader())).await
}

async fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    eventually_asked(async || look()).await
}

/// Whoever leads has heard that this member has everything: it may be behind in that after the member itself shows it.
async fn caught_up(members: &[Running], id: MemberId) {
    eventually_asked(async || {
        let leading = members.iter().find(|member| member.handle().status().is_leader())?;
        let followers = leading.handle().inspect().await?.raft.followers;
        followers.iter().any(|follower| follower.member == id && follower.lag.entries == 0).then_some(())
    })
    .await;
}

async fn eventually_asked<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "it did not come about in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_member_forms_a_cluster_at_once_and_remembers_after_a_restart() {
    let cluster = Cluster::new(1);
    let member = cluster.start(0).await;
    let identity = member.handle().identity().clone();
    write(member.handle(), "key", "value").await;
    assert_eq!(get(member.handle(), "key").await.as_deref(), Some("value"));
    assert_eq!(member.stop().await, Stop::Asked);

    let member = cluster.start(0).await;
    assert_eq!(get(member.handle(), "key").await.as_deref(), Some("value"));
    let again = member.handle().identity().clone();
    assert_eq!((again.cluster, again.member, again.storage), (identity.cluster, identity.member, identity.storage));
    assert_eq!(again.boot, identity.boot + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_write_and_read_through_any_of_them_and_go_on_without_their_leader() {
    let cluster = Cluster::new(3);
    let mut members = cluster.start_all().await;
    let clusters: Vec<_> = members.iter().map(|member| member.handle().identity().cluster).collect();
    assert!(clusters.iter().all(|id| *id == clusters[0]), "all formed the same: {clusters:?}");
    for (at, member) in members.iter().enumerate() {
        write(member.handle(), &format!("from{at}"), "value").await;
    }
    for member in &members {
        for at in 0..3 {
            assert_eq!(get(member.handle(), &format!("from{at}")).await.as_deref(), Some("value"));
        }
    }

    // Nothing is handed over: as if its process had been killed.
    drop(members.remove(leader(&members).await));
    let since = Instant::now();
    write(members[0].handle(), "after", "loss").await;
    assert!(since.elapsed() < Duration::from_secs(5), "an election, not a timeout: {:?}", since.elapsed());
    assert_eq!(get(members[1].handle(), "after").await.as_deref(), Some("loss"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_every_member_each_hear_of_their_own_write() {
    let cluster = Cluster::new(3);
    let members = cluster.start_all().await;
    write(members[0].handle(), "ready", "yes").await;
    let clients = (0..60).map(|client| {
        let handle = members[client % 3].handle().clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let key = format!("{client}/{n}");
                write(&handle, &key, &key).await;
                assert_eq!(get(&handle, &key).await.as_deref(), Some(&key[..]));
            }
        })
    });
    for client in futures::future::join_all(clients).await {
        client.unwrap();
    }
    let hashes = || members.iter().map(|member| member.handle().store().state_hash()).collect::<Vec<_>>();
    eventually(|| hashes().iter().all(|hash| *hash == hashes()[0]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hands_leadership_over_within_its_time() {
    let cluster = Cluster::new(3);
    let mut members = cluster.start_all().await;
    write(members[0].handle(), "key", "value").await;
    let stopping = members.remove(leader(&members).await);
    let since = Instant::now();
    assert_eq!(stopping.stop().await, Stop::Asked);
    assert!(since.elapsed() < Duration::from_millis(1500), "took {:?}", since.elapsed());
    assert!(members.iter().any(|member| member.handle().status().is_leader()), "somebody leads already");
    write(members[0].handle(), "key", "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_added_promoted_and_removed_through_a_follower() {
    let cluster = Cluster::new(4);
    let mut members = Vec::new();
    for at in futures::future::join_all((0..3).map(|at| {
        let settings = cluster.settings(at, &cluster.initial(3), "new");
        async move { start(parts(settings)).await.unwrap() }
    }))
    .await
    {
        members.push(at);
    }
    write(members[0].handle(), "before", "joining").await;
    let follower = (leader(&members).await + 1) % 3;
    let handle = members[follower].handle().clone();
    let (id, url) = (MemberId(new_member_id().unwrap().0), format!("http://127.0.0.1:{}", cluster.ports[3]));
    let info = NodeInfo { peer_urls: vec![url], ..NodeInfo::default() };
    let at = handle.members().at;
    handle.change_membership(Some(at), vec![Change::AddLearner(id, info.encode())]).await.unwrap();

    let joining = start(parts(cluster.settings(3, &cluster.initial(4), "existing"))).await.unwrap();
    assert_eq!(joining.handle().identity().member, id);
    assert_eq!(get(joining.handle(), "before").await.as_deref(), Some("joining"));
    assert!(joining.handle().status().is_learner());
    caught_up(&members, id).await;
    handle.change_membership(None, vec![Change::Promote(id)]).await.unwrap();
    eventually(|| (!joining.handle().status().is_learner()).then_some(())).await;
    write(joining.handle(), "from", "the new one").await;

    let mut joining = joining;
    handle.change_membership(None, vec![Change::Remove(id)]).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, joining.ended()).await.unwrap();
    assert_eq!(ended, Stop::Removed);
    drop(joining);
    let refused = start(parts(cluster.settings(3, &cluster.initial(4), "existing"))).await;
    let mut again = refused.unwrap();
    let ended = tokio::time::timeout(PATIENCE, again.ended()).await.unwrap();
    assert_eq!(ended, Stop::Removed, "its id never returns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_disk_is_refused_and_so_is_another_name() {
    let cluster = Cluster::new(3);
    let mut members = cluster.start_all().await;
    write(members[0].handle(), "key", "value").await;
    members.pop().unwrap().stop().await;
    let renamed = Settings { name: "other".into(), ..cluster.settings(2, &cluster.initial(3), "new") };
    let refused = start(parts(renamed)).await.err().unwrap();
    assert_eq!(refused.to_string(), "the data directory belongs to member \"m2\", and the name given is \"other\"");

    std::fs::remove_dir_all(cluster.data_dir(2)).unwrap();
    let refused = cluster.try_start(2).await.err().unwrap();
    assert!(matches!(refused, StartError::Bootstrap(BootstrapError::DiskReplaced)), "{refused}");
    assert_eq!(refused.exit_code(), crate::bootstrap::EXIT_DISK_REPLACED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_missing_under_a_known_identity_is_refused() {
    let cluster = Cluster::new(1);
    let member = cluster.start(0).await;
    write(member.handle(), "key", "value").await;
    member.stop().await;
    std::fs::remove_dir_all(cluster.data_dir(0).join("wal")).unwrap();
    let refused = cluster.try_start(0).await.err().unwrap();
    assert_eq!(refused.exit_code(), crate::bootstrap::EXIT_DISK_REPLACED, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_shows_every_followers_lag_until_it_has_left() {
    let cluster = Cluster::new(3);
    let mut members = cluster.start_all().await;
    write(members[0].handle(), "key", "value").await;
    let at = leader(&members).await;
    let leading = members.remove(at);
    let registry = Registry::new();
    leading.register(&registry).unwrap();
    let lag = async |id: MemberId| {
        let page = metrics::gather(leading.handle(), &registry).await.unwrap();
        let series = format!("quorate_follower_lag_entries{{member=\"{}\"", Id(id.0));
        page.lines().find(|line| line.starts_with(&series)).map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    let gone = members.pop().unwrap();
    let id = gone.handle().identity().member;
    gone.stop().await;
    write(leading.handle(), "while", "one is away").await;
    let behind: u64 = lag(id).await.expect("a follower that is away is shown").parse().unwrap();
    assert!(behind >= 1, "{behind}");
    assert_eq!(lag(leading.handle().identity().member).await, None, "the leader is no follower");
    let page = metrics::gather(leading.handle(), &registry).await.unwrap();
    for reason in ["rejected", "disconnected", "stalled", "log_compacted", "log_unreadable", "regressed"] {
        let begins = |line: &&str| line.starts_with("quorate_stream_resets_total{");
        let named = page.lines().filter(begins).filter(|line| line.contains(&format!("reason=\"{reason}\"")));
        assert_eq!(named.count(), 2, "{reason} has a series for each follower, whether it came about or not:\n{page}");
    }

    leading.handle().change_membership(None, vec![Change::Remove(id)]).await.unwrap();
    assert_eq!(lag(id).await, None, "one page after it has left its series are gone");
    let page = metrics::gather(leading.handle(), &registry).await.unwrap();
    for name in [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader 1",
        "etcd_disk_wal_fsync_duration_seconds_count",
        "etcd_network_peer_sent_bytes_total{To=",
        "etcd_mvcc_db_total_size_in_bytes",
        "process_resident_memory_bytes",
        "quorate_propose_commit_seconds_count",
    ] {
        assert!(page.contains(name), "{name} is missing from\n{page}");
    }
}
