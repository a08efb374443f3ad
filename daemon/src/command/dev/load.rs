//! `--clients N`: writers that keep the cluster busy, each one write after the other.

use crate::config::Address;
use crate::etcd::proto::etcdserverpb::PutRequest;
use crate::etcd::proto::etcdserverpb::kv_client::KvClient;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// What etcd's own benchmark writes.
const VALUE_BYTES: usize = 256;
/// Keys written over and over: the state stays small however long it runs.
const KEYS: u64 = 10_000;
/// After a failed write, so that a cluster without a leader is not flooded.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// A write that takes longer is counted as failed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Latencies kept between two looks; more than a look's worth of writes on any machine.
const SAMPLES_MAX: usize = 100_000;

/// Writers at work. They stop when this is dropped.
pub(super) struct Load {
    tally: Arc<Tally>,
    last: Instant,
    _writers: JoinSet<()>,
}

#[derive(Default)]
struct Tally {
    written: AtomicU64,
    failed: AtomicU64,
    micros: Mutex<Vec<u32>>,
}

/// What was written since the last look.
#[derive(Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) failed: u64,
}

impl Load {
    /// # Errors
    /// An endpoint is no URL for a client.
    pub(super) fn start(clients: u16, endpoints: &[Address]) -> anyhow::Result<Self> {
        let channels = endpoints.iter().map(channel).collect::<anyhow::Result<Vec<_>>>()?;
        let tally = Arc::new(Tally::default());
        let mut writers = JoinSet::new();
        for (client, channel) in (0..clients).zip(channels.iter().cycle()) {
            writers.spawn(write(u64::from(client), KvClient::new(channel.clone()), Arc::clone(&tally)));
        }
        Ok(Self { tally, last: Instant::now(), _writers: writers })
    }

    /// What was written since the last call.
    pub(super) fn rate(&mut self) -> Rate {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let mut micros = std::mem::take(&mut *self.tally.micros.lock().unwrap_or_else(PoisonError::into_inner));
        micros.sort_unstable();
        Rate {
            per_second: self.tally.written.swap(0, Ordering::Relaxed) as f64 / seconds,
            p50: percentile(&micros, 50),
            p99: percentile(&micros, 99),
            failed: self.tally.failed.swap(0, Ordering::Relaxed),
        }
    }
}

fn channel(endpoint: &Address) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(endpoint.to_string())?.timeout(WRITE_TIMEOUT).connect_lazy())
}

async fn write(client: u64, mut kv: KvClient<Channel>, tally: Arc<Tally>) {
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    // Each client walks the keys with a stride of its own, so that they seldom meet.
    let mut at = client.wrapping_mul(7919);
    loop {
        at = at.wrapping_add(client.wrapping_mul(2) + 1);
        let key = Bytes::from(format!("dev/{:05}", at % KEYS));
        let began = Instant::now();
        match kv.put(PutRequest { key, value: value.clone(), ..PutRequest::default() }).await {
            Ok(_) => tally.wrote(began.elapsed()),
            Err(_) => {
                tally.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REST_AFTER_FAILURE).await;
            }
        }
    }
}

impl Tally {
    fn wrote(&self, took: Duration) {
        self.written.fetch_add(1, Ordering::Relaxed);
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        if micros.len() < SAMPLES_MAX {
            micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// Of sorted samples; zero when there are none.
fn percentile(sorted: &[u32], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    Duration::from_micros(sorted.get(at).copied().unwrap_or_default().into())
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let (p50, p99) = (ms(self.p50), ms(self.p99));
        write!(f, "{:.0} puts/s, p50 {p50:.1} ms, p99 {p99:.1} ms, {} failed", self.per_second, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_and_of_no_samples() {
        let samples: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&samples, 50), Duration::from_micros(51));
        assert_eq!(percentile(&samples, 99), Duration::from_micros(100));
        assert_eq!(percentile(&[7], 99), Duration::from_micros(7));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_answer_is_counted_and_not_flooded() {
        let nowhere = "http://127.0.0.1:1".parse().unwrap();
        let mut load = Load::start(3, &[nowhere]).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let rate = load.rate();
        assert_eq!((rate.per_second, rate.failed), (0.0, 3));
        assert_eq!(rate.to_string(), "0 puts/s, p50 0.0 ms, p99 0.0 ms, 3 failed");
    }
}
