//! The checks, each over the whole history, in O(n log n).

use super::stall::longest_stall;
use super::{Answer, Change, Operation, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Fewer acknowledged writes than this prove nothing.
const ACKNOWLEDGED_MIN: usize = 10;

/// What was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Writes that were acknowledged, and found in the log.
    pub acknowledged: usize,
    /// Writes with an unknown outcome.
    pub unknown: usize,
    /// Of those, how many took effect.
    pub unknown_applied: usize,
    /// Reads that were checked.
    pub reads: usize,
    /// The longest time between two acknowledged writes.
    pub longest_stall: Duration,
}

/// Why a history is not one of a linearizable store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The log or the history is too thin to judge.
    #[error("too little evidence: {0}")]
    Evidence(String),
    /// The log has a hole or goes back.
    #[error("the log jumps from revision {0} to {1}")]
    Hole(i64, i64),
    /// Something is in the log that nobody wrote.
    #[error("revision {revision} holds what nobody wrote: {what}")]
    Invented {
        /// Where.
        revision: i64,
        /// What stands there.
        what: String,
    },
    /// The same write took effect twice.
    #[error("{what} took effect at revision {first} and again at {second}")]
    Twice {
        /// The write.
        what: String,
        /// First.
        first: i64,
        /// Second.
        second: i64,
    },
    /// An acknowledged write is not where its answer says.
    #[error("an acknowledged write is lost: {0:?}")]
    Lost(Operation),
    /// A refused write took effect.
    #[error("a refused write took effect at revision {revision}: {operation:?}")]
    Refused {
        /// The operation.
        operation: Operation,
        /// Where it shows.
        revision: i64,
    },
    /// An answer is not what the log says for its revision.
    #[error("wrong answer: {operation:?}, the log says {expected}")]
    Wrong {
        /// The operation.
        operation: Operation,
        /// What should have been answered.
        expected: String,
    },
    /// It stands before something that had returned when it began.
    #[error("stale: {operation:?} began after revision {floor} had been returned")]
    Stale {
        /// The operation.
        operation: Operation,
        /// The revision that it must not be behind.
        floor: i64,
    },
    /// It shows a write before that write began.
    #[error("from the future: {operation:?} shows revision {revision}, whose write began later")]
    Future {
        /// The operation.
        operation: Operation,
        /// The revision.
        revision: i64,
    },
}

/// Holds a history against the committed log, which is read after the run, from the first revision on.
///
/// # Errors
/// The first [`Violation`] found.
pub fn judge(history: &[Operation], log: &[Change]) -> Result<Report, Violation> {
    let written = Written::of(log, history)?;
    let mut report = Report { longest_stall: longest_stall(history), ..Report::default() };
    for operation in history {
        check_answer(operation, log, &written, &mut report)?;
    }
    if report.acknowledged < ACKNOWLEDGED_MIN {
        return Err(Violation::Evidence(format!(
            "{} acknowledged writes, {ACKNOWLEDGED_MIN} are needed",
            report.acknowledged
        )));
    }
    check_order(history, log, &written)?;
    Ok(report)
}

/// The log, found by key and by value.
struct Written {
    by_value: BTreeMap<String, i64>,
    by_key: BTreeMap<String, Vec<(i64, Option<String>)>>,
    last: i64,
}

impl Written {
    fn of(log: &[Change], history: &[Operation]) -> Result<Self, Violation> {
        let (Some(first), Some(last)) = (log.first(), log.last()) else {
            return Err(Violation::Evidence("the log is empty".to_owned()));
        };
        if first.revision != 2 {
            return Err(Violation::Hole(1, first.revision));
        }
        if let Some(pair) = log.windows(2).find(|pair| pair[1].revision != pair[0].revision + 1) {
            return Err(Violation::Hole(pair[0].revision, pair[1].revision));
        }
        let mut written = Self { by_value: BTreeMap::new(), by_key: BTreeMap::new(), last: last.revision };
        for change in log {
            written.add(change)?;
        }
        written.only_what_was_asked(log, history)?;
        Ok(written)
    }

    fn add(&mut self, change: &Change) -> Result<(), Violation> {
        if let Some(value) = &change.value
            && let Some(first) = self.by_value.insert(value.clone(), change.revision)
        {
            return Err(Violation::Twice { what: value.clone(), first, second: change.revision });
        }
        self.by_key.entry(change.key.clone()).or_default().push((change.revision, change.value.clone()));
        Ok(())
    }

    fn only_what_was_asked(&self, log: &[Change], history: &[Operation]) -> Result<(), Violation> {
        let mut puts = BTreeSet::new();
        let mut deletes: BTreeMap<&str, usize> = BTreeMap::new();
        for operation in history {
            match &operation.request {
                Request::Put { key, value } | Request::CompareAndPut { key, value, .. } => {
                    puts.insert((key.as_str(), value.as_str()));
                }
                Request::Delete { key } => *deletes.entry(key).or_default() += 1,
                Request::Get { .. } => {}
            }
        }
        let invented = |change: &&Change| match &change.value {
            Some(value) => !puts.contains(&(change.key.as_str(), value.as_str())),
            None => match deletes.get_mut(change.key.as_str()) {
                Some(left @ 1..) => {
                    *left -= 1;
                    false
                }
                _ => true,
            },
        };
        match log.iter().find(invented) {
            Some(change) => Err(Violation::Invented { revision: change.revision, what: format!("{change:?}") }),
            None => Ok(()),
        }
    }

    /// What the key held as of `revision`: the value and the revision that wrote it.
    fn at(&self, key: &str, revision: i64) -> Option<(String, i64)> {
        let changes = self.by_key.get(key)?;
        let seen = changes.partition_point(|(at, _)| *at <= revision);
        let (at, value) = changes.get(seen.checked_sub(1)?)?;
        value.clone().map(|value| (value, *at))
    }
}

fn check_answer(
    operation: &Operation,
    log: &[Change],
    written: &Written,
    report: &mut Report,
) -> Result<(), Violation> {
    let wrong = |expected: String| Err(Violation::Wrong { operation: operation.clone(), expected });
    match (&operation.request, &operation.answer) {
        (request, Answer::Written { revision }) => {
            report.acknowledged += 1;
            check_written(operation, request, *revision, log, written)
        }
        (Request::Delete { key }, Answer::Unchanged { revision }) => match written.at(key, *revision) {
            Some(found) => wrong(format!("{found:?} was there to delete")),
            None => Ok(()),
        },
        (Request::CompareAndPut { key, expected, .. }, Answer::Unchanged { revision }) => {
            let found = written.at(key, *revision).map_or(0, |(_, at)| at);
            if found == *expected { wrong(format!("the comparison with {expected} holds")) } else { Ok(()) }
        }
        (Request::Get { key, .. }, Answer::Read { revision, found }) => {
            report.reads += 1;
            let expected = written.at(key, *revision);
            if *revision <= written.last && *found == expected { Ok(()) } else { wrong(format!("{expected:?}")) }
        }
        (request, Answer::Unknown) => {
            if let Request::Put { value, .. } | Request::CompareAndPut { value, .. } = request {
                report.unknown += 1;
                report.unknown_applied += usize::from(written.by_value.contains_key(value));
            }
            Ok(())
        }
        (Request::Put { value, .. } | Request::CompareAndPut { value, .. }, Answer::Refused) => {
            match written.by_value.get(value) {
                Some(revision) => Err(Violation::Refused { operation: operation.clone(), revision: *revision }),
                None => Ok(()),
            }
        }
        (Request::Delete { .. } | Request::Get { .. }, Answer::Refused) => Ok(()),
        (Request::Put { .. } | Request::Get { .. }, Answer::Unchanged { .. })
        | (Request::Put { .. } | Request::Delete { .. } | Request::CompareAndPut { .. }, Answer::Read { .. }) => {
            wrong("an answer of another kind".to_owned())
        }
    }
}

fn check_written(
    operation: &Operation,
    request: &Request,
    revision: i64,
    log: &[Change],
    written: &Written,
) -> Result<(), Violation> {
    let lost = || Violation::Lost(operation.clone());
    let place = usize::try_from(revision - 2).map_err(|_| lost())?;
    let change = log.get(place).ok_or_else(lost)?;
    let stands = match request {
        Request::Put { key, value } => change.key == *key && change.value.as_ref() == Some(value),
        Request::Delete { key } => change.key == *key && change.value.is_none(),
        Request::CompareAndPut { key, value, expected } => {
            let before = written.at(key, revision - 1).map_or(0, |(_, at)| at);
            change.key == *key && change.value.as_ref() == Some(value) && before == *expected
        }
        Request::Get { .. } => false,
    };
    if stands { Ok(()) } else { Err(lost()) }
}

/// A moment in the sweep. At equal times an operation begins before another returns, so that only what certainly
/// came first counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Invoked,
    Returned,
}

/// Sweeps over time and keeps the greatest revision returned so far and the greatest one that can exist.
fn check_order(history: &[Operation], log: &[Change], written: &Written) -> Result<(), Violation> {
    let mut moments: Vec<(Duration, Moment, usize)> = Vec::with_capacity(history.len() * 2);
    for (n, operation) in history.iter().enumerate() {
        moments.push((operation.invoked, Moment::Invoked, n));
        moments.push((operation.returned, Moment::Returned, n));
    }
    moments.sort_unstable();
    let begun = begun_at(history, log, written);
    let (mut returned_max, mut floors) = (1, vec![1; history.len()]);
    for (at, moment, n) in moments {
        let operation = &history[n];
        match moment {
            Moment::Invoked => floors[n] = returned_max,
            Moment::Returned => {
                check_place(operation, floors[n])?;
                check_not_future(operation, at, &begun)?;
                if !matches!(operation.request, Request::Get { serializable: true, .. }) {
                    returned_max = returned_max.max(revision_of(operation).unwrap_or(1));
                }
            }
        }
    }
    Ok(())
}

fn revision_of(operation: &Operation) -> Option<i64> {
    match operation.answer {
        Answer::Written { revision } | Answer::Unchanged { revision } | Answer::Read { revision, .. } => Some(revision),
        Answer::Unknown | Answer::Refused => None,
    }
}

fn check_place(operation: &Operation, floor: i64) -> Result<(), Violation> {
    let stale = match (&operation.request, &operation.answer) {
        (Request::Get { serializable: true, .. }, _) | (_, Answer::Unknown | Answer::Refused) => false,
        (_, Answer::Written { revision }) => *revision <= floor,
        (_, Answer::Unchanged { revision } | Answer::Read { revision, .. }) => *revision < floor,
    };
    if stale { Err(Violation::Stale { operation: operation.clone(), floor }) } else { Ok(()) }
}

/// For each revision, when its write began; the greatest over all revisions up to it, so that one look-up tells
/// whether a state can have existed. A deletion is taken to have begun with the first one asked for its key.
fn begun_at(history: &[Operation], log: &[Change], written: &Written) -> Vec<Duration> {
    let mut begun = vec![Duration::ZERO; log.len()];
    for operation in history {
        let revision = match &operation.request {
            Request::Put { value, .. } | Request::CompareAndPut { value, .. } => written.by_value.get(value).copied(),
            Request::Delete { .. } => {
                revision_of(operation).filter(|_| matches!(operation.answer, Answer::Written { .. }))
            }
            Request::Get { .. } => None,
        };
        if let Some(slot) = revision.and_then(|revision| begun.get_mut(usize::try_from(revision - 2).ok()?)) {
            *slot = operation.invoked;
        }
    }
    let mut greatest = Duration::ZERO;
    for slot in &mut begun {
        greatest = greatest.max(*slot);
        *slot = greatest;
    }
    begun
}

fn check_not_future(operation: &Operation, returned: Duration, begun: &[Duration]) -> Result<(), Violation> {
    let Some(revision) = revision_of(operation).filter(|revision| *revision >= 2) else { return Ok(()) };
    let place = usize::try_from(revision - 2).expect("revisions from 2 on");
    match begun.get(place) {
        Some(begun) if *begun > returned => Err(Violation::Future { operation: operation.clone(), revision }),
        Some(_) => Ok(()),
        None => Err(Violation::Lost(operation.clone())),
    }
}
