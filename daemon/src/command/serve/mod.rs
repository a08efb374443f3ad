//! `quorate serve`, and `etcd`: one member, from its settings to its end.
//!
//! ```text
//!   load ─▶ telemetry ─▶ sockets ─▶ recovery ─▶ store ─▶ node ─▶ ports ─▶ ready ─▶ a signal, or the node's own end ─▶ stop
//! ```
//!
//! * What the settings ask for and the machine refuses (a port, a file, a directory) is found before the member joins
//!   its cluster.
//! * A stop is bounded (`deadline`): leadership is handed over while the ports let go of their clients, and the process
//!   ends with the code that tells a supervisor whether starting it again can help.

mod deadline;
mod lifeline;
mod ports;
mod ready;

use super::{print, whole};
use crate::bootstrap;
use crate::config::{self, Checked, Mode, Settings, Wanted};
use crate::disk::{Disk, Patience, PatientDisk, RealDisk};
use crate::etcd::API_VERSION;
use crate::install::{self, Intent};
use crate::node::{self, Parts, StartError, Stop};
use crate::recovery;
use crate::store::{self, RedbBackend};
use crate::telemetry::Telemetry;
use anyhow::{Context, anyhow};
use mvcc::Store;
use ports::{Ports, Sockets};
use std::env;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// On this many cores the write-ahead log and the state machine, which have threads of their own, need what a second
/// worker of the runtime would take from them.
const CORES_FOR_ONE_WORKER: usize = 2;
/// What the runtime may still do when the member has stopped: nothing of it matters to the disk.
const RUNTIME_SHUTDOWN_MAX: Duration = Duration::from_millis(100);

/// The arguments as text.
///
/// # Errors
/// One of them is not UTF-8.
pub(super) fn flags(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Vec<String>> {
    let text = |argument: OsString| argument.into_string().map_err(|raw| anyhow!("{raw:?} is not UTF-8"));
    arguments.map(text).collect()
}

/// Runs a member until it is told to stop.
pub(super) fn run(mode: Mode, flags: &[String]) -> anyhow::Result<ExitCode> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let formed = &bootstrap::is_formed;
    match config::load(mode, flags, env::vars_os().filter_map(text), formed)? {
        Wanted::Help(text) => print(&text),
        Wanted::Version => print(&version(mode)),
        Wanted::Run(checked) => return start(*checked),
    }
    Ok(ExitCode::SUCCESS)
}

/// etcd's tools read its first line.
fn version(mode: Mode) -> String {
    let own = env!("CARGO_PKG_VERSION");
    match mode {
        Mode::Quorate => format!("quorate {own}\netcd API {API_VERSION}\n"),
        Mode::Etcd => format!("etcd Version: {API_VERSION}\nQuorate Version: {own}\n"),
    }
}

fn start(checked: Checked) -> anyhow::Result<ExitCode> {
    lifeline::tie();
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let telemetry = Telemetry::start(&checked.settings.log, checked.settings.tracing.as_ref())?;
        let code = tell(member(checked).await);
        telemetry.shutdown().await;
        anyhow::Ok(code)
    });
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_MAX);
    code
}

fn runtime() -> anyhow::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder =
        if cores <= CORES_FOR_ONE_WORKER { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().thread_name("quorate").build().context("cannot start the runtime")
}

/// The last line, and the code that goes with it.
fn tell(ended: anyhow::Result<Stop>) -> ExitCode {
    match ended {
        Ok(Stop::Asked) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Ok(stop @ Stop::Recovering) => {
            warn!(reason = %stop, "stopped");
            ExitCode::from(stop.exit_code())
        }
        Ok(stop) => {
            error!(reason = %stop, "stopped by itself");
            ExitCode::from(stop.exit_code())
        }
        Err(problem) => {
            error!(error = whole(&problem), "could not start");
            problem.downcast_ref::<StartError>().map_or(ExitCode::FAILURE, |error| ExitCode::from(error.exit_code()))
        }
    }
}

async fn member(checked: Checked) -> anyhow::Result<Stop> {
    let Checked { settings, notes } = checked;
    introduce(&settings, &notes);
    let mut signals = Signals::new()?;
    let sockets = Sockets::bind(&settings)?;
    // Held to the end: a member that is still stopping must not meet its successor.
    let Opened { store, disk, patience, intent } = open_store(&settings).await?;
    let parts = Parts { settings: settings.clone(), store, disk: Arc::new(disk.clone()), patience, intent };
    let starting = async { anyhow::Ok(node::start(parts).await?) };
    let mut running = tokio::select! {
        running = starting => running?,
        () = signals.next() => return Ok(Stop::Asked),
    };
    let ports = Ports::open(sockets, &settings, &running)?;
    let announced = tokio::spawn(ready::announce(running.handle().clone()));
    let ended = tokio::select! {
        ended = running.ended() => Some(ended),
        () = signals.next() => None,
    };
    announced.abort();
    match ended {
        Some(stop) => {
            ports.close().await;
            Ok(stop)
        }
        // Leadership is handed over while the ports let go of their clients.
        None => Ok(tokio::join!(ports.close(), running.stop()).1),
    }
}

fn introduce(settings: &Settings, notes: &[String]) {
    let urls = |urls: &[config::Address]| urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    info!(
        version = env!("CARGO_PKG_VERSION"),
        name = settings.name,
        data_dir = %settings.data_dir.display(),
        listen_client_urls = urls(&settings.listen.client),
        listen_peer_urls = urls(&settings.listen.peer),
        advertise_client_urls = urls(&settings.advertise.client),
        initial_advertise_peer_urls = urls(&settings.advertise.peer),
        "starting a member"
    );
    notes.iter().for_each(|note| warn!("{note}"));
}

/// The state machine, as this member's disk gives it back, and the disk: the data directory is ours while it is open.
struct Opened {
    store: Arc<Store>,
    disk: PatientDisk,
    patience: Arc<Patience>,
    intent: Option<Intent>,
}

async fn open_store(settings: &Settings) -> anyhow::Result<Opened> {
    let settings = settings.clone();
    let open = move || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&settings.data_dir)?);
        recover(&settings, &disk)?;
        let patience = Arc::new(Patience::default());
        let disk = PatientDisk::new(disk, patience.clone(), install::NEXT_FILE);
        let intent = install::recover_state(&disk)?;
        let backend = RedbBackend::open(&disk, store::Options::default())?;
        let store = Arc::new(Store::open(Arc::new(backend))?);
        Ok::<_, StartError>(Opened { store, disk, patience, intent })
    };
    Ok(tokio::task::spawn_blocking(open).await??)
}

/// Makes a new cluster of what is here, if that is due.
fn recover(settings: &Settings, data: &Arc<dyn Disk>) -> Result<(), StartError> {
    let open = || RealDisk::open(&node::log_directory(settings)).map(|disk| Arc::new(disk) as Arc<dyn Disk>);
    let options = node::log_options(settings)?;
    recovery::carry_out(settings, data, &recovery::Log { open: &open, options })
}

/// What tells a process to end.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "asked to stop");
        deadline::set();
    }
}
