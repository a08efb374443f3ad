//! Transactions: first every compare on the way, then every precondition of the branches taken, then the operations.

use crate::apply::{Applier, Refused};
use crate::command::{Compare, Op, Relation, Target, Txn};
use crate::error::{Fault, ReadError};
use crate::outcome::{OpReply, TxnReply};
use crate::range::RangeRequest;
use crate::read::{Found, Room};
use crate::row::KeyMeta;
use crate::state::{Keys, State};
use crate::types::Revision;
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// Which branch each transaction takes, outermost first, in the order of execution.
struct Path {
    taken: Vec<bool>,
    next: usize,
}

impl Path {
    fn of(state: &State, txn: &Txn) -> Result<Self, Fault> {
        let mut taken = Vec::with_capacity(1);
        choose(state, txn, &mut taken)?;
        Ok(Self { taken, next: 0 })
    }

    /// The branch of the next transaction on the way.
    fn branch<'t>(&mut self, txn: &'t Txn) -> (bool, &'t [Op]) {
        let succeeded = self.taken[self.next];
        self.next += 1;
        (succeeded, branch(txn, succeeded))
    }

    fn rewind(&mut self) {
        self.next = 0;
    }
}

fn branch(txn: &Txn, succeeded: bool) -> &[Op] {
    if succeeded { &txn.success } else { &txn.failure }
}

fn choose(state: &State, txn: &Txn, taken: &mut Vec<bool>) -> Result<(), Fault> {
    let mut succeeded = true;
    for compare in &txn.compares {
        succeeded = succeeded && holds(state, compare)?;
    }
    taken.push(succeeded);
    for op in branch(txn, succeeded) {
        if let Op::Txn(nested) = op {
            choose(state, nested, taken)?;
        }
    }
    Ok(())
}

fn holds(state: &State, compare: &Compare) -> Result<bool, Fault> {
    if compare.range.is_one() {
        let live = state.newest(&compare.range.key)?.filter(KeyMeta::is_live);
        return live.map_or(Ok(holds_without_key(compare)), |meta| key_holds(state, compare, &meta));
    }
    let (mut any, mut all) = (false, true);
    state.scan_keys(Keys::of(&compare.range).span(), crate::backend::Direction::Forward, &mut |_, meta| {
        if meta.is_live() {
            any = true;
            all = key_holds(state, compare, meta)?;
        }
        Ok(if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(if any { all } else { holds_without_key(compare) })
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

impl Applier<'_> {
    pub(crate) fn txn(&mut self, txn: &Txn) -> Refused<TxnReply> {
        let mut path = Path::of(self.state, txn)?;
        if let Err(refusal) = self.check(txn, &mut path)? {
            return Ok(Err(refusal));
        }
        path.rewind();
        let reply = self.execute(txn, &mut path)?;
        Ok(Ok(TxnReply { revision: Revision(self.revision()), ..reply }))
    }

    fn check(&self, txn: &Txn, path: &mut Path) -> Refused<()> {
        let (_, ops) = path.branch(txn);
        for op in ops {
            let checked = match op {
                Op::Range(range) => self.state.check_inner_range(range.revision),
                Op::Put(put) => self.check_put(put)?,
                Op::DeleteRange(_) => Ok(()),
                Op::Txn(nested) => self.check(nested, path)?,
            };
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }

    fn execute(&mut self, txn: &Txn, path: &mut Path) -> Result<TxnReply, Fault> {
        let (succeeded, ops) = path.branch(txn);
        let mut replies = Vec::with_capacity(ops.len());
        for op in ops {
            replies.push(match op {
                Op::Range(range) => OpReply::Range(self.inner_range(range)?),
                Op::Put(put) => OpReply::Put(self.put(put)?),
                Op::DeleteRange(delete) => OpReply::DeleteRange(self.delete_range(delete)?),
                Op::Txn(nested) => OpReply::Txn(self.execute(nested, path)?),
            });
        }
        Ok(TxnReply { revision: Revision::ZERO, succeeded, replies })
    }
}

/// The revision that a checked request inside a transaction shows.
pub(crate) fn at(request: &RangeRequest, revision: i64) -> i64 {
    if request.revision.0 > 0 { request.revision.0 } else { revision }
}

impl State {
    /// A transaction that cannot write, on the state as it is.
    pub(crate) fn read_txn(&self, txn: &Txn, room: &mut Room<'_>) -> Result<TxnReply, ReadError> {
        assert!(txn.is_read_only(), "what may write goes through the log");
        let revision = self.head.revision;
        let (succeeded, ops) = Path::of(self, txn)?.branch(txn);
        let ranges = || ops.iter().filter_map(|op| if let Op::Range(range) = op { Some(range) } else { None });
        for range in ranges() {
            self.check_inner_range(range.revision)?;
        }
        let mut replies = Vec::with_capacity(ops.len());
        let mut before = Found::default();
        for range in ranges() {
            let mut all = before;
            let mut has_room = |found| {
                all = before.and(found);
                room(all)
            };
            let found = self.range(range, (revision, at(range, revision)), &mut has_room)?.ok_or(ReadError::NoRoom)?;
            before = all;
            replies.push(OpReply::Range(found));
        }
        Ok(TxnReply { revision: Revision(revision), succeeded, replies })
    }
}
