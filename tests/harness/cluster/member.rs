//! One member as a process, and what can be done to it.

use super::Flavor;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What the process prints once clients are served: etcd's words, which its own tests wait for.
const READY_LINE: &str = "ready to serve client requests";

/// How long a start may take on a busy machine with two cores.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How often a condition is looked at while waiting.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// One member: its place, and its process while one runs.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `host:port` for clients.
    pub client: String,
    /// `host:port` for peers.
    pub peer: String,
    /// `host:port` for metrics.
    pub metrics: String,
    folder: PathBuf,
    flavor: Flavor,
    program: PathBuf,
    namespace: Option<String>,
    arguments: Vec<String>,
    child: Option<Child>,
    starts: u32,
}

/// What a member is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose program it is.
    pub flavor: Flavor,
    /// The program.
    pub program: PathBuf,
    /// The folder for data and logs.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// Client, peer and metrics addresses, `host:port`.
    pub addresses: [String; 3],
    /// The network namespace it runs in, if not the caller's.
    pub namespace: Option<String>,
    /// `name=url,...` of every initial member.
    pub initial_cluster: String,
    /// `new` or `existing`.
    pub state: &'static str,
    /// More flags.
    pub extra: Vec<String>,
}

impl Member {
    /// A member that is not started yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let [client, peer, metrics] = plan.addresses;
        let data = plan.folder.join(&plan.name).join("data");
        let scheme = super::peer_scheme(&plan.extra);
        let mut arguments = vec![
            format!("--name={}", plan.name),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls=http://{client}"),
            format!("--advertise-client-urls=http://{client}"),
            format!("--listen-peer-urls={scheme}://{peer}"),
            format!("--initial-advertise-peer-urls={scheme}://{peer}"),
            format!("--listen-metrics-urls=http://{metrics}"),
            format!("--initial-cluster={}", plan.initial_cluster),
            "--initial-cluster-token=test".to_owned(),
            format!("--initial-cluster-state={}", plan.state),
        ];
        arguments.extend(plan.extra);
        Self {
            name: plan.name,
            client,
            peer,
            metrics,
            folder: plan.folder,
            flavor: plan.flavor,
            program: plan.program,
            namespace: plan.namespace,
            arguments,
            child: None,
            starts: 0,
        }
    }

    /// Where its data lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join(&self.name).join("data")
    }

    /// Adds a flag for the next start.
    pub fn with_flag(&mut self, flag: impl Into<String>) {
        self.arguments.push(flag.into());
    }

    /// Starts the process without waiting for anything.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        self.starts += 1;
        let log = self.log_path();
        fs::create_dir_all(log.parent().context("a log lies in a folder")?)?;
        let output = File::create(&log)?;
        let mut command = match &self.namespace {
            // nsenter becomes the program: the process id stays.
            Some(namespace) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{namespace}")).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        if self.flavor == Flavor::Quorate {
            command.arg("serve");
        }
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        self.child = Some(command.spawn().with_context(|| format!("start {}", self.program.display()))?);
        Ok(())
    }

    /// Waits until it says that it serves clients.
    ///
    /// # Errors
    /// When it ends or stays silent.
    pub fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if self.log().contains(READY_LINE) && TcpStream::connect(&self.client).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status} before it was ready:\n{}", self.name, self.log_tail());
            }
            ensure!(
                Instant::now() < deadline,
                "{} is not ready after {START_WITHIN:?}:\n{}",
                self.name,
                self.log_tail()
            );
            thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// The exit status, if the process has ended by itself.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it does not within `within`, or was not running.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            ensure!(self.child.is_some(), "{} is not running", self.name);
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "{} still runs after {within:?}:\n{}", self.name, self.log_tail());
            thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// Ends it as a power cut of the process would: SIGKILL.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} is not running", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end: SIGTERM. Returns how long it took and with what status.
    ///
    /// # Errors
    /// When it does not end within ten seconds.
    pub fn terminate(&mut self) -> Result<(Duration, ExitStatus)> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.wait_end(Duration::from_secs(10))?;
        Ok((begun.elapsed(), status))
    }

    /// Stops its clock: SIGSTOP.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it run on: SIGCONT.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Pid::from_child)
    }

    /// Whether a process was started and not ended by us.
    #[must_use]
    pub fn running(&self) -> bool {
        self.child.is_some()
    }

    /// What the current process has printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(&self.name).join(format!("log.{}", self.starts))
    }

    /// CPU time of the process so far, in seconds: user and system.
    ///
    /// # Errors
    /// When it is not running.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.proc_file("stat")?;
        let after_name = stat.rsplit_once(')').context("/proc/PID/stat names the program in brackets")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = self.proc_file("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/PID/status has VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        Ok(fs::read_to_string(format!("/proc/{}/{name}", pid.as_raw_nonzero()))?)
    }

    /// Bytes its data take on disk.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64> {
        folder_bytes(&self.data())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.child.is_some()
            && let Err(error) = self.kill()
        {
            eprintln!("could not end {}: {error}", self.name);
        }
    }
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.metadata(), entry.path()))?;
        let metadata = entry?;
        bytes += if metadata.is_dir() { folder_bytes(&path)? } else { metadata.len() };
    }
    Ok(bytes)
}
