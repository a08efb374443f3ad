//! Compaction by the clock or by count, as etcd does it: the leader proposes it, and every member applies it.
//!
//! * By time: revisions are noted ten times per retention (or hour, if that is shorter), and the oldest note of a
//!   full retention is compacted, at most once per retention or hour. A member that starts knows no past, so the
//!   first compaction comes a whole retention later.
//! * By count: what is further back than the retention goes, every five minutes.
//! * Every member takes notes, so that a new leader goes on where the one before stopped.

use super::{Handle, ProposeFailure};
use crate::config::settings::AutoCompaction;
use mvcc::{Body, Refusal, Revision};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// A longer retention is looked at as often as one of an hour.
const HOUR: Duration = Duration::from_secs(3600);
/// Notes in each hour, or in the retention if that is shorter.
const NOTES: u32 = 10;
/// Shorter retentions are looked at no more often than this.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How often revisions are counted.
const COUNT_EVERY: Duration = Duration::from_secs(300);

/// What is to be kept.
#[derive(Debug)]
enum Rule {
    /// What was written within the period; `notes` are the revisions seen during it, the oldest first.
    Periodic { period: Duration, notes: VecDeque<Revision> },
    /// So many revisions.
    Revision(u64),
}

#[derive(Debug)]
struct Compactor {
    rule: Rule,
    /// What was compacted last, and when.
    done: (Revision, Instant),
}

impl Compactor {
    fn new(settings: AutoCompaction, now: Instant) -> Option<Self> {
        let rule = match settings {
            AutoCompaction::Off => return None,
            AutoCompaction::Periodic(period) => Rule::Periodic { period, notes: VecDeque::new() },
            AutoCompaction::Revision(retention) => Rule::Revision(retention),
        };
        Some(Self { rule, done: (Revision::ZERO, now) })
    }

    /// The pause between two looks.
    fn pause(&self) -> Duration {
        match &self.rule {
            Rule::Periodic { period, .. } => ((*period).min(HOUR) / NOTES).max(PAUSE_MIN),
            Rule::Revision(_) => COUNT_EVERY,
        }
    }

    /// The notes of a whole period: the oldest is that old one pause after the newest was taken.
    fn notes_max(&self, period: Duration) -> u128 {
        (period.as_nanos() / self.pause().as_nanos()).max(1)
    }

    /// Notes the current revision; a [`Compactor::pause`] follows.
    fn note(&mut self, current: Revision) {
        let Rule::Periodic { period, .. } = self.rule else { return };
        let most = self.notes_max(period);
        if let Rule::Periodic { notes, .. } = &mut self.rule {
            notes.push_back(current);
            if notes.len() as u128 > most {
                notes.pop_front();
            }
        }
    }

    /// What is to be compacted now, a pause after the last note.
    fn due(&self, current: Revision, now: Instant) -> Option<Revision> {
        let (last, at) = self.done;
        let revision = match &self.rule {
            Rule::Periodic { period, notes } => {
                let full = notes.len() as u128 >= self.notes_max(*period);
                let rested = now.duration_since(at) >= (*period).min(HOUR);
                notes.front().copied().filter(|_| full && rested)?
            }
            Rule::Revision(retention) => Revision(current.0.checked_sub(i64::try_from(*retention).ok()?)?),
        };
        (revision > last && revision.0 > 0).then_some(revision)
    }
}

/// Compacts for as long as the member runs.
pub(super) async fn run(handle: Handle, settings: AutoCompaction) {
    let Some(mut compactor) = Compactor::new(settings, Instant::now()) else { return };
    loop {
        compactor.note(handle.store().revision());
        sleep(compactor.pause()).await;
        if !handle.status().is_leader() {
            continue;
        }
        let now = Instant::now();
        let Some(revision) = compactor.due(handle.store().revision(), now) else { continue };
        match handle.propose(Body::Compact { revision }).await {
            Ok(applied) => match applied.outcome {
                Ok(_) => info!(revision = revision.0, "compacted by the settings"),
                // Somebody has compacted more.
                Err(Refusal::Compacted { .. }) => {}
                Err(refusal) => {
                    warn!(revision = revision.0, %refusal, "could not compact, will try again");
                    continue;
                }
            },
            Err(ProposeFailure::Stopped) => return,
            Err(error) => {
                warn!(revision = revision.0, %error, "could not compact, will try again");
                continue;
            }
        }
        compactor.done = (revision, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once per pause, with the revisions 10, 20, ...; what was compacted, by the number of the look.
    fn compacted(settings: AutoCompaction, looks: u32) -> Vec<(u32, i64)> {
        let start = Instant::now();
        let mut compactor = Compactor::new(settings, start).expect("it is on");
        let mut compacted = Vec::new();
        for look in 1..=looks {
            compactor.note(Revision(i64::from(look) * 10));
            let now = start + compactor.pause() * look;
            if let Some(revision) = compactor.due(Revision(i64::from(look) * 10), now) {
                compactor.done = (revision, now);
                compacted.push((look, revision.0));
            }
        }
        compacted
    }

    #[test]
    fn a_short_period_is_compacted_once_per_period() {
        let every = AutoCompaction::Periodic(Duration::from_secs(10));
        assert_eq!(compacted(every, 35), [(10, 10), (20, 110), (30, 210)]);
    }

    #[test]
    fn a_long_period_is_compacted_hourly_once_it_has_passed() {
        let every = AutoCompaction::Periodic(2 * HOUR);
        assert_eq!(compacted(every, 41), [(20, 10), (30, 110), (40, 210)]);
    }

    #[test]
    fn a_number_of_revisions_is_kept() {
        assert_eq!(compacted(AutoCompaction::Revision(25), 4), [(3, 5), (4, 15)]);
    }

    #[test]
    fn nothing_new_is_not_compacted_again() {
        let start = Instant::now();
        let mut compactor = Compactor::new(AutoCompaction::Revision(5), start).expect("it is on");
        assert_eq!(compactor.due(Revision(9), start), Some(Revision(4)));
        compactor.done.0 = Revision(4);
        assert_eq!(compactor.due(Revision(9), start), None);
        assert_eq!(compactor.due(Revision(3), start), None, "there is less than is to be kept");
    }

    #[test]
    fn off_is_off() {
        assert!(Compactor::new(AutoCompaction::Off, Instant::now()).is_none());
    }
}
