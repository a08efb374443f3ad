//! Clients that write and read for as long as a test lets them, while one of them compacts, and the history of what they
//! saw.

mod compactor;
mod log;

use crate::client::{Client, Dial};
use crate::history::{Answer, Operation, Report, Request, judge};
use anyhow::{Context, Result, ensure};
use log::Log;
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

/// A write that a client gave up on takes effect within an election or two, or never.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// Requests to a member that is gone fail at once, or when a client gives up.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// The errors about revisions, as etcd words them.
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const AHEAD: &str = "etcdserver: mvcc: required revision is a future revision";

/// One compaction in so many.
const PHYSICAL_EVERY: i64 = 4;

/// Reads of the past go back as far as this, and beyond what there is by a few revisions.
const PAST: u64 = 300;
const TO_COME: i64 = 3;

/// How clients work.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many.
    pub clients: usize,
    /// What they ask follows from it.
    pub seed: u64,
    /// Between the answer to one request and the next request of the same client.
    pub rest: Duration,
    /// Whether one more client compacts what has been written.
    pub compacts: bool,
}

/// What clients saw, and the part of the log that one of them has read.
#[derive(Debug)]
struct Seen {
    history: Vec<Operation>,
    log: Log,
}

/// What the clients and whoever started them have in common.
#[derive(Clone, Debug)]
struct Shared {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    /// By client, the requests that were not answered.
    unanswered: Arc<Vec<AtomicU64>>,
    begun: Instant,
}

/// Clients at work.
///
/// They are stopped when it is dropped, also by a test that fails: their ports will be another test's.
#[derive(Debug)]
pub struct Workload {
    shared: Shared,
    members: usize,
    compacts: bool,
    runner: Option<JoinHandle<Result<Seen>>>,
}

impl Workload {
    /// Starts `clients` clients, spread over the members, and one that compacts.
    #[must_use]
    pub fn start(addresses: &[String], clients: usize, seed: u64) -> Self {
        let dials = addresses.iter().map(|address| Dial::plain(address)).collect();
        Self::start_at(dials, Plan { clients, seed, rest: Duration::ZERO, compacts: true })
    }

    /// Starts clients, spread over the members.
    #[must_use]
    pub fn start_at(members: Vec<Dial>, plan: Plan) -> Self {
        let unanswered = (0..plan.clients).map(|_| AtomicU64::new(0)).collect();
        let (stop, acknowledged, begun) = (Arc::default(), Arc::default(), Instant::now());
        let shared = Shared { stop, acknowledged, unanswered: Arc::new(unanswered), begun };
        let (theirs, count) = (shared.clone(), members.len());
        let runner = thread::spawn(move || run(&members, plan, &theirs));
        Self { shared, members: count, compacts: plan.compacts, runner: Some(runner) }
    }

    /// The time on the clock of the history.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.begun.elapsed()
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
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

    /// Waits until every client of a member has seen that it is gone. A process that takes its place sooner may be taken for
    /// it, and need not show all that it had shown.
    ///
    /// # Errors
    /// When one of them has not after a while: the member is there.
    pub fn wait_noticed(&self, member: usize) -> Result<()> {
        let of_member = || self.shared.unanswered.iter().skip(member).step_by(self.members);
        let before: Vec<u64> = of_member().map(|count| count.load(Ordering::Relaxed)).collect();
        let begun = Instant::now();
        while of_member().zip(&before).any(|(count, before)| count.load(Ordering::Relaxed) == *before) {
            ensure!(begun.elapsed() < NOTICED_WITHIN, "a client is still served by member {member}");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Stops the clients and returns what they saw.
    ///
    /// # Errors
    /// When a client could not be made.
    pub fn stop(mut self) -> Result<Vec<Operation>> {
        self.end().map(|seen| seen.history)
    }

    fn end(&mut self) -> Result<Seen> {
        self.join().context("the clients have been stopped before")?
    }

    fn join(&mut self) -> Option<Result<Seen>> {
        self.shared.stop.store(true, Ordering::Relaxed);
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
    pub fn stop_and_judge_at(mut self, members: &[Dial]) -> Result<(Report, Vec<Operation>)> {
        let compacts = self.compacts;
        let Seen { history, log } = self.end()?;
        // Where every answer is known, nothing is still on its way.
        let unknown = history.iter().any(|operation| operation.answer == Answer::Unknown);
        let quiet_for = if unknown { QUIET_FOR } else { Duration::ZERO };
        let runtime = runtime()?;
        let log = runtime.block_on(log.converged(members, quiet_for))?;
        let report = judge(&history, &log).context("the history of the clients")?;
        ensure!(!compacts || report.compactions > 0, "no compaction was acknowledged: {report:?}");
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

fn run(members: &[Dial], plan: Plan, shared: &Shared) -> Result<Seen> {
    runtime()?.block_on(async {
        let all = (0..plan.clients).map(|id| one_client(id, &members[id % members.len()], plan, shared));
        let compactor = async {
            match plan.compacts {
                true => compactor::run(plan.clients, members, plan.seed, shared).await,
                false => Ok((Vec::new(), Log::empty())),
            }
        };
        let (histories, (mut history, log)) =
            futures::future::try_join(futures::future::try_join_all(all), compactor).await?;
        history.extend(histories.into_iter().flatten());
        Ok(Seen { history, log })
    })
}

async fn one_client(id: usize, member: &Dial, plan: Plan, shared: &Shared) -> Result<Vec<Operation>> {
    let mut client = Client::dial(member)?;
    let mut chance = Chance(plan.seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut known, mut history, mut count) = (Known::default(), Vec::new(), 0_u64);
    while !shared.stop.load(Ordering::Relaxed) {
        count += 1;
        let request = chance.request(&format!("c{id}-{count}"), &known);
        let invoked = shared.begun.elapsed();
        let answer = ask(&mut client, &request).await;
        let operation = Operation { client: id, invoked, returned: shared.begun.elapsed(), request, answer };
        let rest = match &operation.answer {
            Answer::Unknown | Answer::Refused => plan.rest.max(PAUSE_AFTER_FAILURE),
            _ => plan.rest,
        };
        match &operation.answer {
            Answer::Written { .. } => _ = shared.acknowledged.fetch_add(1, Ordering::Relaxed),
            Answer::Unknown => _ = shared.unanswered[id].fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        known.learn(&operation);
        history.push(operation);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
    Ok(history)
}

/// What a client knows: with that its comparisons sometimes hold, and what it reads of the past is sometimes there.
#[derive(Default)]
struct Known {
    /// By key, the revision that wrote it last.
    keys: BTreeMap<String, i64>,
    /// The last revision it was answered with.
    revision: i64,
}

impl Known {
    fn learn(&mut self, operation: &Operation) {
        if let Answer::Written { revision } | Answer::Unchanged { revision } | Answer::Read { revision, .. } =
            operation.answer
        {
            self.revision = revision;
        }
        match (&operation.request, &operation.answer) {
            (Request::Put { key, .. } | Request::CompareAndPut { key, .. }, Answer::Written { revision }) => {
                self.keys.insert(key.clone(), *revision);
            }
            (Request::Get { key, .. }, Answer::Read { found, .. }) => {
                self.keys.insert(key.clone(), found.as_ref().map_or(0, |(_, at)| *at));
            }
            (Request::Delete { key }, _) => _ = self.keys.remove(key),
            _ => {}
        }
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
        Request::GetAt { key, at, serializable } => {
            outcome(client.get_at(key, *at, *serializable).await, |(revision, found)| Answer::Read { revision, found })
        }
        // Where the number says so, it is taken out of the files as well.
        Request::Compact { revision } => {
            let physical = revision % PHYSICAL_EVERY == 0;
            outcome(client.compact(*revision, physical).await, |revision| Answer::Unchanged { revision })
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
        Err(status) if status.message() == COMPACTED => Answer::Compacted,
        Err(status) if status.message() == AHEAD => Answer::Ahead,
        Err(status) => match status.code() {
            Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted | Code::FailedPrecondition => {
                Answer::Refused
            }
            _ => Answer::Unknown,
        },
    }
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

    /// Both bounds can come out.
    fn between(&mut self, least: u64, most: u64) -> i64 {
        (least + self.below(most - least + 1)).cast_signed()
    }

    fn request(&mut self, unique: &str, known: &Known) -> Request {
        let key = format!("k{}", self.below(KEYS));
        match self.below(11) {
            0..4 => Request::Put { key, value: unique.to_owned() },
            4 => Request::Delete { key },
            5..7 => {
                let expected = known.keys.get(&key).copied().unwrap_or_default();
                Request::CompareAndPut { key, expected, value: unique.to_owned() }
            }
            7..9 => Request::Get { key, serializable: false },
            9 => Request::Get { key, serializable: true },
            _ => {
                let at = (known.revision + TO_COME - self.between(0, PAST)).max(1);
                Request::GetAt { key, at, serializable: self.below(2) == 0 }
            }
        }
    }
}
