//! How long each stage of a write takes, observed once for a batch, never for a single request.

use prometheus::{Histogram, HistogramOpts, Registry, exponential_buckets};

/// The histograms of one member's write path.
#[derive(Debug)]
pub struct Stages {
    /// From the append of a batch at the leader to its commit.
    pub(crate) commit: Histogram,
    /// From the commit of a batch to its last entry being applied here.
    pub(crate) applied: Histogram,
    /// Applying one batch.
    pub(crate) apply: Histogram,
    /// One flush of the store: etcd's backend commit.
    pub(crate) flush: Histogram,
    /// One sync of the log.
    pub(crate) wal_sync: Histogram,
    /// One write to the log.
    pub(crate) wal_write: Histogram,
    /// How long the oldest request of a group waited for the log's writer.
    pub(crate) wal_queued: Histogram,
    /// Requests that shared one sync.
    pub(crate) wal_group: Histogram,
}

fn histogram(name: &str, help: &str, (start, factor, count): (f64, f64, usize)) -> Histogram {
    let buckets = exponential_buckets(start, factor, count).expect("the buckets are constants that ascend");
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)).expect("the name is a constant that is valid")
}

/// From a tenth of a millisecond to 1.6 s.
const FINE: (f64, f64, usize) = (0.0001, 2.0, 15);
/// As etcd has them.
const ETCD_DISK: (f64, f64, usize) = (0.001, 2.0, 14);

impl Stages {
    /// Histograms with nothing in them.
    #[must_use]
    pub fn new() -> Self {
        Self {
            commit: histogram("quorate_propose_commit_seconds", "From append at the leader to commit.", FINE),
            applied: histogram("quorate_commit_apply_seconds", "From commit to applied by this member.", FINE),
            apply: histogram("quorate_apply_batch_seconds", "Applying one batch of entries.", FINE),
            flush: histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "The latency distributions of commit called by backend.",
                ETCD_DISK,
            ),
            wal_sync: histogram(
                "etcd_disk_wal_fsync_duration_seconds",
                "The latency distributions of fsync called by WAL.",
                ETCD_DISK,
            ),
            wal_write: histogram(
                "etcd_disk_wal_write_duration_seconds",
                "The latency distributions of write called by WAL.",
                ETCD_DISK,
            ),
            wal_queued: histogram("quorate_wal_queued_seconds", "How long a write waited for the log.", FINE),
            wal_group: histogram("quorate_wal_group_requests", "Writes that shared one sync.", (1.0, 2.0, 12)),
        }
    }

    /// Makes them visible.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let all = [
            &self.commit,
            &self.applied,
            &self.apply,
            &self.flush,
            &self.wal_sync,
            &self.wal_write,
            &self.wal_queued,
            &self.wal_group,
        ];
        all.into_iter().try_for_each(|histogram| registry.register(Box::new(histogram.clone())))
    }
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}
