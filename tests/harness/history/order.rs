//! The checks of real time: what began after something had returned stands behind it, and nothing shows before it began.

use super::check::Violation;
use super::compaction::{Behind, Compactions};
use super::written::Written;
use super::{Answer, Change, Operation, Request};
use std::collections::BTreeMap;
use std::time::Duration;

/// A moment in the sweep. At equal times an operation begins before another returns, so that only what certainly
/// came first counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Invoked,
    Returned,
}

/// Sweeps over time and keeps the greatest revision returned so far and the greatest one that can exist, and what is known
/// to be compacted.
///
/// # Errors
/// What is stale, from the future, behind what its client had seen at the same member, or compacted.
pub(super) fn check_order(history: &[Operation], log: &[Change], written: &Written) -> Result<(), Violation> {
    let mut moments: Vec<(Duration, Moment, usize)> = Vec::with_capacity(history.len() * 2);
    for (n, operation) in history.iter().enumerate() {
        moments.push((operation.invoked, Moment::Invoked, n));
        moments.push((operation.returned, Moment::Returned, n));
    }
    moments.sort_unstable();
    let mut sweep = Sweep::of(history, possible_at(written.begun(log, history)))?;
    for (at, moment, n) in moments {
        match moment {
            Moment::Invoked => sweep.invoke(n),
            Moment::Returned => sweep.end(n, at)?,
        }
    }
    Ok(())
}

struct Sweep<'a> {
    history: &'a [Operation],
    /// For each revision, from 2 on, from when on it can exist.
    possible: Vec<Duration>,
    compactions: Compactions,
    /// What has returned so far.
    now: Behind,
    /// What each operation stands behind.
    behind: Vec<Behind>,
    shown: Shown,
}

impl<'a> Sweep<'a> {
    fn of(history: &'a [Operation], possible: Vec<Duration>) -> Result<Self, Violation> {
        Ok(Self {
            history,
            possible,
            compactions: Compactions::of(history)?,
            now: Behind::NOTHING,
            behind: vec![Behind::NOTHING; history.len()],
            shown: Shown::default(),
        })
    }

    fn invoke(&mut self, n: usize) {
        self.behind[n] = self.now;
        if let Request::Compact { revision } = self.history[n].request {
            self.compactions.ask(revision, self.now);
        }
    }

    fn end(&mut self, n: usize, at: Duration) -> Result<(), Violation> {
        let (operation, behind) = (&self.history[n], self.behind[n]);
        let least = self.least(operation)?;
        if !is_serializable(operation) {
            check_place(operation, behind)?;
        }
        check_not_future(operation, least.revision, at, &self.possible)?;
        self.check_log(operation)?;
        self.shown.check(operation, behind, least)?;
        self.now.raise(least);
        Ok(())
    }

    /// What has taken place when an operation has been answered as it was.
    fn least(&self, operation: &Operation) -> Result<Behind, Violation> {
        match (&operation.request, &operation.answer) {
            (Request::GetAt { at, .. }, Answer::Compacted) => {
                let first = self.compactions.of_revision(*at);
                let asked = first.filter(|(n, _)| self.history[*n].invoked <= operation.returned);
                let expected = || format!("that nobody had asked to compact revision {at}");
                asked.map(|(_, least)| least).ok_or_else(|| Violation::wrong(operation, expected()))
            }
            (Request::Compact { revision: compacted }, Answer::Unchanged { revision }) => {
                Ok(Behind { revision: *revision, compacted: *compacted })
            }
            _ => Ok(Behind { revision: revision_of(operation).unwrap_or(1), compacted: 0 }),
        }
    }

    /// Whether a state of the past that was shown was there, by where in the log it was read.
    fn check_log(&self, operation: &Operation) -> Result<(), Violation> {
        let Request::GetAt { at, .. } = &operation.request else { return Ok(()) };
        let compacted = revision_of(operation).and_then(|revision| self.compactions.before(*at, revision));
        check_there(operation, compacted.unwrap_or_default())
    }
}

fn revision_of(operation: &Operation) -> Option<i64> {
    match operation.answer {
        Answer::Written { revision } | Answer::Unchanged { revision } | Answer::Read { revision, .. } => Some(revision),
        Answer::Compacted | Answer::Ahead | Answer::Unknown | Answer::Refused => None,
    }
}

fn is_serializable(operation: &Operation) -> bool {
    matches!(operation.request, Request::Get { serializable: true, .. } | Request::GetAt { serializable: true, .. })
}

/// Whether an operation stands behind what had returned when it began, by the state that it shows or makes.
fn check_place(operation: &Operation, behind: Behind) -> Result<(), Violation> {
    let floor = behind.revision;
    let stale = match (&operation.request, &operation.answer) {
        (_, Answer::Written { revision }) => *revision <= floor,
        (_, Answer::Unchanged { revision } | Answer::Read { revision, .. }) => *revision < floor,
        (Request::GetAt { at, .. } | Request::Compact { revision: at }, Answer::Ahead) => *at <= floor,
        _ => false,
    };
    if stale {
        return Err(Violation::Stale { operation: operation.clone(), floor });
    }
    check_there(operation, behind.compacted)
}

/// Whether a state of the past that was shown is one that is still there.
fn check_there(operation: &Operation, compacted: i64) -> Result<(), Violation> {
    match (&operation.request, &operation.answer) {
        (Request::GetAt { at, .. }, Answer::Read { .. }) if *at < compacted => {
            Err(Violation::Uncompacted { operation: operation.clone(), compacted })
        }
        _ => Ok(()),
    }
}

/// For each revision, from when on it can exist: not before its write began, nor before one that it stands on did.
fn possible_at(mut begun: Vec<Duration>) -> Vec<Duration> {
    let mut greatest = Duration::ZERO;
    for slot in &mut begun {
        greatest = greatest.max(*slot);
        *slot = greatest;
    }
    begun
}

/// Whether the revision that an operation shows, or stands behind, can exist by then.
fn check_not_future(
    operation: &Operation,
    revision: i64,
    returned: Duration,
    possible: &[Duration],
) -> Result<(), Violation> {
    if revision < 2 {
        return Ok(());
    }
    let place = usize::try_from(revision - 2).expect("revisions from 2 on");
    match possible.get(place) {
        Some(possible) if *possible > returned => Err(Violation::Future { operation: operation.clone(), revision }),
        Some(_) => Ok(()),
        None => Err(Violation::Lost(operation.clone())),
    }
}

/// What each client's member has answered it with. A client asks one member only, which never goes back while it runs. A
/// request that failed may have met its end: after a crash it begins from what its disk has.
#[derive(Default)]
struct Shown(BTreeMap<usize, Behind>);

impl Shown {
    fn check(&mut self, operation: &Operation, behind: Behind, least: Behind) -> Result<(), Violation> {
        let shown = self.0.entry(operation.client).or_insert(Behind::NOTHING);
        if operation.answer == Answer::Unknown {
            *shown = Behind::NOTHING;
        } else if is_serializable(operation) {
            check_no_less(operation, *shown)?;
            shown.raise(least);
        } else if operation.answer != Answer::Refused {
            // It has waited for whatever had returned.
            let compacted = behind.compacted.max(least.compacted);
            shown.raise(Behind { revision: revision_of(operation).unwrap_or(1), compacted });
        }
        Ok(())
    }
}

/// Whether a member that is asked for its own state shows no less than it has.
fn check_no_less(operation: &Operation, shown: Behind) -> Result<(), Violation> {
    let less = match (&operation.request, &operation.answer) {
        (Request::GetAt { at, .. }, Answer::Ahead) => *at <= shown.revision,
        (_, Answer::Read { revision, .. }) => *revision < shown.revision,
        _ => false,
    };
    if less {
        return Err(Violation::Back { operation: operation.clone(), shown: shown.revision });
    }
    check_there(operation, shown.compacted)
}
