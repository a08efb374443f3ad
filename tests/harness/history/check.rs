//! The checks, each over the whole history, in O(n log n).

use super::order::check_order;
use super::stall::longest_stall;
use super::written::Written;
use super::{Answer, Change, Operation, Request};
use std::collections::BTreeSet;
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
    /// Of them, those that were told that what they ask for is compacted.
    pub compacted: usize,
    /// Compactions that were acknowledged.
    pub compactions: usize,
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
    /// One revision was given to two writes.
    #[error("revision {revision} was acknowledged to another write before: {operation:?}")]
    Shared {
        /// The revision.
        revision: i64,
        /// The second write.
        operation: Operation,
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
    /// It shows what had been taken away.
    #[error("{operation:?} shows what is compacted: revisions from {compacted} on are there")]
    Uncompacted {
        /// The operation.
        operation: Operation,
        /// The first revision that is there.
        compacted: i64,
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
    /// A member shows less than it had shown the same client.
    #[error("back in time: {operation:?} after the same member had answered with revision {shown}")]
    Back {
        /// The operation.
        operation: Operation,
        /// What the member had answered with.
        shown: i64,
    },
}

impl Violation {
    /// Nobody asked for this change.
    pub(super) fn invented(change: &Change) -> Self {
        Self::Invented { revision: change.revision, what: format!("{change:?}") }
    }

    /// It should have been answered otherwise.
    pub(super) fn wrong(operation: &Operation, expected: String) -> Self {
        Self::Wrong { operation: operation.clone(), expected }
    }
}

/// Holds a history against the committed log, which is read after the run, from the first revision on.
///
/// # Errors
/// The first [`Violation`] found.
pub fn judge(history: &[Operation], log: &[Change]) -> Result<Report, Violation> {
    let written = Written::of(log, history)?;
    check_shared(history)?;
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

/// A revision is the work of one request.
fn check_shared(history: &[Operation]) -> Result<(), Violation> {
    let mut acknowledged = BTreeSet::new();
    for operation in history {
        if let Answer::Written { revision } = operation.answer
            && !acknowledged.insert(revision)
        {
            return Err(Violation::Shared { revision, operation: operation.clone() });
        }
    }
    Ok(())
}

fn check_answer(
    operation: &Operation,
    log: &[Change],
    written: &Written,
    report: &mut Report,
) -> Result<(), Violation> {
    let wrong = |expected: String| Err(Violation::wrong(operation, expected));
    match (&operation.request, &operation.answer) {
        (request, Answer::Written { revision }) => {
            report.acknowledged += 1;
            check_written(operation, request, *revision, log, written)
        }
        (Request::Delete { key }, Answer::Unchanged { revision }) => match written.at(key, *revision) {
            Some(found) => wrong(format!("{found:?} was there to delete")),
            None => Ok(()),
        },
        (Request::CompareAndPut { key, expected, value }, Answer::Unchanged { revision }) => {
            let found = written.at(key, *revision).map_or(0, |(_, at)| at);
            if found == *expected {
                return wrong(format!("the comparison with {expected} holds"));
            }
            check_refused(operation, value, written)
        }
        (Request::Get { key, .. }, Answer::Read { revision, found }) => {
            report.reads += 1;
            check_read(operation, (key, *revision), *revision, found.as_ref(), written)
        }
        (Request::GetAt { key, at, .. }, Answer::Read { revision, found }) => {
            report.reads += 1;
            check_read(operation, (key, *at), *revision, found.as_ref(), written)
        }
        // Whether it may be gone, or still to come, is a question of order.
        (Request::GetAt { .. }, Answer::Compacted | Answer::Ahead) => {
            report.reads += 1;
            report.compacted += usize::from(operation.answer == Answer::Compacted);
            Ok(())
        }
        (Request::Compact { revision: asked }, Answer::Unchanged { revision }) => {
            report.compactions += 1;
            if asked <= revision { Ok(()) } else { wrong(format!("{asked} is still to come")) }
        }
        (Request::Put { value, .. } | Request::CompareAndPut { value, .. }, Answer::Unknown) => {
            let revision = written.revision_of(value);
            report.unknown += 1;
            report.unknown_applied += usize::from(revision.is_some());
            match revision.filter(|revision| !is_comparison_met(&operation.request, *revision, written)) {
                Some(revision) => wrong(format!("it took effect at {revision}, where its comparison does not hold")),
                None => Ok(()),
            }
        }
        (Request::Put { value, .. } | Request::CompareAndPut { value, .. }, Answer::Refused) => {
            check_refused(operation, value, written)
        }
        // Deletions that took effect have been matched with the deletes that may have made them, and compactions with what
        // is refused because of them.
        (Request::Delete { .. } | Request::Compact { .. }, Answer::Unknown | Answer::Refused)
        | (Request::Get { .. } | Request::GetAt { .. }, Answer::Unknown | Answer::Refused)
        | (Request::Compact { .. }, Answer::Ahead) => Ok(()),
        // Nobody else compacts, and never twice.
        (Request::Compact { .. }, Answer::Compacted) => wrong("that nobody had compacted as much".to_owned()),
        (_, Answer::Unchanged { .. } | Answer::Read { .. } | Answer::Compacted | Answer::Ahead) => {
            wrong("an answer of another kind".to_owned())
        }
    }
}

/// Whether a write that was refused, or whose comparison failed, is nowhere in the log.
fn check_refused(operation: &Operation, value: &str, written: &Written) -> Result<(), Violation> {
    match written.revision_of(value) {
        Some(revision) => Err(Violation::Refused { operation: operation.clone(), revision }),
        None => Ok(()),
    }
}

/// Whether what was read, at a revision that the first argument names, is what the log has there.
fn check_read(
    operation: &Operation,
    (key, at): (&str, i64),
    revision: i64,
    found: Option<&(String, i64)>,
    written: &Written,
) -> Result<(), Violation> {
    let expected = written.at(key, at);
    if at <= revision && revision <= written.last && found == expected.as_ref() {
        Ok(())
    } else {
        Err(Violation::wrong(operation, format!("{expected:?}")))
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
        Request::CompareAndPut { key, value, .. } => {
            let is_met = is_comparison_met(request, revision, written);
            change.key == *key && change.value.as_ref() == Some(value) && is_met
        }
        Request::Get { .. } | Request::GetAt { .. } | Request::Compact { .. } => false,
    };
    if stands { Ok(()) } else { Err(lost()) }
}

/// Whether a write may have taken effect at `revision`, by what stood there before.
fn is_comparison_met(request: &Request, revision: i64, written: &Written) -> bool {
    let Request::CompareAndPut { key, expected, .. } = request else { return true };
    written.at(key, revision - 1).map_or(0, |(_, at)| at) == *expected
}
