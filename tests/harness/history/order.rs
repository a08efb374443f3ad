//! The checks of real time: what began after something had returned stands behind it, and nothing shows before it began.

use super::check::Violation;
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

/// Sweeps over time and keeps the greatest revision returned so far and the greatest one that can exist.
///
/// # Errors
/// What is stale, from the future, or behind what its client had seen at the same member.
pub(super) fn check_order(history: &[Operation], log: &[Change], written: &Written) -> Result<(), Violation> {
    let mut moments: Vec<(Duration, Moment, usize)> = Vec::with_capacity(history.len() * 2);
    for (n, operation) in history.iter().enumerate() {
        moments.push((operation.invoked, Moment::Invoked, n));
        moments.push((operation.returned, Moment::Returned, n));
    }
    moments.sort_unstable();
    let possible = possible_at(written.begun(log, history));
    let (mut returned_max, mut floors, mut shown) = (1, vec![1; history.len()], Shown::default());
    for (at, moment, n) in moments {
        let operation = &history[n];
        match moment {
            Moment::Invoked => floors[n] = returned_max,
            Moment::Returned => {
                check_place(operation, floors[n])?;
                check_not_future(operation, at, &possible)?;
                shown.check(operation)?;
                returned_max = returned_max.max(revision_of(operation).unwrap_or(1));
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

fn is_serializable(operation: &Operation) -> bool {
    matches!(operation.request, Request::Get { serializable: true, .. })
}

fn check_place(operation: &Operation, floor: i64) -> Result<(), Violation> {
    let stale = match operation.answer {
        Answer::Unknown | Answer::Refused => false,
        Answer::Written { revision } => revision <= floor,
        Answer::Unchanged { revision } | Answer::Read { revision, .. } => {
            revision < floor && !is_serializable(operation)
        }
    };
    if stale { Err(Violation::Stale { operation: operation.clone(), floor }) } else { Ok(()) }
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

fn check_not_future(operation: &Operation, returned: Duration, possible: &[Duration]) -> Result<(), Violation> {
    let Some(revision) = revision_of(operation).filter(|revision| *revision >= 2) else { return Ok(()) };
    let place = usize::try_from(revision - 2).expect("revisions from 2 on");
    match possible.get(place) {
        Some(possible) if *possible > returned => Err(Violation::Future { operation: operation.clone(), revision }),
        Some(_) => Ok(()),
        None => Err(Violation::Lost(operation.clone())),
    }
}

/// The greatest revision that each client's member has answered it with. A client asks one member only, which never goes
/// back while it runs. A request that failed may have met its end: after a crash it begins from what its disk has.
#[derive(Default)]
struct Shown(BTreeMap<usize, i64>);

impl Shown {
    fn check(&mut self, operation: &Operation) -> Result<(), Violation> {
        let shown = self.0.entry(operation.client).or_insert(1);
        if operation.answer == Answer::Unknown {
            *shown = 1;
        }
        let Some(revision) = revision_of(operation) else { return Ok(()) };
        if is_serializable(operation) && revision < *shown {
            return Err(Violation::Back { operation: operation.clone(), shown: *shown });
        }
        *shown = revision.max(*shown);
        Ok(())
    }
}
