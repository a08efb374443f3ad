//! A Kubernetes cluster for tests: kind, with one control plane and four workers in three zones.
//!
//! ```text
//!   KUBECONFIG given            that cluster, and nothing else is touched
//!   a Docker that answers       kind as it comes
//!   root on Debian, with Go     kind, with an engine and a node image made from packages (own/)
//! ```
//!
//! ```text
//!   state     what is on this machine: a folder, a record, a lock          command   programs with a deadline
//!   steps     what a start says                                            programs  built from Go modules
//!   create    kind create, bounded, with logs                              servers/  S3, Prometheus
//! ```
//!
//! * Only one cluster per machine. What a run that was killed left is cleared before the next starts.
//! * Everything ours bears our name; nothing else is ever ended or removed.

pub mod command;
mod create;
mod own;
pub mod programs;
pub mod servers;
pub mod state;
mod steps;

use crate::peer;
use anyhow::{Context, Result, bail, ensure};
use command::{output, succeeds};
use state::{Engine, Lock, NAME, Phase, Process, Record, State};
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};
use steps::step;

/// A hundred megabytes into five nodes take seconds.
const LOADED_WITHIN: Duration = Duration::from_secs(180);
/// Five nodes join within 40 s on two idle cores.
const READY_WITHIN: Duration = Duration::from_secs(240);

/// A cluster that answers.
#[derive(Clone, Debug)]
pub struct Cluster {
    record: Option<Record>,
    kubeconfig: PathBuf,
}

/// Why this machine cannot run a cluster, if so: nothing is wrong with the tree then.
#[must_use]
pub fn impossible() -> Option<String> {
    if given().is_some() || docker_answers() { None } else { own::impossible() }
}

/// Brings a cluster up, or finds the one that is; it stays until [`down`].
///
/// # Errors
/// When it cannot; what was begun is removed, and the error says where the logs are.
pub fn up() -> Result<Cluster> {
    if let Some(given) = given() {
        return Ok(given);
    }
    let state = State::open()?;
    let _lock = state.lock()?;
    ensure_up(&state, None)
}

/// Takes down the cluster that [`up`] brought up, and whatever a run that was killed left.
///
/// # Errors
/// When something cannot be ended or removed.
pub fn down() -> Result<()> {
    let state = State::open()?;
    let _lock = state.lock()?;
    step("down", || clear(&state))
}

/// A cluster for one run: brought up if none is, and then taken down when dropped.
#[derive(Debug)]
pub struct Session {
    /// The cluster.
    pub cluster: Cluster,
    ours: Option<(State, Lock)>,
}

impl Session {
    /// Finds or makes the cluster and holds the machine's lock.
    ///
    /// # Errors
    /// As [`up`].
    pub fn begin() -> Result<Self> {
        if let Some(cluster) = given() {
            return Ok(Self { cluster, ours: None });
        }
        let state = State::open()?;
        let lock = state.lock()?;
        let cluster = ensure_up(&state, Some(Process::own()))?;
        Ok(Self { cluster, ours: Some((state, lock)) })
    }

    /// Takes the cluster down if this run brought it up.
    ///
    /// # Errors
    /// When something cannot be ended or removed.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        let Some((state, _lock)) = self.ours.take() else { return Ok(()) };
        let by_hand = state.record().is_some_and(|record| record.run.is_none());
        if by_hand { Ok(()) } else { step("down", || clear(&state)) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("kind: {error:#}");
        }
    }
}

/// Finds the cluster that is up, or clears what is left and makes one.
fn ensure_up(state: &State, run: Option<Process>) -> Result<Cluster> {
    if let Some(cluster) = found(state) {
        return Ok(cluster);
    }
    clear(state).context("clear what an earlier run left")?;
    if let Some(why) = impossible() {
        bail!("{why}");
    }
    let begun = Instant::now();
    let made = make(state, run);
    if made.is_err() {
        let kept = create::keep_logs(state);
        clear(state).context("clear what was begun")?;
        return made.with_context(|| format!("no cluster; logs are kept in {}", kept.display()));
    }
    eprintln!("kind: up ({:.0} s)", begun.elapsed().as_secs_f64());
    made
}

/// The cluster on record, if it was finished, nobody is about to take it down, and it answers.
fn found(state: &State) -> Option<Cluster> {
    let record = state.record().filter(|record| record.phase == Phase::Up && record.run.is_none())?;
    let cluster = Cluster { kubeconfig: record.kubeconfig.clone(), record: Some(record) };
    succeeds(cluster.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=5s"])).then_some(cluster)
}

fn make(state: &State, run: Option<Process>) -> Result<Cluster> {
    let engine = if docker_answers() { Engine::Docker } else { Engine::Own };
    let mut record = Record {
        engine,
        phase: Phase::Starting,
        kubeconfig: state.path("kubeconfig"),
        programs: state.path("bin"),
        docker_host: (engine == Engine::Own).then(|| own::docker_host(state)),
        host_address: None,
        pods_are_routed: false,
        run,
    };
    state.write(&record)?;
    match engine {
        Engine::Docker => with_docker(state, &mut record)?,
        Engine::Own => with_our_own(state, &mut record)?,
    }
    record.phase = Phase::Up;
    let cluster = Cluster { kubeconfig: record.kubeconfig.clone(), record: Some(record.clone()) };
    step("all nodes are ready", || cluster.wait_until_ready())?;
    state.write(&record)?;
    Ok(cluster)
}

fn with_docker(state: &State, record: &mut Record) -> Result<()> {
    step("kubectl, helm, etcdctl", || link_programs(state, &[("kind", programs::kind()?)]))?;
    step("kind create cluster", || create::cluster(state, &mut kind(state, record), None))?;
    let gateway = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
    let gateways = output(Command::new("docker").args(["network", "inspect", "kind", "--format", gateway]))?;
    record.host_address = gateways.split_whitespace().find(|address| address.contains('.')).map(str::to_owned);
    let from = format!("{NAME}-control-plane:/usr/bin/kubectl");
    output(Command::new("docker").args(["cp", "--follow-link", &from]).arg(state.path("bin/kubectl"))).map(drop)
}

fn with_our_own(state: &State, record: &mut Record) -> Result<()> {
    let engine = own::start(state)?;
    step("kubectl, helm, etcdctl", || {
        let programs = [("kind", programs::kind()?), ("kubectl", programs::kubernetes()?), ("docker", engine.client())];
        link_programs(state, &programs)
    })?;
    step("kind create cluster", || create::cluster(state, &mut kind(state, record), Some(&create::node_image())))?;
    let api = engine.address(&format!("{NAME}-control-plane"))?;
    create::point_at(&record.kubeconfig, &format!("https://{api}:6443"))?;
    record.host_address = Some(own::HOST.to_owned());
    record.pods_are_routed = true;
    let cluster = Cluster { kubeconfig: record.kubeconfig.clone(), record: Some(record.clone()) };
    for node in cluster.nodes()? {
        let pods = output(cluster.kubectl().args(["get", "node", &node, "-o", "jsonpath={.spec.podCIDR}"]))?;
        own::route(&pods, &engine.address(&node)?)?;
    }
    Ok(())
}

/// Fills the folder that `env` puts on the path.
fn link_programs(state: &State, more: &[(&str, PathBuf)]) -> Result<()> {
    let folder = state.path("bin");
    fs::create_dir_all(&folder)?;
    for (name, program) in [("helm", programs::helm()?), ("etcdctl", peer::etcdctl()?)].iter().chain(more) {
        let link = folder.join(name);
        let _ = fs::remove_file(&link);
        symlink(program, &link).with_context(|| link.display().to_string())?;
    }
    Ok(())
}

fn kind(state: &State, record: &Record) -> Command {
    let mut kind = Command::new(record.programs.join("kind"));
    kind.env("KUBECONFIG", &record.kubeconfig).current_dir(state.folder());
    if let Some(host) = &record.docker_host {
        kind.env("DOCKER_HOST", host).env("PATH", path_with(&record.programs));
    }
    kind
}

fn path_with(programs: &Path) -> String {
    format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default())
}

/// Ends and removes all that bears our name.
fn clear(state: &State) -> Result<()> {
    servers::clear(state)?;
    let record = state.record();
    if record.as_ref().is_some_and(|record| record.engine == Engine::Docker) {
        let mut delete = Command::new(programs::kind()?);
        output(delete.args(["delete", "cluster", "--name", NAME]).env("KUBECONFIG", state.path("kubeconfig")))?;
    }
    if own::is_there(state) {
        own::clear(state)?;
    }
    state.forget()
}

/// The cluster of `KUBECONFIG`, if that is set, and not by our own `env`.
fn given() -> Option<Cluster> {
    let kubeconfig = PathBuf::from(env::var_os("KUBECONFIG").filter(|value| !value.is_empty())?);
    let ours = State::open().is_ok_and(|state| state.path("kubeconfig") == kubeconfig);
    (!ours).then_some(Cluster { kubeconfig, record: None })
}

/// Whether there is a Docker that is not the engine we started.
fn docker_answers() -> bool {
    let ours =
        State::open().is_ok_and(|state| env::var("DOCKER_HOST").is_ok_and(|host| host == own::docker_host(&state)));
    !ours && succeeds(Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"]))
}

impl Cluster {
    /// The cluster that is up, if one is: that of `KUBECONFIG`, or the one that [`up`] or a run brought up.
    ///
    /// # Errors
    /// When there is none; the error says how to have one.
    pub fn current() -> Result<Self> {
        if let Some(given) = given() {
            return Ok(given);
        }
        let record = State::open()?.record().filter(|record| record.phase == Phase::Up);
        let record = record.context("no cluster is up: cargo run -p tests --bin kind -- up")?;
        Ok(Self { kubeconfig: record.kubeconfig.clone(), record: Some(record) })
    }

    /// The file that says where the API server is and who we are to it.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether it is ours: nodes may be killed and images loaded.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.record.is_some()
    }

    /// Where pods reach a server that runs on this machine: `QUORATE_HOST_ADDRESS` for a cluster that was given.
    ///
    /// # Errors
    /// When it is not known.
    pub fn host_address(&self) -> Result<String> {
        let known = self.record.as_ref().and_then(|record| record.host_address.clone());
        let known = known.or_else(|| env::var("QUORATE_HOST_ADDRESS").ok());
        known.context("set QUORATE_HOST_ADDRESS to this machine's address as the cluster's pods reach it")
    }

    /// Whether this machine reaches pods by their addresses; if not, forward ports.
    #[must_use]
    pub fn pods_are_routed(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.pods_are_routed)
    }

    /// The environment that `kubectl`, `helm`, `kind` and `docker` need.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![("KUBECONFIG", self.kubeconfig.display().to_string())];
        if let Some(record) = &self.record {
            environment.push(("PATH", path_with(&record.programs)));
            // kind's own name for it: its commands then need no `--name`.
            environment.push(("KIND_CLUSTER_NAME", NAME.to_owned()));
            environment.extend(record.docker_host.clone().map(|host| ("DOCKER_HOST", host)));
        }
        environment
    }

    /// A program of the cluster's, or of this machine's path, with the environment set.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let ours = self.record.as_ref().map(|record| record.programs.join(program)).filter(|path| path.exists());
        let mut command = ours.map_or_else(|| Command::new(program), Command::new);
        command.envs(self.environment());
        command
    }

    /// `kubectl`, of the cluster's own version.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.command("kubectl")
    }

    /// The client of the engine whose containers are the nodes, for faults; none for a cluster that was given.
    #[must_use]
    pub fn docker(&self) -> Option<Command> {
        self.is_ours().then(|| self.command("docker"))
    }

    /// An image with a shell that every node has, or can pull.
    #[must_use]
    pub fn shell_image(&self) -> &'static str {
        let ours = self.record.as_ref().is_some_and(|record| record.engine == Engine::Own);
        if ours { "quorate.test/shell:1" } else { "busybox:1.37" }
    }

    /// The nodes' names; each is the name of its container too.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let names = output(self.kubectl().args(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]))?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// Loads image archives, as `docker save` writes them, into every node.
    ///
    /// # Errors
    /// When the cluster was given, or kind refuses.
    pub fn load(&self, archives: &[PathBuf]) -> Result<()> {
        ensure!(self.is_ours(), "images cannot be loaded into a cluster that was given");
        let log = State::open()?.log("load");
        for archive in archives {
            let mut load = self.command("kind");
            load.args(["load", "image-archive", "--name", NAME]).arg(archive);
            command::run(&mut load, &log, LOADED_WITHIN)?;
        }
        Ok(())
    }

    /// Waits until every node is ready and names are answered.
    fn wait_until_ready(&self) -> Result<()> {
        let within = format!("--timeout={}s", READY_WITHIN.as_secs());
        let log = State::open()?.log("ready");
        let bound = READY_WITHIN + Duration::from_secs(30);
        let mut nodes = self.kubectl();
        command::run(nodes.args(["wait", "--for=condition=Ready", "nodes", "--all", &within]), &log, bound)?;
        let mut names = self.kubectl();
        names.args(["rollout", "status", "--namespace=kube-system", "deployment/coredns", &within]);
        command::run(&mut names, &log, bound)
    }
}
