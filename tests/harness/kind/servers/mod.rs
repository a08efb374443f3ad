//! Servers that tests need beside the cluster. They run on this machine, listen where pods reach it, and end with the
//! value that stands for them; one that outlived a killed run is ended by the next start of a cluster.

mod prometheus;
mod s3;

pub use prometheus::{Prometheus, Sample, Scraped, Series, promtool};
pub use s3::S3;

use super::command::tail;
use super::state::{Process, State};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A server opens its port within a second on an idle machine.
const OPENS_WITHIN: Duration = Duration::from_secs(30);
/// What a server gets to end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A server that runs.
#[derive(Debug)]
struct Server {
    child: Child,
    note: PathBuf,
}

impl Server {
    /// Starts `command` and waits until `address` takes connections.
    fn start(name: &str, command: &mut Command, address: &str) -> Result<Self> {
        let state = State::open()?;
        let log = state.log(name);
        let out = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let pid = i32::try_from(child.id())?;
        let note = notes(&state).join(format!("{pid}.json"));
        let mut server = Self { child, note };
        fs::create_dir_all(notes(&state))?;
        fs::write(&server.note, serde_json::to_vec(&Process::of(pid).context("it was started just now")?)?)?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended with {status}\n{}", tail(&log));
            }
            if begun.elapsed() > OPENS_WITHIN {
                bail!("{name} does not listen on {address}\n{}", tail(&log));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let begun = Instant::now();
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        while begun.elapsed() < ENDS_WITHIN && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.note);
    }
}

/// Ends the servers of runs that are gone.
///
/// # Errors
/// When the notes cannot be removed.
pub(super) fn clear(state: &State) -> Result<()> {
    for entry in fs::read_dir(notes(state)).into_iter().flatten() {
        let path = entry?.path();
        let noted = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Process>(&text).ok());
        if let Some(process) = noted.filter(|process| process.is_alive())
            && let Some(pid) = Pid::from_raw(process.pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

fn notes(state: &State) -> PathBuf {
    state.path("servers")
}

/// A port of `host` that is free now.
fn free_port(host: &str) -> Result<u16> {
    Ok(TcpListener::bind((host, 0)).with_context(|| format!("listen on {host}"))?.local_addr()?.port())
}
