//! The compactions of a history: what may be refused because of them, and what must be.
//!
//! * A compaction makes no revision. One that was acknowledged stands at the revision of its answer; one whose outcome is
//!   unknown stands nowhere until something is refused for it, and then behind whatever was shown of what it takes away.
//! * They ascend, one after the other. So of those that take a revision away the first one does so earliest, and is the
//!   only one that has to be looked at.

use super::check::Violation;
use super::{Answer, Operation, Request};
use std::collections::BTreeMap;

/// What an operation stands behind: the greatest revision, and what is compacted, at the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) revision: i64,
    /// The first revision that is still there.
    pub(super) compacted: i64,
}

impl Behind {
    /// Of a store that is new.
    pub(super) const NOTHING: Self = Self { revision: 1, compacted: 0 };

    pub(super) fn raise(&mut self, other: Self) {
        self.revision = self.revision.max(other.revision);
        self.compacted = self.compacted.max(other.compacted);
    }
}

/// A compaction that took effect or may have.
struct Compaction {
    operation: usize,
    is_acknowledged: bool,
    /// What it stands behind where it takes effect, itself among it.
    least: Behind,
}

/// The compactions of a history, in ascending order.
pub(super) struct Compactions(Vec<Compaction>);

impl Compactions {
    /// # Errors
    /// [`Violation::Evidence`] when they do not ascend, or are not asked for one after the other.
    pub(super) fn of(history: &[Operation]) -> Result<Self, Violation> {
        let mut asked: Vec<(usize, &Operation, i64)> = Vec::new();
        for (n, operation) in history.iter().enumerate() {
            if let Request::Compact { revision } = operation.request {
                asked.push((n, operation, revision));
            }
        }
        asked.sort_by_key(|(_, operation, _)| operation.invoked);
        if let Some(pair) = asked.windows(2).find(|pair| !follows(pair[0], pair[1])) {
            return Err(Violation::Evidence(format!("compactions do not ascend, one by one: {pair:?}")));
        }
        let shown = Shown::of(history);
        let effective = asked.into_iter().filter_map(|(n, operation, compacted)| {
            let (is_acknowledged, revision) = match operation.answer {
                Answer::Unchanged { revision } => (true, revision),
                Answer::Unknown => (false, compacted.max(shown.before(compacted))),
                _ => return None,
            };
            Some(Compaction { operation: n, is_acknowledged, least: Behind { revision, compacted } })
        });
        Ok(Self(effective.collect()))
    }

    /// The compaction up to `compacted` is asked for, behind this: wherever it takes effect, that is before it.
    pub(super) fn ask(&mut self, compacted: i64, behind: Behind) {
        let place = self.0.partition_point(|compaction| compaction.least.compacted < compacted);
        match self.0.get_mut(place).map(|compaction| &mut compaction.least) {
            Some(least) if least.compacted == compacted => least.revision = least.revision.max(behind.revision),
            // It was refused.
            _ => {}
        }
    }

    /// The first one that takes a revision away: which operation, and what it stands behind.
    pub(super) fn of_revision(&self, at: i64) -> Option<(usize, Behind)> {
        self.from(at).first().map(|compaction| (compaction.operation, compaction.least))
    }

    /// What is compacted at a revision that comes behind one at which the loss of revision `at` was acknowledged.
    pub(super) fn before(&self, at: i64, revision: i64) -> Option<i64> {
        let first = self.from(at).iter().find(|compaction| compaction.is_acknowledged)?;
        (first.least.revision < revision).then_some(first.least.compacted)
    }

    /// Those that take a revision away.
    fn from(&self, at: i64) -> &[Compaction] {
        &self.0[self.0.partition_point(|compaction| compaction.least.compacted <= at)..]
    }
}

fn follows((_, first, revision): (usize, &Operation, i64), (_, second, next): (usize, &Operation, i64)) -> bool {
    first.returned < second.invoked && revision < next
}

/// At which revision states of the past were shown, by which state it was.
struct Shown(BTreeMap<i64, i64>);

impl Shown {
    fn of(history: &[Operation]) -> Self {
        let mut shown: BTreeMap<i64, i64> = BTreeMap::new();
        for operation in history {
            if let (Request::GetAt { at, .. }, Answer::Read { revision, .. }) = (&operation.request, &operation.answer)
            {
                let latest = shown.entry(*at).or_default();
                *latest = revision.max(latest).to_owned();
            }
        }
        // From here on: of this state or an earlier one.
        let mut greatest = 0;
        for latest in shown.values_mut() {
            greatest = greatest.max(*latest);
            *latest = greatest;
        }
        Self(shown)
    }

    /// The last revision at which some state before `compacted` was shown, or 0.
    fn before(&self, compacted: i64) -> i64 {
        self.0.range(..compacted).next_back().map_or(0, |(_, latest)| *latest)
    }
}
