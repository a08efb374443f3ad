//! The comparisons of transactions: each holds for all keys of its range, or for the key that is not there.

use crate::backend::{Direction, Span};
use crate::command::{Compare, Relation, Target};
use crate::error::Fault;
use crate::read::Progress;
use crate::row::KeyMeta;
use crate::state::{Keys, State};
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// Whether it holds for the state as it is.
pub(crate) fn holds_now(state: &State, compare: &Compare) -> Result<bool, Fault> {
    let mut comparing = Comparing::begin(compare, state.head.revision);
    let progress = comparing.advance(state, usize::MAX)?;
    debug_assert_eq!(progress, Progress::Done, "no end is set");
    Ok(comparing.holds())
}

/// A comparison at one revision, in steps. The state may change between two of them.
pub(crate) struct Comparing<'t> {
    compare: &'t Compare,
    at: i64,
    keys: Keys,
    /// The first key of the next step.
    resume: Option<Bytes>,
    /// There is a key.
    any: bool,
    /// It holds for all keys so far.
    all: bool,
}

impl<'t> Comparing<'t> {
    pub(crate) fn begin(compare: &'t Compare, at: i64) -> Self {
        Self { compare, at, keys: Keys::of(&compare.range), resume: None, any: false, all: true }
    }

    /// Visits up to `keys_max` keys, and no more than it takes to know.
    pub(crate) fn advance(&mut self, state: &State, keys_max: usize) -> Result<Progress, Fault> {
        if self.compare.range.is_one() {
            if let Some(newest) = state.newest(&self.compare.range.key)? {
                self.visit(state, &newest)?;
            }
            return Ok(Progress::Done);
        }
        let resume = self.resume.take();
        let (start, end) = (self.keys.span().start.to_vec(), self.keys.span().end.map(<[u8]>::to_vec));
        let span = Span { start: resume.as_deref().unwrap_or(&start), end: end.as_deref() };
        let mut left = keys_max;
        state.scan_keys(span, Direction::Forward, &mut |key, newest| {
            if left == 0 {
                self.resume = Some(key.to_bytes());
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            self.visit(state, newest)?;
            Ok(if self.all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(if self.resume.is_some() { Progress::More } else { Progress::Done })
    }

    fn visit(&mut self, state: &State, newest: &KeyMeta) -> Result<(), Fault> {
        if let Some((id, version)) = state.version_at(newest, self.at)? {
            self.any = true;
            self.all = key_holds(state, self.compare, &KeyMeta { id, version, ..*newest })?;
        }
        Ok(())
    }

    /// Whether it holds, once it is done.
    pub(crate) fn holds(&self) -> bool {
        if self.any { self.all } else { holds_without_key(self.compare) }
    }
}

/// A value cannot be compared with none; everything else compares as zero.
fn holds_without_key(compare: &Compare) -> bool {
    number_of(&compare.target, &KeyMeta::default()).is_some_and(|order| related(compare.relation, order))
}

fn key_holds(state: &State, compare: &Compare, meta: &KeyMeta) -> Result<bool, Fault> {
    let order = match (&compare.target, number_of(&compare.target, meta)) {
        (Target::Value(target), _) => state.row(meta.id, |row| (*row.value).cmp(target))?,
        (_, order) => order,
    };
    order.map(|order| related(compare.relation, order)).ok_or(Fault::Damaged("a key's version is gone"))
}

/// How a key stands to a target that is a number.
fn number_of(target: &Target, meta: &KeyMeta) -> Option<Ordering> {
    Some(match target {
        Target::Version(target) => meta.version.version.cmp(target),
        Target::Create(target) => meta.version.create.cmp(&target.0),
        Target::Mod(target) => meta.id.main.cmp(&target.0),
        Target::Lease(target) => meta.version.lease.cmp(target),
        Target::Value(_) => return None,
    })
}

fn related(relation: Relation, order: Ordering) -> bool {
    match relation {
        Relation::Equal => order.is_eq(),
        Relation::Greater => order.is_gt(),
        Relation::Less => order.is_lt(),
        Relation::NotEqual => order.is_ne(),
    }
}
