//! A cluster of real processes on loopback, of ours or of etcd: both take the same flags, so that one harness drives
//! both and what is measured is the same work.
//!
//! * Every process is ended when the [`Cluster`] is dropped, also when the test panics.
//! * Every folder is temporary unless `KEEP=1`; then its path is printed.

mod http;
mod member;
mod ports;

pub use http::get;
pub use member::{Member, Plan};
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
    ports: Ports,
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
        cluster.members.iter_mut().try_for_each(Member::spawn)?;
        cluster.members.iter_mut().try_for_each(Member::wait_ready)?;
        Ok(cluster)
    }

    /// `size` members that are not started.
    ///
    /// # Errors
    /// When the program cannot be built or no ports are free.
    pub fn planned(flavor: Flavor, size: u16, extra: &[&str]) -> Result<Self> {
        let (ports, folder, program) = (Ports::take()?, Folder::make()?, flavor.program()?);
        let names: Vec<String> = (1..=size).map(|n| format!("m{n}")).collect();
        let urls = (0..size).map(|n| format!("{}=http://127.0.0.1:{}", names[usize::from(n)], ports.port(n * 3 + 1)));
        let initial_cluster = urls.collect::<Vec<_>>().join(",");
        let member = |n: u16| {
            Member::new(Plan {
                flavor,
                program: program.clone(),
                folder: folder.path().to_path_buf(),
                name: names[usize::from(n)].clone(),
                ports: [ports.port(n * 3), ports.port(n * 3 + 1), ports.port(n * 3 + 2)],
                initial_cluster: initial_cluster.clone(),
                state: "new",
                extra: extra.iter().map(ToString::to_string).collect(),
            })
        };
        let members = (0..size).map(member).collect();
        Ok(Self { members, flavor, folder, ports })
    }

    /// A further member that joins a cluster which already knows of it (`member add`); not started.
    ///
    /// # Errors
    /// When the program is gone.
    pub fn joining(&mut self, name: &str, extra: &[&str]) -> Result<usize> {
        let n = u16::try_from(self.members.len())?;
        let ports = [self.ports.port(n * 3), self.ports.port(n * 3 + 1), self.ports.port(n * 3 + 2)];
        let others = self.members.iter().map(|member| format!("{}=http://{}", member.name, member.peer));
        let all: Vec<String> = others.chain([format!("{name}=http://127.0.0.1:{}", ports[1])]).collect();
        self.members.push(Member::new(Plan {
            flavor: self.flavor,
            program: self.flavor.program()?,
            folder: self.folder.path().to_path_buf(),
            name: name.to_owned(),
            ports,
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

/// Debian's etcdctl where there is one, else the one built beside the etcd we compare with.
///
/// # Errors
/// When it cannot be run.
pub fn etcdctl(endpoints: &str, arguments: &[&str]) -> Result<Output> {
    let packaged = Path::new("/usr/bin/etcdctl");
    let program = if packaged.exists() { packaged.to_path_buf() } else { peer::etcdctl()? };
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", endpoints).args(arguments);
    command.output().context("run etcdctl")
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
