//! The replicated key-value state machine: etcd's revision model, without disks, clocks or threads.
//!
//! ```text
//!   Command ──▶ Store::apply ──▶ Outcome          the same on every member, byte for byte
//!   RangeRequest ──▶ Store::range ──▶ RangeResult
//! ```
//!
//! Members that apply the same commands hold the same state. What one disk suffers is a [`Fault`], never an
//! [`Outcome`]: it ends the member, which catches up after its restart.

mod codec;
mod command;
mod error;
mod outcome;
mod range;
#[cfg(test)]
mod sample;
mod types;

pub use codec::{CODEC_VERSION, DecodeError, TXN_DEPTH_MAX};
pub use command::{
    AlarmAction, AlarmChange, Body, Command, Compare, DeleteRange, Op, PublishedMember, Put, Relation, Target, Txn,
};
pub use error::{Fault, ReadError, Refusal};
pub use outcome::{DeleteRangeReply, Done, OpReply, Outcome, PutReply, Reply, TxnReply};
pub use range::{RangeRequest, RangeResult, Sort, SortOrder, SortTarget};
pub use types::{Alarm, AlarmKind, Event, EventKind, KeyRange, KeyValue, RequestId, Revision, Size};
