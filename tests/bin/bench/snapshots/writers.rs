//! Clients of our own: some that fill a cluster with data that does not shrink, and some that write without a rest and
//! keep how long each write took.

use anyhow::{Context, Result, ensure};
use futures::stream::{self, TryStreamExt};
use quorate::etcd::proto::etcdserverpb as pb;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tests::client::{Client, Dial};

/// A write that takes longer is an error: no member of either kind stands still for so long with nothing wrong.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Writes of the filling that are under way at once: enough to keep both disks busy.
const FILLING: usize = 32;

/// Clients that write while a follower rejoins.
pub(crate) const WRITERS: usize = 256;

/// The size of their values.
const VALUE_BYTES: usize = 256;

/// Each of them has so many keys, so that the store grows as it would in use.
const KEYS_EACH: u64 = 400;

/// When a write was answered, since the writers began, and how long it took.
#[derive(Clone, Copy)]
struct Write {
    at: Duration,
    took: Duration,
}

/// Clients at work.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    begun: Instant,
    runner: Option<JoinHandle<Result<Vec<Write>>>>,
}

/// All writes.
pub(crate) struct Written(Vec<Write>);

/// What writers saw in a span of time.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Writes per second.
    pub(crate) per_second: f64,
    /// 99th percentile in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Bytes that do not shrink, others for each number.
pub(crate) fn noise(number: u64, bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    let mut noise: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| word()).collect();
    noise.truncate(bytes);
    noise
}

/// The key of a value that the cluster is filled with.
fn key(number: u64) -> Vec<u8> {
    format!("/bench/{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()
}

pub(crate) fn patient(address: &str) -> Result<Client> {
    Client::patient(&Dial::plain(address), GIVE_UP_AFTER)
}

pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Writes the values with these numbers, each under its key; another `round` is other bytes.
pub(crate) fn fill(member: &str, numbers: impl Iterator<Item = u64>, value_bytes: usize, round: u64) -> Result<()> {
    block_on(async {
        let client = patient(member)?;
        let write = |number: u64| {
            let mut kv = client.kv.clone();
            let value = noise(number | round << 40, value_bytes);
            async move {
                let put = pb::PutRequest { key: key(number).into(), value: value.into(), ..Default::default() };
                kv.put(put).await.map(drop).context("filling the cluster")
            }
        };
        stream::iter(numbers.map(anyhow::Ok)).try_for_each_concurrent(FILLING, write).await
    })
}

impl Writers {
    /// Starts them, spread over the members.
    pub(crate) fn start(members: &[String]) -> Self {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let (members, theirs) = (members.to_vec(), Arc::clone(&stop));
        let runner = thread::spawn(move || {
            block_on(async {
                let clients = (0..WRITERS).map(|n| write(&members[n % members.len()], n as u64, begun, &theirs));
                let all: Vec<Vec<Write>> = futures::future::try_join_all(clients).await?;
                Ok(all.concat())
            })
        });
        Self { stop, begun, runner: Some(runner) }
    }

    /// The time on their clock.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Fails if they have ended by themselves.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.runner.as_ref().is_some_and(|runner| !runner.is_finished()), "a writer has failed");
        Ok(())
    }

    /// Ends them.
    pub(crate) fn stop(mut self) -> Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        let runner = self.runner.take().context("they run")?;
        Ok(Written(runner.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??))
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn write(member: &str, writer: u64, begun: Instant, stop: &AtomicBool) -> Result<Vec<Write>> {
    let (mut kv, mut all) = (patient(member)?.kv, Vec::new());
    let value = noise(writer, VALUE_BYTES);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("/writers/{writer:03}/{:03}", number % KEYS_EACH).into_bytes();
        let put = pb::PutRequest { key: key.into(), value: value.clone().into(), ..Default::default() };
        let asked = Instant::now();
        kv.put(put).await.context("a writer")?;
        all.push(Write { at: begun.elapsed(), took: asked.elapsed() });
    }
    Ok(all)
}

impl Written {
    /// What was seen in a span of the writers' clock.
    pub(crate) fn within(&self, span: Range<Duration>) -> Result<Pace> {
        let mut took: Vec<Duration> =
            self.0.iter().filter(|write| span.contains(&write.at)).map(|write| write.took).collect();
        took.sort_unstable();
        let p99 = took.get(took.len() * 99 / 100).context("no write was answered in that time")?;
        let seconds = (span.end - span.start).as_secs_f64();
        Ok(Pace { per_second: took.len() as f64 / seconds, p99_ms: p99.as_secs_f64() * 1e3 })
    }
}
