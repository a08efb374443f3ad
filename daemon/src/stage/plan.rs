//! What to do next with the snapshots in object storage. Pure: the replicated list, the rules and the time go in.
//!
//! Why nothing that is needed is deleted, whoever still works for an earlier leader:
//!
//! * A snapshot that is not kept is first *retired* in the log, and its manifest deleted only [`Rules::grace`] later.
//! * An upload ends within half of that time ([`Rules::upload_max`]), and what reads a snapshot began when it was kept.
//! * Chunks are deleted only if no manifest that is in the store names them, and never while an upload is under way.

use mvcc::{SnapshotDigest, StagedSnapshot};
use std::time::Duration;

/// How often, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Between two snapshots; none for only when asked.
    pub(crate) interval: Option<Duration>,
    /// The most that are kept, at least one.
    pub(crate) count: usize,
    /// The oldest that is kept, but for the newest; none for any age.
    pub(crate) age: Option<Duration>,
    /// How long one that is not kept stays.
    pub(crate) grace: Duration,
}

impl Rules {
    /// The longest that an upload may take.
    pub(crate) fn upload_max(&self) -> Duration {
        self.grace / 2
    }
}

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// The replicated list.
    pub(crate) staged: &'a [StagedSnapshot],
    /// The log index that a snapshot was asked for last.
    pub(crate) wanted: Option<u64>,
    /// Milliseconds since 1970.
    pub(crate) now_ms: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell the log that these are no longer kept.
    Retire(Vec<SnapshotDigest>),
    /// Take a snapshot and stage it.
    Stage,
    /// Delete these, the chunks that nobody needs then, and tell the log.
    Delete(Vec<StagedSnapshot>),
    /// Nothing.
    Rest,
}

/// Decides. Retiring comes first because it is cheap, and a snapshot before deleting because it is what people wait
/// for; but what has waited for its deletion as long as it was spared goes before, or a store in which one snapshot is
/// due when the last one is done would never delete any.
pub(crate) fn next(rules: &Rules, known: &Known<'_>) -> Step {
    let retired = to_retire(rules, known);
    if !retired.is_empty() {
        return Step::Retire(retired);
    }
    let (doomed, is_due) = (to_delete(rules, known), is_due(rules, known));
    if doomed.iter().any(|snapshot| is_overdue(rules, known, snapshot)) || (!is_due && !doomed.is_empty()) {
        return Step::Delete(doomed);
    }
    if is_due { Step::Stage } else { Step::Rest }
}

/// The newest snapshot that is kept.
pub(crate) fn newest(staged: &[StagedSnapshot]) -> Option<&StagedSnapshot> {
    kept(staged).max_by_key(|snapshot| (snapshot.index, snapshot.staged_ms))
}

fn kept(staged: &[StagedSnapshot]) -> impl Iterator<Item = &StagedSnapshot> {
    staged.iter().filter(|snapshot| snapshot.retired_ms.is_none())
}

/// Whether a snapshot was asked for that holds more than there is, or the last one is old enough.
fn is_due(rules: &Rules, known: &Known<'_>) -> bool {
    let newest = newest(known.staged);
    let held = newest.map_or(0, |snapshot| snapshot.index);
    let asked = known.wanted.is_some_and(|index| index > held);
    let waited = |interval: Duration| newest.is_none_or(|snapshot| age(known, snapshot.staged_ms) >= interval);
    asked || rules.interval.is_some_and(waited)
}

/// All but the newest `count`, and of those all but the newest that are too old.
fn to_retire(rules: &Rules, known: &Known<'_>) -> Vec<SnapshotDigest> {
    let mut kept: Vec<_> = kept(known.staged).collect();
    kept.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.index, snapshot.staged_ms)));
    let too_old = |snapshot: &StagedSnapshot| rules.age.is_some_and(|most| age(known, snapshot.staged_ms) > most);
    let ranked = kept.into_iter().enumerate().skip(1);
    ranked.filter(|(rank, snapshot)| *rank >= rules.count || too_old(snapshot)).map(|(_, it)| it.id).collect()
}

fn to_delete(rules: &Rules, known: &Known<'_>) -> Vec<StagedSnapshot> {
    let over = |snapshot: &&StagedSnapshot| snapshot.retired_ms.is_some_and(|at| age(known, at) >= rules.grace);
    known.staged.iter().filter(over).copied().collect()
}

fn is_overdue(rules: &Rules, known: &Known<'_>, snapshot: &StagedSnapshot) -> bool {
    snapshot.retired_ms.is_some_and(|at| age(known, at) >= 2 * rules.grace)
}

/// How long ago that was. A time that is still to come, on the clock of another member, is no time ago.
pub(crate) fn age(known: &Known<'_>, then_ms: u64) -> Duration {
    Duration::from_millis(known.now_ms.saturating_sub(then_ms))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
