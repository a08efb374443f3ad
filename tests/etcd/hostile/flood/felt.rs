//! What a member shows while it is attacked: its memory, and the figures of its own page.

use anyhow::{Context, Result};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::{Member, get};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One look at a member; or the greatest figures of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    /// Calls begun and not ended.
    pub(super) calls_open: u64,
    /// Calls that were told to come back, as others held too much.
    pub(super) refused: u64,
    pub(super) received_bytes: u64,
}

impl Figures {
    pub(super) fn of(member: &Member) -> Result<Self> {
        let page = get(&member.metrics, "/metrics")?;
        let sum = |name: &str, label: &str| sum(&page, name, label).with_context(|| format!("{name} on the page"));
        let (started, ended) = (sum("grpc_server_started_total", "")?, sum("grpc_server_handled_total", "")?);
        Ok(Self {
            resident_bytes: member.resident_bytes()?,
            open_files: sum("process_open_fds", "")?,
            // One may end between the two lines of the page.
            calls_open: started.saturating_sub(ended),
            refused: sum("grpc_server_handled_total", "grpc_code=\"ResourceExhausted\"")?,
            received_bytes: sum("etcd_network_client_grpc_received_bytes_total", "")?,
        })
    }

    fn most(self, other: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
            open_files: self.open_files.max(other.open_files),
            calls_open: self.calls_open.max(other.calls_open),
            refused: self.refused.max(other.refused),
            received_bytes: self.received_bytes.max(other.received_bytes),
        }
    }
}

/// The sum over all lines of a metric that have this label; none when there is no line.
fn sum(page: &str, name: &str, label: &str) -> Option<u64> {
    let lines = page.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
    });
    let values: Vec<f64> = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
    // Counts of what happened in seconds: exact in any kind of number.
    (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
}

/// Does something that goes on for `time` at least; and the greatest figures of the member over all of that.
pub(super) fn during<T>(member: &Member, time: Duration, work: impl FnOnce() -> Result<T>) -> Result<(T, Figures)> {
    thread::scope(|scope| {
        let (working, ended) = mpsc::channel::<()>();
        let looking = scope.spawn(move || -> Result<Figures> {
            let mut most = Figures::of(member)?;
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                most = most.most(Figures::of(member)?);
            }
            Ok(most)
        });
        let begun = Instant::now();
        let done = work()?;
        thread::sleep(time.saturating_sub(begun.elapsed()));
        drop(working);
        Ok((done, looking.join().expect("it does not panic")?))
    })
}
