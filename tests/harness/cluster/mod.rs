//! A cluster of real processes on loopback, of ours or of etcd: both take the same flags, so that one harness drives
//! both and what is measured is the same work.
//!
//! * Every process is ended when the [`Cluster`] is dropped, also when the test panics.
//! * Every folder is temporary unless `KEEP=1`; then its path is printed.

mod http;
mod member;
mod net;
mod ports;

pub use http::{get, post, post_json};
pub use member::{Member, Plan};
pub use net::Net;
pub use ports::Ports;

use crate::{peer, tree};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whose members they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Ours.
    Quorate,
    /// etcd 3.7.3.
    Etcd,
}

impl Flavor {
    /// The server.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn program(self) -> Result<PathBuf> {
        match self {
            Self::Quorate => tree::quorate(),
            Self::Etcd => peer::etcd(),
        }
    }
}

/// Members on loopback.
#[derive(Debug)]
pub struct Cluster {
    /// The members, in the order of their names `m1`, `m2`, ...
    pub members: Vec<Member>,
    flavor: Flavor,
    folder: Folder,
    ports: Option<Ports>,
}

/// Where a member listens and runs.
struct Host {
    addresses: [String; 3],
    namespace: Option<String>,
}

#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn make() -> Result<Self> {
        let folder = TempDir::with_prefix("quorate-test-")?;
        if std::env::var_os("KEEP").is_none() {
            return Ok(Self::Temporary(folder));
        }
        let path = folder.keep();
        eprintln!("keeping {}", path.display());
        Ok(Self::Kept(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Cluster {
    /// `size` members that are formed and ready; `extra` flags for each.
    ///
    /// # Errors
    /// When one does not get ready.
    pub fn start(flavor: Flavor, size: u16, extra: &[&str]) -> Result<Self> {
        let mut cluster = Self::planned(flavor, size, extra)?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// `size` members that are not started.
    ///
    /// # Errors
    /// When the program cannot be built or no ports are free.
    pub fn planned(flavor: Flavor, size: u16, extra: &[&str]) -> Result<Self> {
        let ports = Ports::take()?;
        let hosts = (0..size).map(|n| Host {
            addresses: [0, 1, 2].map(|port| format!("127.0.0.1:{}", ports.port(n * 3 + port))),
            namespace: None,
        });
        Self::on(hosts.collect(), Some(ports), flavor, extra)
    }

    /// Members that are not started, each on a host of its own.
    ///
    /// # Errors
    /// When the program cannot be built.
    pub fn planned_on(net: &Net, size: u16, extra: &[&str]) -> Result<Self> {
        let hosts = (1..=size).map(|host| Host {
            addresses: [2379, 2380, 2381].map(|port| format!("{}:{port}", Net::address(host))),
            namespace: Some(net.namespace(host)),
        });
        Self::on(hosts.collect(), None, Flavor::Quorate, extra)
    }

    fn on(hosts: Vec<Host>, ports: Option<Ports>, flavor: Flavor, extra: &[&str]) -> Result<Self> {
        let (folder, program) = (Folder::make()?, flavor.program()?);
        let scheme = peer_scheme(extra);
        let urls = hosts.iter().enumerate().map(|(n, host)| format!("m{}={scheme}://{}", n + 1, host.addresses[1]));
        let initial_cluster = urls.collect::<Vec<_>>().join(",");
        let member = |(n, host): (usize, Host)| {
            Member::new(Plan {
                flavor,
                program: program.clone(),
                folder: folder.path().to_path_buf(),
                name: format!("m{}", n + 1),
                addresses: host.addresses,
                namespace: host.namespace,
                initial_cluster: initial_cluster.clone(),
                state: "new",
                extra: extra.iter().map(ToString::to_string).collect(),
            })
        };
        let members = hosts.into_iter().enumerate().map(member).collect();
        Ok(Self { members, flavor, folder, ports })
    }

    /// Starts every member and waits until each is ready.
    ///
    /// # Errors
    /// When one does not get ready.
    pub fn start_all(&mut self) -> Result<()> {
        self.members.iter_mut().try_for_each(Member::spawn)?;
        self.members.iter_mut().try_for_each(Member::wait_ready)
    }

    /// A further member on loopback that joins a cluster which already knows of it (`member add`); not started.
    ///
    /// # Errors
    /// When the program is gone, or the cluster is not on loopback.
    pub fn joining(&mut self, name: &str, extra: &[&str]) -> Result<usize> {
        let n = u16::try_from(self.members.len())?;
        let ports = self.ports.as_ref().context("only a cluster on loopback has ports to spare")?;
        let addresses = [0, 1, 2].map(|port| format!("127.0.0.1:{}", ports.port(n * 3 + port)));
        let others = self.members.iter().map(|member| format!("{}=http://{}", member.name, member.peer));
        let all: Vec<String> = others.chain([format!("{name}=http://{}", addresses[1])]).collect();
        self.members.push(Member::new(Plan {
            flavor: self.flavor,
            program: self.flavor.program()?,
            folder: self.folder.path().to_path_buf(),
            name: name.to_owned(),
            addresses,
            namespace: None,
            initial_cluster: all.join(","),
            state: "existing",
            extra: extra.iter().map(ToString::to_string).collect(),
        }));
        Ok(self.members.len() - 1)
    }

    /// Client addresses of the running members, comma separated, as etcdctl and the load generator take them.
    #[must_use]
    pub fn endpoints(&self) -> String {
        self.members
            .iter()
            .filter(|member| member.running())
            .map(|member| member.client.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the real etcdctl against the running members.
    ///
    /// # Errors
    /// When it cannot be run at all; a failed command is an `Output` like any other.
    pub fn etcdctl(&self, arguments: &[&str]) -> Result<Output> {
        etcdctl(&self.endpoints(), arguments)
    }

    /// The position of the leader, as the members' metrics tell, once there is exactly one.
    ///
    /// # Errors
    /// When none shows within fifteen seconds.
    pub fn leader(&self) -> Result<usize> {
        let says_leader = |member: &Member| {
            let page = get(&member.metrics, "/metrics").ok()?;
            Some(page.lines().any(|line| line == "etcd_server_is_leader 1"))
        };
        eventually("exactly one leader", Duration::from_secs(15), || {
            let running = self.members.iter().enumerate().filter(|(_, member)| member.running());
            let leaders: Vec<usize> =
                running.filter(|(_, member)| says_leader(member) == Some(true)).map(|(n, _)| n).collect();
            (leaders.len() == 1).then(|| leaders[0])
        })
    }
}

/// Members that are given certificates for each other, or make them, speak TLS.
fn peer_scheme(extra: &[impl AsRef<str>]) -> &'static str {
    let tls = |flag: &str| flag.starts_with("--peer-auto-tls") || flag.starts_with("--peer-cert-file");
    if extra.iter().any(|flag| tls(flag.as_ref())) { "https" } else { "http" }
}

/// Copies a folder as it is; there must be none yet.
///
/// # Errors
/// When it cannot be copied.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-aT").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}

/// Runs the real etcdctl against these endpoints.
///
/// # Errors
/// When it cannot be run.
pub fn etcdctl(endpoints: &str, arguments: &[&str]) -> Result<Output> {
    etcdctl_command()?.env("ETCDCTL_ENDPOINTS", endpoints).args(arguments).output().context("run etcdctl")
}

/// Debian's etcdctl where there is one, else the one built beside the etcd we compare with.
///
/// # Errors
/// When there is none and it cannot be built.
pub fn etcdctl_command() -> Result<Command> {
    let packaged = Path::new("/usr/bin/etcdctl");
    let program = if packaged.exists() { packaged.to_path_buf() } else { peer::etcdctl()? };
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3");
    Ok(command)
}

/// Waits until `look` sees something.
///
/// # Errors
/// When it does not within `within`; the error names `what`.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "no {what} within {within:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
