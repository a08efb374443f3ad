//! What a command led to: computed alike by every member, and told to the client by the one it waits at.

use crate::error::Refusal;
use crate::range::RangeResult;
use crate::types::{Alarm, KeyValue, Revision};

/// What a command led to.
pub type Outcome = Result<Done, Refusal>;

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The store's revision after it.
    pub revision: Revision,
    /// What the client is told.
    pub reply: Reply,
}

/// What the client is told; one variant for each kind of command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing was asked.
    Noop,
    /// A key was written.
    Put(PutReply),
    /// Keys were deleted.
    DeleteRange(DeleteRangeReply),
    /// A transaction took one of its branches.
    Txn(TxnReply),
    /// History was forgotten.
    Compact,
    /// The alarms that the command raised or cleared: one, or none if there was nothing to clear.
    Alarm(Vec<Alarm>),
    /// The member's name and URLs are known.
    PublishMember,
    /// Whether the change in object storage was one: told twice, or about a snapshot that is not known, it is not.
    Staging(bool),
    /// The command is carried out, and what the client would see of it takes more memory than there is for that: see
    /// [`ANSWERS_BYTES_MAX`](crate::ANSWERS_BYTES_MAX).
    LeftOut,
}

/// A key was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutReply {
    /// The revision it was written at.
    pub revision: Revision,
    /// What it held before, if that was asked for and it existed.
    pub prev: Option<KeyValue>,
}

/// Keys were deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeReply {
    /// The revision it was done at; that of the transaction so far if nothing was deleted.
    pub revision: Revision,
    /// How many.
    pub deleted: i64,
    /// What they held, in the order of their keys, if that was asked for.
    pub prev: Vec<KeyValue>,
}

/// A transaction took one of its branches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnReply {
    /// The store's revision after it. Zero in a nested one, as in etcd.
    pub revision: Revision,
    /// Whether it was the `success` branch.
    pub succeeded: bool,
    /// One for each operation of the branch.
    pub replies: Vec<OpReply>,
}

/// What one operation of a transaction answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpReply {
    /// Keys were read.
    Range(RangeResult),
    /// A key was written.
    Put(PutReply),
    /// Keys were deleted.
    DeleteRange(DeleteRangeReply),
    /// A nested transaction took one of its branches.
    Txn(TxnReply),
}
