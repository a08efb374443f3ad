//! What is counted about the links, for the metrics to read.

use raft::MemberId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Connections lost after they stood.
    pub(crate) disconnects: Counter,
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
#[derive(Debug, Default)]
pub(crate) struct Directory {
    peers: Mutex<BTreeMap<MemberId, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    stats: Arc<PeerStats>,
    incoming: CancellationToken,
}

impl Directory {
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
