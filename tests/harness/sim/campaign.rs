//! Many seeds: on several threads, until enough have run or the first one fails.

use super::checks::Violation;
use super::report::Report;
use super::swarm::Cut;
use super::trace::{Lines, Trace};
use super::world::World;
use raft::planted::{Bug, plant};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seeds between two words of how many have run.
const TOLD_EVERY: u64 = 1000;
/// Lines shown before a failure.
const LINES_BEFORE: usize = 60;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it reached.
    pub report: Report,
    /// What did not hold, if something did not.
    pub failure: Option<Violation>,
    /// The hash of its trace.
    pub trace_hash: u64,
    /// The lines of its trace that were kept.
    pub lines: Vec<String>,
}

/// What one seed runs under, besides what it draws.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// How many voters, if not drawn.
    pub voters: Option<usize>,
    /// What is left out.
    pub cut: Cut,
    /// The bug that is planted.
    pub bug: Option<Bug>,
}

/// What a campaign runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first seed.
    pub from: u64,
    /// How many, if there is time for them.
    pub seeds: u64,
    /// So many of them whatever time they take.
    pub seeds_min: u64,
    /// No further seed begins after this.
    pub time: Duration,
    /// How many at once.
    pub threads: usize,
    /// Goes on after a failure.
    pub keep_going: bool,
    /// For every seed.
    pub setting: Setting,
    /// Hears what happens meanwhile.
    pub hears: fn(Notice<'_>),
}

/// What is worth a word before a campaign ends, which may be hours away.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// This seed has failed.
    Failed(u64, &'a Violation),
    /// So many seeds have run since it began.
    Ran(u64, Duration),
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, setting: &Setting, lines: Lines) -> Outcome {
    let mut world = World::new(seed, setting.voters, &setting.cut, Trace::new(lines));
    plant(setting.bug);
    // An engine that panics has broken a rule of its own; the seed is what matters, not the unwinding.
    let verdict = catch_unwind(AssertUnwindSafe(|| world.run()));
    plant(None);
    let failure = match verdict {
        Ok(verdict) => verdict.err(),
        Err(panic) => Some(Violation { check: "panic", what: panic_message(panic.as_ref()) }),
    };
    let World { report, trace, .. } = world;
    Outcome { report, failure, trace_hash: trace.hash(), lines: trace.into_lines() }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// Runs a campaign; what it reached, and what failed, by seed.
#[must_use]
pub fn campaign(plan: &Plan) -> (Report, Vec<(u64, Violation)>) {
    let (next, ran, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let results = Mutex::new((Report::default(), Vec::new()));
    let began = Instant::now();
    let work = || {
        let mut report = Report::default();
        let mut failures = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= plan.seeds || (nth >= plan.seeds_min && began.elapsed() >= plan.time) {
                break;
            }
            let outcome = run(plan.from + nth, &plan.setting, Lines::None);
            report.add(&outcome.report);
            if let Some(failure) = outcome.failure {
                (plan.hears)(Notice::Failed(plan.from + nth, &failure));
                failures.push((plan.from + nth, failure));
                stop.store(!plan.keep_going, Ordering::Relaxed);
            }
            let ran = 1 + ran.fetch_add(1, Ordering::Relaxed);
            if ran.is_multiple_of(TOLD_EVERY) {
                (plan.hears)(Notice::Ran(ran, began.elapsed()));
            }
        }
        let mut results = results.lock().expect("no thread panics while it holds it");
        results.0.add(&report);
        results.1.append(&mut failures);
    };
    std::thread::scope(|scope| {
        (0..plan.threads.max(1)).for_each(|_| {
            scope.spawn(work);
        });
    });
    let (report, mut failures) = results.into_inner().expect("all threads have ended");
    failures.sort_by_key(|(seed, _)| *seed);
    (report, failures)
}

/// The lines that tell of a failure: which rule, the last things that happened, and how to see it again.
#[must_use]
pub fn explain(seed: u64, setting: &Setting, failure: &Violation) -> String {
    let again = run(seed, setting, Lines::Latest(LINES_BEFORE));
    let what = if again.failure.as_ref() == Some(failure) { "" } else { " (it does not fail the same way again!)" };
    format!(
        "{}\nSIMFAIL check={} seed={seed} step={} {}{what}\nreplay: {}",
        again.lines.join("\n"),
        failure.check,
        again.report.steps,
        failure.what,
        replay(seed, setting),
    )
}

/// The command that runs a seed again.
#[must_use]
pub fn replay(seed: u64, setting: &Setting) -> String {
    let mut command = format!("cargo run --profile sim -p tests --bin sim -- --seed {seed} --trace");
    if let Some(voters) = setting.voters {
        command += &format!(" --members {voters}");
    }
    if let Some(bug) = setting.bug {
        command += &format!(" --plant {}", bug.name());
    }
    for fault in &setting.cut.faults {
        command += &format!(" --without {fault:?}");
    }
    for feature in &setting.cut.features {
        command += &format!(" --without {feature:?}");
    }
    if let Some(trouble) = setting.cut.trouble {
        command += &format!(" --trouble-ms {}", trouble / super::queue::MILLI);
    }
    command
}
