//! Building a member: claim, identity, peer port, log, engine, loop; and taking it down again in the other order.

use super::applier::{Applying, State};
use super::clock::Clock;
use super::completion::Completion;
use super::doors::{Doors, LogDoor};
use super::follow::{Company, known_cluster};
use super::log::{LogThreads, Telling};
use super::open_log::{log_directory, log_options, open_log, random};
use super::retention::Retention;
use super::shared::Shared;
use super::turn::{self, Node};
use super::{Handle, Inbox, StartError, Stop, compactor, promote, quota};
use crate::bootstrap::{Admitted, BootstrapError, Formatted, Identity, LogStart, heed_restored};
use crate::config::Settings;
use crate::disk::{Disk, Patience, RealDisk};
use crate::install::{Fetcher, Floor, Ground, Intent, Limits, Progress, Server, finish_switch};
use crate::metrics::{BackupCollector, MemberCollector, Stages};
use crate::recovery::Desk;
use crate::stage::{self, Stored};
use crate::tls::{ClientTls, InUse, ServerTls, TlsProblem};
use crate::transport::{ALPN_PEERS, Directory, Listener, ListenerStats, Local, PeerSockets, Peers};
use crate::wal::Recovered;
use admin_api::Id;
use mvcc::{Body, PublishedMember, Store};
use prometheus::Registry;
use raft::{Config, Index, Now, Raft};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a stop waits for another member to take the lead.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);
/// Where snapshots are kept while they are fetched, in the data directory.
const SPOOL_DIRECTORY: &str = "install";
/// The pause before what a member publishes of itself is tried again.
const PUBLISH_PAUSE: Duration = Duration::from_millis(500);

/// What a member is built from. The data directory is claimed by this process.
pub struct Parts {
    /// What is true.
    pub settings: Settings,
    /// The state machine, as its disk gives it back.
    pub store: Arc<Store>,
    /// The data directory: of files whose writes wait for room.
    pub disk: Arc<dyn Disk>,
    /// How they wait.
    pub patience: Arc<Patience>,
    /// An install that was begun before the last stop: see [`crate::install`].
    pub intent: Option<Intent>,
}

/// A member that runs.
pub struct Running {
    handle: Handle,
    stop: CancellationToken,
    ended: JoinHandle<Stop>,
    helpers: Vec<JoinHandle<()>>,
    directory: Arc<Directory>,
    listener: Arc<ListenerStats>,
    stages: Arc<Stages>,
    staging: Arc<stage::Report>,
    tls: PeerTls,
    quota_bytes: Option<u64>,
    desk: Desk,
}

/// Starts a member. Returns once its engine runs, which for the members of a new cluster is when all of them have
/// been heard; a leader may not be elected yet.
///
/// # Errors
/// [`StartError`].
pub async fn start(parts: Parts) -> Result<Running, StartError> {
    let Parts { mut settings, store, disk, patience, intent } = parts;
    heed_restored(&mut settings)?;
    let formatted = Formatted::open(&settings)?;
    let gate = Arc::new(formatted.gate());
    let tls = PeerTls::new(&settings)?;
    let inbox = Arc::new(Inbox::default());
    let (directory, listener_stats) = (Arc::new(Directory::default()), Arc::new(ListenerStats::default()));
    let snapshots = Arc::new(OnceLock::new());
    let sockets = PeerSockets::bind(&settings.listen.peer)?;
    let listener = Arc::new(Listener {
        gate: gate.clone(),
        tls: tls.server.clone(),
        inbox: inbox.clone(),
        directory: directory.clone(),
        stats: listener_stats.clone(),
        snapshots: snapshots.clone(),
    });
    let listening = AbortOnDrop(tokio::spawn(listener.run(sockets)));
    let mut admitted = formatted.admit(&settings, &gate, tls.client.as_ref()).await?;
    let stages = Arc::new(Stages::new());
    let begun = intent.is_some();
    let (engine, log) = open_engine(&settings, &mut admitted, &store, intent, (&inbox, &stages)).await?;
    if begun {
        finish_switch(&*disk)?;
        info!("finished an install that was begun before the last stop");
    }
    let identity = admitted.identity.clone();
    let company = match &admitted.log {
        LogStart::Joined(known) => Company::of(known),
        LogStart::Founded(_) | LogStart::Restored(..) | LogStart::Recovered(..) | LogStart::Exists => {
            Company::default()
        }
    };
    let known = known_cluster(identity.cluster, &engine.raft);
    admitted.refuse_wrong_place(&settings, &known, &gate, tls.client.as_ref()).await?;
    let desk = Desk::new(admitted.place().clone(), admitted.recovered().cloned());
    gate.open(Id(identity.member.0), known);
    info!(member = %Id(identity.member.0), cluster = %identity.cluster, boot = identity.boot, "starting");

    let shared = Arc::new(Shared::new(identity.clone(), store.clone(), inbox.clone()));
    let local = Arc::new(Local::new(identity.clone(), admitted.info.clone(), gate.clone(), tls.client.clone()));
    let peers = Peers::new(local.clone(), inbox.clone(), directory.clone());
    let server = snapshots.get_or_init(|| server(&settings, &shared)).clone();
    let progress = Arc::new(Progress::default());
    let fetcher = start_fetcher(&settings, &disk, &shared, local, &progress)?;
    let applying = Applying::start(identity.member, State { store, disk, patience }, inbox, stages.clone())?;
    let clock = engine.clock;
    let node = Node::new(turn::Parts {
        raft: engine.raft,
        now: engine.now,
        shared: shared.clone(),
        gate,
        peers,
        company,
        doors: Doors { log, store: Box::new(applying), fetcher: Box::new(fetcher), witness: None },
        stages: stages.clone(),
        progress,
        snapshots: server,
        election: settings.timing.election,
        retention: Retention::new(settings.snapshot),
        uses_object_store: settings.backups.is_some(),
    });
    let (stop, handle) = (CancellationToken::new(), Handle::new(shared));
    let ended = tokio::spawn(run(node, clock, stop.clone(), listening));
    let (quota_bytes, staging) = (settings.limits.quota_bytes, Arc::new(stage::Report::default()));
    let helpers = start_helpers(&handle, settings, &staging);
    let listener = listener_stats;
    Ok(Running { handle, stop, ended, helpers, directory, listener, stages, staging, tls, quota_bytes, desk })
}

/// The task that fetches snapshots. What it has made ready it tells the loop.
fn start_fetcher(
    settings: &Settings,
    disk: &Arc<dyn Disk>,
    shared: &Arc<Shared>,
    local: Arc<Local>,
    progress: &Arc<Progress>,
) -> Result<Fetcher, StartError> {
    let spool = RealDisk::open(&settings.data_dir.join(SPOOL_DIRECTORY)).map_err(StartError::Spool)?;
    let ground = Ground {
        disk: disk.clone(),
        spool: Arc::new(spool),
        node: Handle::new(shared.clone()),
        local,
        stored: settings.backups.clone().map(|backups| Arc::new(Stored::new(backups))),
        floor: Floor::default(),
        progress: progress.clone(),
    };
    let inbox = shared.inbox().clone();
    Ok(Fetcher::start(ground, move |ready| inbox.complete(Completion::Snapshot(Box::new(ready)))))
}

/// The loop until it ends, and then what it leaves: peers are not listened to any more, store and log are closed.
async fn run(node: Node, clock: Clock, stop: CancellationToken, listening: AbortOnDrop) -> Stop {
    let (reason, log, store) = node.run(clock, stop).await;
    drop(listening);
    // Both finish what is queued; they may wait for the disk.
    let closing = tokio::task::spawn_blocking(move || {
        drop(store);
        log.close();
    });
    closing.await.ok();
    reason
}

/// The tasks that use a member as its clients do.
fn start_helpers(handle: &Handle, settings: Settings, staging: &Arc<stage::Report>) -> Vec<JoinHandle<()>> {
    let (quota_bytes, backups) = (settings.limits.quota_bytes, settings.backups.clone());
    let mut helpers = vec![
        tokio::spawn(compactor::run(handle.clone(), settings.auto_compaction)),
        tokio::spawn(promote::watch(handle.clone())),
        tokio::spawn(publish(handle.clone(), settings)),
    ];
    helpers.extend(quota_bytes.map(|bytes| tokio::spawn(quota::watch(handle.clone(), bytes))));
    helpers.extend(backups.map(|backups| tokio::spawn(stage::run(handle.clone(), backups, staging.clone()))));
    helpers
}

impl Running {
    /// The door to it.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Puts everything that can be measured about it into a registry.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.stages.register(registry)?;
        let (directory, listener) = (self.directory.clone(), self.listener.clone());
        let (node, recovered) = (self.handle.clone(), self.desk.recovered().cloned());
        let collector = MemberCollector::new(node, directory, listener, (self.quota_bytes, recovered));
        registry.register(Box::new(collector))?;
        registry.register(Box::new(BackupCollector::new(self.handle.clone(), self.staging.clone())))
    }

    /// Its certificates, with those of the ports that clients reach.
    #[must_use]
    pub fn certificates(&self, clients: Vec<ServerTls>) -> InUse {
        InUse::new(clients, (self.tls.server.clone(), self.tls.client.clone()))
    }

    /// Where it takes requests to recover a lost quorum.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// What is seen of staging.
    #[must_use]
    pub fn staging(&self) -> &Arc<stage::Report> {
        &self.staging
    }

    /// Waits until it stops by itself: removed, replaced, or failed.
    pub async fn ended(&mut self) -> Stop {
        (&mut self.ended).await.unwrap_or_else(|error| Stop::Failed(format!("the node's loop: {error}")))
    }

    /// Stops in good order: hands leadership over if it leads, then ends the links, then what is queued is written.
    pub async fn stop(mut self) -> Stop {
        let others = self.handle.members().members.iter().filter(|member| !member.learner).count() > 1;
        if self.handle.status().is_leader() && others {
            match tokio::time::timeout(HAND_OVER_MAX, self.handle.transfer_leader(None)).await {
                Ok(Ok(leader)) => info!(leader = %Id(leader.0), "handed leadership over"),
                Ok(Err(error)) => warn!(%error, "could not hand leadership over"),
                Err(_) => warn!("leadership was not taken over in time"),
            }
        }
        self.stop.cancel();
        self.ended().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.helpers.iter().for_each(JoinHandle::abort);
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone)]
struct PeerTls {
    server: Option<ServerTls>,
    client: Option<ClientTls>,
}

impl PeerTls {
    fn new(settings: &Settings) -> Result<Self, TlsProblem> {
        let tls = settings.peer_tls.as_ref();
        Ok(Self {
            server: tls.map(|tls| ServerTls::new(tls, ALPN_PEERS)).transpose()?,
            client: tls.map(|tls| ClientTls::new(tls, ALPN_PEERS)).transpose()?,
        })
    }
}

/// Who gives snapshots to other members.
fn server(settings: &Settings, shared: &Arc<Shared>) -> Arc<Server> {
    let limits = Limits { bytes_per_second: settings.snapshot.send_bytes_per_second };
    Server::new(Handle::new(shared.clone()), limits)
}

/// The engine, as its log remembers it.
struct Engine {
    raft: Raft,
    clock: Clock,
    now: Now,
}

async fn open_engine(
    settings: &Settings,
    admitted: &mut Admitted,
    store: &Arc<Store>,
    intent: Option<Intent>,
    (inbox, stages): (&Arc<Inbox>, &Arc<Stages>),
) -> Result<(Engine, Box<dyn LogDoor>), StartError> {
    let applied = Index(store.applied());
    if let Some(last) = intent.as_ref().map(Intent::last).filter(|last| last.index > applied) {
        return Err(StartError::StoreBehind { applied, start: last });
    }
    let (identity, log_start) = (admitted.identity.clone(), admitted.log.clone());
    let (path, options) = (log_directory(settings), log_options(settings)?);
    let opened = tokio::task::spawn_blocking(move || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&path)?);
        open_log(&disk, &identity, &log_start, &options, intent)
    });
    let Recovered { remembered, report, wal } = opened.await.map_err(io::Error::other)??;
    info!(?report, "opened the log");
    admitted.log_created()?;
    let reader = wal.reader();
    let telling = Telling { inbox: inbox.clone(), stages: stages.clone() };
    let log = LogThreads { writer: wal.start(Box::new(telling))?, reader, inbox: inbox.clone() };
    if applied > remembered.last.index {
        return Err(StartError::StoreAhead { applied, last: remembered.last });
    }
    if applied < remembered.start.index {
        return Err(StartError::StoreBehind { applied, start: remembered.start });
    }
    let clock = Clock::start();
    let now = clock.now();
    let boot = remembered.into_boot(applied)?;
    let raft = Raft::new(raft_config(settings, &admitted.identity)?, boot, now);
    Ok((Engine { raft, clock, now }, Box::new(log)))
}

/// Recent entries in memory: what a follower that is a moment behind still finds there. More of it would be read back
/// from the log's disk, mostly from the page cache.
const LOG_CACHE_BYTES: u64 = 16 << 20;

fn raft_config(settings: &Settings, identity: &Identity) -> Result<Config, BootstrapError> {
    let mut config = Config::new(identity.member, random()?);
    config.heartbeat = settings.timing.heartbeat;
    config.election = settings.timing.election;
    config.cache_bytes_max = LOG_CACHE_BYTES;
    Ok(config)
}

/// Tells the cluster this member's name and client URLs, until it has heard.
async fn publish(handle: Handle, settings: Settings) {
    let me = PublishedMember {
        id: handle.identity().member.0,
        name: settings.name,
        client_urls: settings.advertise.client.iter().map(ToString::to_string).collect(),
    };
    while !handle.store().members().contains(&me) {
        match handle.propose(Body::PublishMember(me.clone())).await {
            Ok(_) => info!(name = me.name, urls = ?me.client_urls, "published to the cluster"),
            Err(super::ProposeFailure::Stopped) => return,
            Err(error) => {
                warn!(%error, "could not publish this member's name and URLs, will try again");
                tokio::time::sleep(PUBLISH_PAUSE).await;
            }
        }
    }
}
