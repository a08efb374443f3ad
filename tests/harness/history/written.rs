//! The committed log, found by key and by value, once it is known to hold nothing but what was asked for.

use super::check::Violation;
use super::{Change, Operation, Request, deletions};
use std::collections::BTreeMap;
use std::time::Duration;

/// The log.
pub(super) struct Written {
    by_value: BTreeMap<String, i64>,
    by_key: BTreeMap<String, Vec<(i64, Option<String>)>>,
    /// When each deletion was asked for, by its revision.
    deletions: BTreeMap<i64, Duration>,
    /// The last revision.
    pub(super) last: i64,
}

impl Written {
    /// # Errors
    /// When the log has holes, or holds what nobody asked for or the same write twice; when it is empty.
    pub(super) fn of(log: &[Change], history: &[Operation]) -> Result<Self, Violation> {
        let last = consecutive(log)?;
        let deletions = deletions::begun(log, history)?;
        let mut written = Self { by_value: BTreeMap::new(), by_key: BTreeMap::new(), deletions, last };
        let puts = puts(history)?;
        for change in log {
            let asked = |value: &String| puts.get(value.as_str()) == Some(&change.key.as_str());
            if !change.value.as_ref().is_none_or(asked) {
                return Err(Violation::invented(change));
            }
            written.add(change)?;
        }
        Ok(written)
    }

    fn add(&mut self, change: &Change) -> Result<(), Violation> {
        match &change.value {
            Some(value) => {
                if let Some(first) = self.by_value.insert(value.clone(), change.revision) {
                    return Err(Violation::Twice { what: value.clone(), first, second: change.revision });
                }
            }
            // The deletion of what is not there makes no revision.
            None if self.at(&change.key, change.revision).is_none() => return Err(Violation::invented(change)),
            None => {}
        }
        self.by_key.entry(change.key.clone()).or_default().push((change.revision, change.value.clone()));
        Ok(())
    }

    /// What the key held as of `revision`: the value and the revision that wrote it.
    pub(super) fn at(&self, key: &str, revision: i64) -> Option<(String, i64)> {
        let changes = self.by_key.get(key)?;
        let seen = changes.partition_point(|(at, _)| *at <= revision);
        let (at, value) = changes.get(seen.checked_sub(1)?)?;
        value.clone().map(|value| (value, *at))
    }

    /// The revision that wrote the value, if any did.
    pub(super) fn revision_of(&self, value: &str) -> Option<i64> {
        self.by_value.get(value).copied()
    }

    /// For each revision, from 2 on, when its write was asked for.
    pub(super) fn begun(&self, log: &[Change], history: &[Operation]) -> Vec<Duration> {
        let mut asked = BTreeMap::new();
        for operation in history {
            if let Request::Put { value, .. } | Request::CompareAndPut { value, .. } = &operation.request {
                asked.insert(value.as_str(), operation.invoked);
            }
        }
        let begun = |change: &Change| match &change.value {
            Some(value) => asked[value.as_str()],
            None => self.deletions[&change.revision],
        };
        log.iter().map(begun).collect()
    }
}

/// The last revision of a log that begins with the first write and has no hole.
fn consecutive(log: &[Change]) -> Result<i64, Violation> {
    let (Some(first), Some(last)) = (log.first(), log.last()) else {
        return Err(Violation::Evidence("the log is empty".to_owned()));
    };
    if first.revision != 2 {
        return Err(Violation::Hole(1, first.revision));
    }
    match log.windows(2).find(|pair| pair[1].revision != pair[0].revision + 1) {
        Some(pair) => Err(Violation::Hole(pair[0].revision, pair[1].revision)),
        None => Ok(last.revision),
    }
}

/// The key that each value was asked to be written to.
fn puts(history: &[Operation]) -> Result<BTreeMap<&str, &str>, Violation> {
    let mut puts = BTreeMap::new();
    for operation in history {
        if let Request::Put { key, value } | Request::CompareAndPut { key, value, .. } = &operation.request
            && puts.insert(value.as_str(), key.as_str()).is_some()
        {
            return Err(Violation::Evidence(format!("{value} cannot be told: it was asked for twice")));
        }
    }
    Ok(puts)
}
