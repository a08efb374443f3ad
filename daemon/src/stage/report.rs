//! What is seen of staging: counts since the start of the process, and what it is doing. How old the newest backup is
//! stands in the replicated state, where every member knows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What the task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Another member stages.
    #[default]
    Elsewhere,
    /// Nothing is due.
    Resting,
    /// What the log knows is being compared with what the store lists.
    Comparing,
    /// A snapshot is being taken and uploaded.
    Staging,
    /// What is not kept is being deleted.
    Deleting,
    /// The last try failed, and the next one waits.
    Failing,
}

/// The figures of one member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// What it is doing.
    pub activity: Activity,
    /// Snapshots it has staged.
    pub staged: u64,
    /// How long the last one took, from the first byte read to the entry in the log.
    pub last_duration: Option<Duration>,
    /// Bytes of chunks that it has uploaded.
    pub uploaded_bytes: u64,
    /// Bytes of chunks that were there already.
    pub shared_bytes: u64,
    /// Snapshots it has deleted.
    pub deleted: u64,
    /// Bytes of chunks it has deleted.
    pub deleted_bytes: u64,
    /// Tries that failed, by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// The last failure in words, until something succeeds.
    pub problem: Option<String>,
}

/// The figures, shared between the task and whoever looks.
#[derive(Debug, Default)]
pub struct Report(Mutex<Figures>);

impl Report {
    /// The figures now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.with(|figures| figures.clone())
    }

    pub(super) fn doing(&self, activity: Activity) {
        self.with(|figures| figures.activity = activity);
    }

    /// Something succeeded; whether it had been failing.
    pub(super) fn succeeded(&self) -> bool {
        self.with(|figures| figures.problem.take().is_some())
    }

    /// Something failed; whether that is news.
    pub(super) fn failed(&self, reason: &'static str, problem: &str) -> bool {
        self.with(|figures| {
            *figures.failures.entry(reason).or_default() += 1;
            figures.activity = Activity::Failing;
            figures.problem.replace(problem.to_owned()).is_none()
        })
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Figures) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_news_when_it_begins_and_when_it_ends() {
        let report = Report::default();
        assert!(!report.succeeded());
        assert!(report.failed("unavailable", "no answer"));
        assert!(!report.failed("denied", "no right"));
        assert_eq!(report.figures().problem.as_deref(), Some("no right"));
        assert!(report.succeeded());
        assert!(!report.succeeded());
        assert_eq!(report.figures().failures, [("denied", 1), ("unavailable", 1)].into());
    }
}
