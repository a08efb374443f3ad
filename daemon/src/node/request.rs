//! What the rest of the process asks of the loop.

use super::trace::Trace;
use super::{Applied, ChangeFailure, Inspection, ProposeFailure, ReadFailure, TransferFailure};
use bytes::Bytes;
use raft::{Change, Index, MemberId, SnapshotPoint};
use tokio::sync::oneshot;

/// A command that waits to be proposed, and whoever waits for its outcome.
#[derive(Debug)]
pub(super) struct ProposeRequest {
    /// The sequence of its request id: the key under which the outcome will be found.
    pub(super) sequence: u64,
    /// The encoded command, request id included.
    pub(super) payload: Bytes,
    /// Where the outcome goes.
    pub(super) reply: oneshot::Sender<Result<Applied, ProposeFailure>>,
    /// Its spans, if it is traced.
    pub(super) trace: Option<Box<Trace>>,
}

/// A linearizable read that waits for its index.
pub(super) type ReadRequest = oneshot::Sender<Result<(), ReadFailure>>;

/// What the loop knows and tells at once.
#[derive(Debug)]
pub(super) enum Question {
    /// Everything there is to see.
    Inspect(oneshot::Sender<Inspection>),
    /// Where a snapshot stands in the log that ends with this entry, if that is remembered.
    SnapshotPoint(Index, oneshot::Sender<Option<SnapshotPoint>>),
}

/// A request about the cluster itself: rare, and done by the leader.
#[derive(Debug)]
pub(super) enum CallRequest {
    /// Change who is a member.
    ChangeMembership {
        /// The configuration the caller has seen.
        expected: Option<Index>,
        /// All in one step.
        changes: Vec<Change>,
        /// Where the answer goes: the index of the committed configuration.
        reply: oneshot::Sender<Result<Index, ChangeFailure>>,
    },
    /// Hand leadership over.
    TransferLeader {
        /// To whom; the leader chooses when nobody is named.
        to: Option<MemberId>,
        /// Where the answer goes: the new leader.
        reply: oneshot::Sender<Result<MemberId, TransferFailure>>,
    },
}
