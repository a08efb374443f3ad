//! What is counted about the links, for the metrics to read.

use std::sync::atomic::{AtomicU64, Ordering};

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
