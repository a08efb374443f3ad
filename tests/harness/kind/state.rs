//! What of a cluster is on this machine: one folder, one record in it, one lock. A record without a finished cluster, or
//! of a run that is gone, tells the next start what to clean up.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The cluster's name for kind, its namespace, cgroups and links: what bears it is ours.
pub const NAME: &str = "quorate";

/// Who runs the containers that are the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// The Docker that was there.
    Docker,
    /// One that we started, and end.
    Own,
}

/// How far a start came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not to its end.
    Starting,
    /// The cluster answers, and stays until it is taken down.
    Up,
}

/// What is written down before anything is made, and once it is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Who runs the nodes.
    pub engine: Engine,
    /// How far the start came.
    pub phase: Phase,
    /// Where the API server and who we are to it.
    pub kubeconfig: PathBuf,
    /// A folder with `kubectl`, `helm`, `kind`, `docker`, `etcdctl`.
    pub programs: PathBuf,
    /// The socket of an engine that we started.
    pub docker_host: Option<String>,
    /// Where pods reach servers on this machine.
    pub host_address: Option<String>,
    /// Whether this machine reaches pods by their addresses.
    pub pods_are_routed: bool,
    /// The run that takes the cluster down when it ends; none: it stays until `down`.
    pub run: Option<Process>,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
}

impl Process {
    /// The process with this number, if there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the start is the twentieth field behind it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let zombie = fields.next()? == "Z";
        let started = fields.nth(18)?.parse().ok()?;
        (!zombie).then_some(Self { pid, started })
    }

    /// This process.
    #[must_use]
    pub fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self::of(pid).unwrap_or(Self { pid, started: 0 })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The folder that is ours while a cluster is up.
#[derive(Clone, Debug)]
pub struct State(PathBuf);

impl State {
    /// The one of this machine and user. Its place does not depend on the checkout: a start must find what a crashed run
    /// of any checkout left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open() -> Result<Self> {
        Self::at(PathBuf::from(format!("/var/tmp/quorate-kind-{}", rustix::process::getuid().as_raw())))
    }

    pub(super) fn at(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("logs")).with_context(|| folder.display().to_string())?;
        Ok(Self(folder))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The log of a part.
    #[must_use]
    pub fn log(&self, part: &str) -> PathBuf {
        self.0.join("logs").join(part).with_extension("log")
    }

    /// What is written down, if anything can be read.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.path("cluster.json")).ok()?).ok()
    }

    /// Writes it down, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, record: &Record) -> Result<()> {
        let new = self.path("cluster.json.new");
        fs::write(&new, serde_json::to_vec_pretty(record)?)?;
        Ok(fs::rename(new, self.path("cluster.json"))?)
    }

    /// Forgets the cluster.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget(&self) -> Result<()> {
        match fs::remove_file(self.path("cluster.json")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Takes the machine's lock, held until dropped, also by a process that is killed.
    ///
    /// # Errors
    /// When another holds it; the error names it.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path("lock");
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            bail!("one cluster per machine: process {} holds {}", holder.trim(), path.display());
        }
        file.set_len(0)?;
        writeln!(file, "{}", Process::own().pid)?;
        Ok(Lock(file))
    }
}

/// The machine's lock.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the file is the lock")] File);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let own = Process::own();
        assert!(own.is_alive());
        assert!(!Process { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn a_second_start_is_refused_and_told_by_whom() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let state = State::at(folder.path().to_path_buf())?;
        let held = state.lock()?;
        let refused = state.lock().expect_err("it is held").to_string();
        assert!(refused.contains(&Process::own().pid.to_string()), "{refused}");
        drop(held);
        state.lock().map(drop)
    }

    #[test]
    fn what_is_written_down_is_read_until_it_is_forgotten() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let state = State::at(folder.path().to_path_buf())?;
        assert!(state.record().is_none());
        let run = Some(Process::own());
        let path = PathBuf::from("/k");
        state.write(&Record {
            engine: Engine::Own,
            phase: Phase::Starting,
            kubeconfig: path.clone(),
            programs: path,
            docker_host: None,
            host_address: None,
            pods_are_routed: false,
            run,
        })?;
        assert_eq!(state.record().and_then(|record| record.run), run);
        state.forget()?;
        assert!(state.record().is_none());
        state.forget()
    }
}
