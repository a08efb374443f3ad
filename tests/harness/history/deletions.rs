//! Which request each deletion in the log is the work of.
//!
//! A deletion has no value to be recognised by, so deletions and requests are matched one to one: one that was
//! acknowledged by the revision in its answer, any other one with a delete of its key whose outcome is unknown. A delete
//! that was refused, or found nothing, is the maker of none.

use super::check::Violation;
use super::{Answer, Change, Operation, Request};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// When the request for each deletion in the log began, by the deletion's revision.
///
/// # Errors
/// [`Violation::Invented`] for a deletion that no request is left for.
pub(super) fn begun(log: &[Change], history: &[Operation]) -> Result<BTreeMap<i64, Duration>, Violation> {
    let mut asked = Asked::of(history);
    let deletions = log.iter().filter(|change| change.value.is_none());
    deletions.map(|change| Ok((change.revision, asked.take(change)?))).collect()
}

/// When each delete was asked for that no deletion has been found for yet.
#[derive(Default)]
struct Asked<'a> {
    acknowledged: BTreeMap<(i64, &'a str), Duration>,
    /// By key, the latest first.
    unknown: BTreeMap<&'a str, Vec<Duration>>,
}

impl<'a> Asked<'a> {
    fn of(history: &'a [Operation]) -> Self {
        let mut asked = Self::default();
        for operation in history {
            if let Request::Delete { key } = &operation.request {
                asked.add(key, operation);
            }
        }
        for times in asked.unknown.values_mut() {
            times.sort_unstable_by_key(|at| Reverse(*at));
        }
        asked
    }

    fn add(&mut self, key: &'a str, operation: &Operation) {
        match operation.answer {
            Answer::Written { revision } => _ = self.acknowledged.insert((revision, key), operation.invoked),
            Answer::Unknown => self.unknown.entry(key).or_default().push(operation.invoked),
            Answer::Unchanged { .. } | Answer::Refused => {}
            // Answers of another kind, which the judge refuses.
            Answer::Read { .. } | Answer::Compacted | Answer::Ahead => {}
        }
    }

    /// Of unknown ones the earliest goes to the earliest deletion: if any assignment lets each deletion stand behind its
    /// request, this one does.
    fn take(&mut self, change: &'a Change) -> Result<Duration, Violation> {
        let key = change.key.as_str();
        let acknowledged = self.acknowledged.remove(&(change.revision, key));
        let begun = acknowledged.or_else(|| self.unknown.get_mut(key)?.pop());
        begun.ok_or_else(|| Violation::invented(change))
    }
}
