//! A client that asks for no more than its share, and must get it.

use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tests::client::Client;
use tonic::{Code, Status};

/// It asks this many times at least, and so often with a large value.
const REQUESTS_MIN: u64 = 50;
const LARGE_MIN: u64 = 5;
/// More than what is not counted against what requests and answers may hold.
const LARGE_BYTES: usize = 64 << 10;
/// Between two large values: the history of a store keeps them all.
const LARGE_EVERY: Duration = Duration::from_millis(100);
/// Whoever is told to come back with a large value has a place after this at the latest: others that hold what there is must
/// go on within ten seconds, or lose it.
const LARGE_WITHIN: Duration = Duration::from_secs(15);

/// What it was served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) requests: u64,
    /// Of them, with large values.
    pub(super) large: u64,
    /// A write and the read of what it wrote.
    pub(super) slowest: Duration,
    /// How often it was told to come back with a large value, and for how long.
    pub(super) turned_away: u64,
    pub(super) turned_away_for: Duration,
}

/// The client at work: it writes and reads, one after the other, values of some bytes and now and then a large one.
pub(super) struct Honest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Served>>,
}

impl Honest {
    pub(super) fn start(address: &str) -> Self {
        let (stop, address) = (Arc::new(AtomicBool::new(false)), address.to_owned());
        let seen = Arc::clone(&stop);
        Self { stop, thread: std::thread::spawn(move || work(&address, &seen)) }
    }

    /// Lets it finish what it is at.
    ///
    /// # Errors
    /// When a request failed, or took longer than a client waits, or was answered wrong.
    pub(super) fn end(self) -> Result<Served> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

fn work(address: &str, stop: &AtomicBool) -> Result<Served> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut working = Working::new(Client::lazy(address)?);
        while !working.may_end() || !stop.load(Ordering::Relaxed) {
            if Instant::now() < working.large_at {
                working.small().await.context("an honest request of a few bytes")?;
            } else {
                working.large().await.context("an honest request of 64 KiB")?;
            }
        }
        Ok(working.served)
    })
}

struct Working {
    client: Client,
    served: Served,
    /// When the next large value is due.
    large_at: Instant,
    /// Since when it has been told to come back.
    turned_away: Option<Instant>,
}

impl Working {
    fn new(client: Client) -> Self {
        Self { client, served: Served::default(), large_at: Instant::now(), turned_away: None }
    }

    fn may_end(&self) -> bool {
        self.served.requests >= REQUESTS_MIN && self.served.large >= LARGE_MIN && self.turned_away.is_none()
    }

    async fn small(&mut self) -> Result<()> {
        self.write_and_read("small", self.served.requests.to_string()).await?;
        Ok(())
    }

    /// A client that is told to come back does.
    async fn large(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.large_at = begun + LARGE_EVERY;
        let value = format!("{} {}", self.served.requests, "v".repeat(LARGE_BYTES));
        match self.write_and_read("large", value).await {
            Ok(()) => {
                self.served.large += 2;
                let waited = self.turned_away.take().map_or(Duration::ZERO, |since| since.elapsed());
                self.served.turned_away_for = self.served.turned_away_for.max(waited);
                Ok(())
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                self.served.turned_away += 1;
                let since = *self.turned_away.get_or_insert(begun);
                ensure!(since.elapsed() < LARGE_WITHIN, "turned away for {:.1?}: {status}", since.elapsed());
                Ok(())
            }
            Err(status) => Err(status.into()),
        }
    }

    async fn write_and_read(&mut self, key: &str, value: String) -> Result<(), Status> {
        let begun = Instant::now();
        self.client.put(key, &value).await?;
        match self.client.get(key, false).await? {
            (_, Some((found, _))) if found == value => {}
            (_, found) => return Err(Status::data_loss(format!("{value:.20} was written to {key}, not {found:.40?}"))),
        }
        self.served.requests += 2;
        self.served.slowest = self.served.slowest.max(begun.elapsed());
        Ok(())
    }
}
