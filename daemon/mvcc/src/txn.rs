//! Transactions: first every compare on the way, then every precondition of the branches taken, then the operations.

use crate::apply::{Applier, Refused};
use crate::command::{Op, Txn};
use crate::compare::holds_now;
use crate::error::Fault;
use crate::outcome::{OpReply, TxnReply};
use crate::range::RangeRequest;
use crate::state::State;
use crate::types::Revision;

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

pub(crate) fn branch(txn: &Txn, succeeded: bool) -> &[Op] {
    if succeeded { &txn.success } else { &txn.failure }
}

fn choose(state: &State, txn: &Txn, taken: &mut Vec<bool>) -> Result<(), Fault> {
    let mut succeeded = true;
    for compare in &txn.compares {
        succeeded = succeeded && holds_now(state, compare)?;
    }
    taken.push(succeeded);
    for op in branch(txn, succeeded) {
        if let Op::Txn(nested) = op {
            choose(state, nested, taken)?;
        }
    }
    Ok(())
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
