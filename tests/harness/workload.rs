//! Clients that write and read for as long as a test lets them, and the history of what they saw.

use crate::client::{Client, Dial};
use crate::history::{Answer, Change, Operation, Report, Request, judge};
use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Few enough that clients meet on the same key.
const KEYS: u64 = 20;

/// A client whose request failed waits this long, so that a member that is gone is not asked in a loop.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Revisions read back at once.
const READ_BACK_AT_ONCE: usize = 64;

/// Reads of the past are waited for as long as this: on a machine that is busy with other tests, the last of so many at once
/// takes more than a client's usual patience.
const READ_BACK_WITHIN: Duration = Duration::from_secs(60);

/// A write that a client gave up on takes effect within an election or two, or never.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// Members have this long to reach the same revision once the load has ended.
const CONVERGE_WITHIN: Duration = Duration::from_secs(30);

/// How clients work.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many.
    pub clients: usize,
    /// What they ask follows from it.
    pub seed: u64,
    /// Between the answer to one request and the next request of the same client.
    pub rest: Duration,
}

struct Shared {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    begun: Instant,
}

/// Clients at work.
///
/// They are stopped when it is dropped, also by a test that fails: their ports will be another test's.
#[derive(Debug)]
pub struct Workload {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    begun: Instant,
    runner: Option<JoinHandle<Result<Vec<Operation>>>>,
}

impl Workload {
    /// Starts `clients` clients, spread over the members.
    #[must_use]
    pub fn start(addresses: &[String], clients: usize, seed: u64) -> Self {
        let dials = addresses.iter().map(|address| Dial::plain(address)).collect();
        Self::start_at(dials, Plan { clients, seed, rest: Duration::ZERO })
    }

    /// Starts clients, spread over the members.
    #[must_use]
    pub fn start_at(members: Vec<Dial>, plan: Plan) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = Shared { stop: Arc::clone(&stop), acknowledged: Arc::clone(&acknowledged), begun: Instant::now() };
        let begun = shared.begun;
        let runner = thread::spawn(move || run(&members, plan, &shared));
        Self { stop, acknowledged, begun, runner: Some(runner) }
    }

    /// The time on the clock of the history.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` further writes are acknowledged; how long that took.
    ///
    /// # Errors
    /// When they are not within `within`.
    pub fn wait_acknowledged(&self, more: u64, within: Duration) -> Result<Duration> {
        let (begun, goal) = (Instant::now(), self.acknowledged() + more);
        while self.acknowledged() < goal {
            ensure!(begun.elapsed() < within, "{} of {goal} writes acknowledged after {within:?}", self.acknowledged());
            let ended = self.runner.as_ref().is_none_or(JoinHandle::is_finished);
            ensure!(!ended, "the clients have ended");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// Stops the clients and returns what they saw.
    ///
    /// # Errors
    /// When a client could not be made.
    pub fn stop(mut self) -> Result<Vec<Operation>> {
        self.join().context("the clients have been stopped before")?
    }

    fn join(&mut self) -> Option<Result<Vec<Operation>>> {
        self.stop.store(true, Ordering::Relaxed);
        let runner = self.runner.take()?;
        Some(runner.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked"))))
    }

    /// Stops the clients, waits until every member shows the same, and judges the history.
    ///
    /// # Errors
    /// When members differ or the history is not that of a linearizable store.
    pub fn stop_and_judge(self, addresses: &[String]) -> Result<Report> {
        let dials: Vec<Dial> = addresses.iter().map(|address| Dial::plain(address)).collect();
        self.stop_and_judge_at(&dials).map(|(report, _)| report)
    }

    /// The same, and the history.
    ///
    /// # Errors
    /// When members differ or the history is not that of a linearizable store.
    pub fn stop_and_judge_at(self, members: &[Dial]) -> Result<(Report, Vec<Operation>)> {
        let history = self.stop()?;
        // Where every answer is known, nothing is still on its way.
        let unknown = history.iter().any(|operation| operation.answer == Answer::Unknown);
        let quiet_for = if unknown { QUIET_FOR } else { Duration::ZERO };
        let runtime = runtime()?;
        let log = runtime.block_on(converged_log(members, quiet_for))?;
        let report = judge(&history, &log).context("the history of the clients")?;
        eprintln!("judged {} operations over {} revisions: {report:?}", history.len(), log.len());
        Ok((report, history))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        drop(self.join());
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn run(members: &[Dial], plan: Plan, shared: &Shared) -> Result<Vec<Operation>> {
    runtime()?.block_on(async {
        let all = (0..plan.clients).map(|id| one_client(id, &members[id % members.len()], plan, shared));
        Ok(futures::future::try_join_all(all).await?.into_iter().flatten().collect())
    })
}

async fn one_client(id: usize, member: &Dial, plan: Plan, shared: &Shared) -> Result<Vec<Operation>> {
    let mut client = Client::dial(member)?;
    let mut chance = Chance(plan.seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut seen, mut history, mut count) = (BTreeMap::new(), Vec::new(), 0_u64);
    while !shared.stop.load(Ordering::Relaxed) {
        count += 1;
        let request = chance.request(&format!("c{id}-{count}"), &seen);
        let invoked = shared.begun.elapsed();
        let answer = ask(&mut client, &request).await;
        let operation = Operation { client: id, invoked, returned: shared.begun.elapsed(), request, answer };
        let rest = match &operation.answer {
            Answer::Unknown | Answer::Refused => plan.rest.max(PAUSE_AFTER_FAILURE),
            Answer::Written { .. } | Answer::Unchanged { .. } | Answer::Read { .. } => plan.rest,
        };
        if matches!(operation.answer, Answer::Written { .. }) {
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        remember(&operation, &mut seen);
        history.push(operation);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
    Ok(history)
}

/// What a client has last seen of each key, so that its comparisons sometimes hold.
fn remember(operation: &Operation, seen: &mut BTreeMap<String, i64>) {
    match (&operation.request, &operation.answer) {
        (Request::Put { key, .. } | Request::CompareAndPut { key, .. }, Answer::Written { revision }) => {
            seen.insert(key.clone(), *revision);
        }
        (Request::Get { key, .. }, Answer::Read { found, .. }) => {
            seen.insert(key.clone(), found.as_ref().map_or(0, |(_, at)| *at));
        }
        (Request::Delete { key }, _) => _ = seen.remove(key),
        _ => {}
    }
}

async fn ask(client: &mut Client, request: &Request) -> Answer {
    match request {
        Request::Put { key, value } => outcome(client.put(key, value).await, |revision| Answer::Written { revision }),
        Request::Delete { key } => {
            outcome(client.delete(key).await, |(revision, deleted)| written_if(deleted > 0, revision))
        }
        Request::CompareAndPut { key, expected, value } => {
            outcome(client.compare_and_put(key, *expected, value).await, |(revision, wrote)| {
                written_if(wrote, revision)
            })
        }
        Request::Get { key, serializable } => {
            outcome(client.get(key, *serializable).await, |(revision, found)| Answer::Read { revision, found })
        }
    }
}

fn written_if(wrote: bool, revision: i64) -> Answer {
    if wrote { Answer::Written { revision } } else { Answer::Unchanged { revision } }
}

/// Only an error that the contract gives before anything is proposed says that a write did not happen.
fn outcome<T>(result: Result<T, Status>, answer: impl FnOnce(T) -> Answer) -> Answer {
    match result {
        Ok(value) => answer(value),
        Err(status) => match status.code() {
            Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted | Code::FailedPrecondition => {
                Answer::Refused
            }
            _ => Answer::Unknown,
        },
    }
}

/// The committed log, read from the first member once every member shows the same revision and the same hash.
async fn converged_log(members: &[Dial], quiet_for: Duration) -> Result<Vec<Change>> {
    let mut clients = members.iter().map(Client::dial).collect::<Result<Vec<_>>>()?;
    let last = converged_revision(&mut clients, quiet_for).await?;
    let (mut hashes, mut states) = (Vec::new(), Vec::new());
    for client in &mut clients {
        hashes.push(client.hash_kv(last).await.context("HashKV")?);
        states.push(client.everything(last, true).await?.kvs);
    }
    ensure!(hashes.iter().all(|hash| *hash == hashes[0]), "members differ at revision {last}: HashKV {hashes:?}");
    for (state, member) in states.iter().zip(members) {
        let differs = state.iter().zip(&states[0]).find(|(here, there)| here != there);
        ensure!(
            *state == states[0],
            "{} shows other keys at revision {last} than {}: {differs:?}",
            member.address,
            members[0].address
        );
    }
    read_back(&Client::patient(&members[0], READ_BACK_WITHIN)?, last).await
}

/// The revision at which every member stands, and stays for so long: what clients gave up on may still be on its way.
async fn converged_revision(clients: &mut [Client], quiet_for: Duration) -> Result<i64> {
    let (begun, mut since) = (Instant::now(), (-1, Instant::now()));
    loop {
        let mut revisions = Vec::new();
        for client in &mut *clients {
            revisions.push(
                client.everything(0, true).await.map_or(-1, |answer| answer.header.map_or(0, |header| header.revision)),
            );
        }
        let alike = revisions[0] > 0 && revisions.iter().all(|revision| *revision == revisions[0]);
        if !alike || since.0 != revisions[0] {
            since = (if alike { revisions[0] } else { -1 }, Instant::now());
        }
        if alike && since.1.elapsed() >= quiet_for {
            return Ok(revisions[0]);
        }
        ensure!(
            begun.elapsed() < CONVERGE_WITHIN,
            "members stand at revisions {revisions:?} after {CONVERGE_WITHIN:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What changed at each revision: the difference of the states before and after.
async fn read_back(client: &Client, last: i64) -> Result<Vec<Change>> {
    let states: Vec<BTreeMap<String, (i64, String)>> = stream::iter(1..=last)
        .map(|revision| state_at(client.clone(), revision))
        .buffered(READ_BACK_AT_ONCE)
        .try_collect()
        .await?;
    let mut log = Vec::new();
    for (pair, revision) in states.windows(2).zip(2..) {
        let (before, after) = (&pair[0], &pair[1]);
        let put =
            after.iter().filter(|(_, (at, _))| *at == revision).map(|(key, (_, value))| (key, Some(value.clone())));
        let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key, None));
        log.extend(put.chain(gone).map(|(key, value)| Change { revision, key: key.clone(), value }));
    }
    Ok(log)
}

async fn state_at(mut client: Client, revision: i64) -> Result<BTreeMap<String, (i64, String)>> {
    let answer =
        client.everything(revision, true).await.with_context(|| format!("read the state at revision {revision}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(answer.kvs.iter().map(|kv| (text(&kv.key), (kv.mod_revision, text(&kv.value)))).collect())
}

/// A small generator, so that a run can be told by its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn request(&mut self, unique: &str, seen: &BTreeMap<String, i64>) -> Request {
        let key = format!("k{}", self.below(KEYS));
        match self.below(10) {
            0..4 => Request::Put { key, value: unique.to_owned() },
            4 => Request::Delete { key },
            5..7 => {
                let expected = seen.get(&key).copied().unwrap_or_default();
                Request::CompareAndPut { key, expected, value: unique.to_owned() }
            }
            7..9 => Request::Get { key, serializable: false },
            _ => Request::Get { key, serializable: true },
        }
    }
}
