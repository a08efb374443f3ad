//! What is counted about the links, for the metrics to read.

use super::outbox::Queued;
use admin_api::Id;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, exponential_buckets};
use raft::MemberId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// One peer's counters.
#[derive(Debug, Default)]
pub(crate) struct PeerStats {
    /// Bytes written to it.
    pub(crate) sent_bytes: Counter,
    /// Bytes read from it.
    pub(crate) received_bytes: Counter,
    /// Messages that could not be queued: no connection, or no room.
    pub(crate) send_failures: Counter,
    /// Those of them that found no room.
    pub(crate) queue_full: Counter,
    /// Connections lost after they stood.
    pub(crate) disconnects: Counter,
    /// Whether the link stands.
    up: AtomicBool,
}

impl PeerStats {
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// What became of a frame for it.
    pub(super) fn note(&self, queued: Queued) {
        match queued {
            Queued::Yes => {}
            Queued::Closed => self.send_failures.add(1),
            Queued::Full => {
                self.send_failures.add(1);
                self.queue_full.add(1);
            }
        }
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }
}

/// What nobody in particular is to blame for.
#[derive(Debug, Default)]
pub(crate) struct ListenerStats {
    /// Connections that ended because their bytes were no frames.
    pub(crate) garbage: Counter,
    /// Connections that were refused by the gate, or because there were too many.
    pub(crate) refused: Counter,
}

/// The peers there are: their counters, and the means to end their incoming connections.
#[derive(Debug)]
pub(crate) struct Directory {
    peers: Mutex<BTreeMap<MemberId, Entry>>,
    round_trips: HistogramVec,
}

#[derive(Debug, Default)]
struct Entry {
    stats: Arc<PeerStats>,
    incoming: CancellationToken,
}

impl Default for Directory {
    fn default() -> Self {
        // As etcd has them: from a tenth of a millisecond to 3 s.
        let buckets = exponential_buckets(0.0001, 2.0, 16).expect("the buckets are constants that ascend");
        let name = "etcd_network_peer_round_trip_time_seconds";
        let opts = HistogramOpts::new(name, "Round-trip time between peers.").buckets(buckets);
        let round_trips = HistogramVec::new(opts, &["To"]).expect("name and label are constants that are valid");
        Self { peers: Mutex::default(), round_trips }
    }
}

impl Directory {
    /// Where the round trips to a peer are observed.
    pub(super) fn round_trip(&self, id: MemberId) -> Histogram {
        self.round_trips.with_label_values(&[Id(id.0).to_string()])
    }

    /// The round trips to every peer.
    pub(crate) fn round_trips(&self) -> Vec<MetricFamily> {
        self.round_trips.collect()
    }

    /// The counters of a peer, which is entered if it is new.
    pub(crate) fn stats(&self, id: MemberId) -> Arc<PeerStats> {
        self.lock().entry(id).or_default().stats.clone()
    }

    /// What ends when the peer is to be heard no longer.
    pub(crate) fn incoming(&self, id: MemberId) -> (Arc<PeerStats>, CancellationToken) {
        let mut peers = self.lock();
        let entry = peers.entry(id).or_default();
        (entry.stats.clone(), entry.incoming.clone())
    }

    /// Forgets the others and ends their incoming connections: when they call again they are told why.
    pub(crate) fn retain(&self, keep: impl Fn(MemberId) -> bool) {
        self.lock().retain(|id, entry| {
            let kept = keep(*id);
            if !kept {
                entry.incoming.cancel();
                // It has none if it was never dialed.
                let _ = self.round_trips.remove_label_values(&[&Id(id.0).to_string()]);
            }
            kept
        });
    }

    /// Every peer with its counters.
    pub(crate) fn all(&self) -> Vec<(MemberId, Arc<PeerStats>)> {
        self.lock().iter().map(|(id, entry)| (*id, entry.stats.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberId, Entry>> {
        self.peers.lock().expect("nothing panics while it holds the directory")
    }
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
