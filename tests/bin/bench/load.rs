//! The loads, and what is measured while one runs.

use anyhow::{Context, Result, ensure};
use std::process::Command;
use tests::cluster::{Cluster, Member};
use tests::peer;

/// The size of every key written.
const KEY_BYTES: u32 = 16;

/// The size of the values that the table's loads write.
const VALUE_BYTES: u32 = 256;

/// Keys are spread over this many, so that the store grows as it would in use.
const KEY_SPACE: &str = "100000";

/// One load.
pub(crate) struct Load {
    /// Its name in the table.
    pub(crate) name: &'static str,
    clients: u32,
    requests: u64,
    work: Work,
}

/// What is written while a follower is away: by number of entries, and by bytes.
pub(crate) const AWAY: &[Load] = &[
    Load { name: "values of 256 bytes", clients: 256, requests: 1_000_000, work: PUT },
    Load { name: "values of 16 KiB", clients: 64, requests: 40_000, work: Work::Put { value_bytes: 16 << 10 } },
];

const PUT: Work = Work::Put { value_bytes: VALUE_BYTES };

enum Work {
    Put { value_bytes: u32 },
    Txn,
    Range { consistency: &'static str },
}

/// Every load of the table, in the order of the runs: writes first, so that reads find something.
pub(crate) const LOADS: &[Load] = &[
    Load { name: "put, 1 client", clients: 1, requests: 10_000, work: PUT },
    Load { name: "put, 16 clients", clients: 16, requests: 50_000, work: PUT },
    Load { name: "put, 100 clients", clients: 100, requests: 150_000, work: PUT },
    Load { name: "put, 256 clients", clients: 256, requests: 150_000, work: PUT },
    Load { name: "put, 1000 clients", clients: 1000, requests: 200_000, work: PUT },
    Load { name: "txn, 100 clients", clients: 100, requests: 100_000, work: Work::Txn },
    Load {
        name: "range linearizable, 100 clients",
        clients: 100,
        requests: 300_000,
        work: Work::Range { consistency: "l" },
    },
    Load {
        name: "range serializable, 100 clients",
        clients: 100,
        requests: 400_000,
        work: Work::Range { consistency: "s" },
    },
];

/// What one load showed.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Requests per second.
    pub(crate) per_second: f64,
    /// Median latency in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99th percentile.
    pub(crate) p99_ms: f64,
    /// 99.9th percentile.
    pub(crate) p999_ms: f64,
    /// CPU seconds of the three members for 100,000 requests.
    pub(crate) cpu_seconds_per_100k: f64,
    /// Resident memory of the largest member afterwards, in MiB.
    pub(crate) resident_mib: f64,
    /// Data on disk of the largest member afterwards, in MiB.
    pub(crate) disk_mib: f64,
}

impl Load {
    /// Runs it against the cluster.
    pub(crate) fn run(&self, cluster: &Cluster, percent: u64) -> Result<Measured> {
        let requests = (self.requests * percent / 100).max(u64::from(self.clients));
        if matches!(self.work, Work::Range { .. }) {
            let written = cluster.etcdctl(&["put", "bench", &"x".repeat(256)])?;
            ensure!(written.status.success(), "etcdctl put: {}", String::from_utf8_lossy(&written.stderr));
        }
        let before = cpu_seconds(cluster)?;
        let said = self.generate(&cluster.endpoints(), requests)?;
        let cpu = cpu_seconds(cluster)? - before;
        Ok(Measured {
            per_second: number_after(&said, "Requests/sec:")?,
            p50_ms: number_after(&said, "50% in")? * 1e3,
            p99_ms: number_after(&said, "99% in")? * 1e3,
            p999_ms: number_after(&said, "99.9% in")? * 1e3,
            cpu_seconds_per_100k: cpu * 1e5 / requests as f64,
            resident_mib: largest(cluster, Member::resident_bytes)?,
            disk_mib: largest(cluster, Member::disk_bytes)?,
        })
    }

    /// Runs it against these endpoints alone, with nothing measured.
    pub(crate) fn drive(&self, endpoints: &str, percent: u64) -> Result<()> {
        self.generate(endpoints, self.requests * percent / 100).map(drop)
    }

    /// What each of its requests brings, without what the protocols and the log add to it.
    pub(crate) fn payload_bytes(&self) -> u32 {
        match self.work {
            Work::Put { value_bytes } => KEY_BYTES + value_bytes,
            Work::Txn => 2 * (KEY_BYTES + VALUE_BYTES),
            Work::Range { .. } => 0,
        }
    }

    fn generate(&self, endpoints: &str, requests: u64) -> Result<String> {
        let (clients, total) = (self.clients.to_string(), requests.to_string());
        let sizes = |value_bytes: u32| {
            let (key, value) = (KEY_BYTES.to_string(), value_bytes.to_string());
            ["--key-size".to_owned(), key, "--val-size".to_owned(), value]
        };
        let mut command = Command::new(peer::benchmark()?);
        command.args(["--precise", "--endpoints", endpoints, "--conns", &clients, "--clients", &clients]);
        match self.work {
            Work::Put { value_bytes } => {
                command.arg("put").args(sizes(value_bytes)).args(["--key-space-size", KEY_SPACE])
            }
            Work::Txn => {
                command.arg("txn-put").args(sizes(VALUE_BYTES)).args(["--key-space-size", KEY_SPACE, "--txn-ops", "2"])
            }
            Work::Range { consistency } => command.args(["range", "bench", "--consistency", consistency]),
        };
        let output = command.args(["--total", &total]).output().context("run the load generator")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "the load generator failed:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(!said.contains("Error distribution"), "the generator saw errors:\n{said}");
        Ok(said)
    }
}

fn cpu_seconds(cluster: &Cluster) -> Result<f64> {
    cluster.members.iter().map(Member::cpu_seconds).sum()
}

fn largest(cluster: &Cluster, measure: impl Fn(&Member) -> Result<u64>) -> Result<f64> {
    let all = cluster.members.iter().map(measure).collect::<Result<Vec<u64>>>()?;
    Ok(all.into_iter().max().unwrap_or_default() as f64 / f64::from(1 << 20))
}

/// The number that follows `label` on the line that begins with it.
fn number_after(said: &str, label: &str) -> Result<f64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix(label))
        .with_context(|| format!("no {label:?} in:\n{said}"))?;
    let word = line.split_whitespace().next().with_context(|| format!("nothing follows {label:?}"))?;
    word.parse().with_context(|| format!("{word:?} after {label:?} is not a number"))
}
