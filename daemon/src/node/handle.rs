//! What the rest of the process may ask of the node. Everything behind it is one loop; a handle is a cheap clone
//! that leaves requests in its inbox and reads the small snapshots it leaves behind.

use super::Inbox;
use super::completion::Completion;
use super::inbox::Full;
use super::request::{CallRequest, ProposeRequest, Question};
use super::shared::Shared;
use super::trace::Trace;
use super::view::{Leadership, MembersView, StatusView};
use super::{ChangeFailure, Inspection, ProposeFailure, ReadFailure, TransferFailure};
use crate::bootstrap::Identity;
use mvcc::Store;
use raft::{Change, Index, MemberId, SnapshotPoint, Term};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// The largest encoded command the log takes. Clients are limited to 1.5 MiB per request at the edge; this leaves
/// room for what the edge adds and keeps one entry well below a frame.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;

/// A write that has been applied by this member.
#[derive(Debug)]
pub struct Applied {
    /// What every member computed for it.
    pub outcome: mvcc::Outcome,
    /// Where it stands in the log.
    pub index: Index,
    /// The term of its entry.
    pub term: Term,
}

/// The door to the node.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Has the command committed by a quorum and applied by this member, and returns what it did. A member that
    /// does not lead passes it to the leader. It is never proposed twice: after an ambiguous loss the caller is
    /// told so.
    ///
    /// # Errors
    /// [`ProposeFailure`]; its variants say whether the command may still take effect.
    pub async fn propose(&self, body: mvcc::Body) -> Result<Applied, ProposeFailure> {
        let sequence = self.shared.next_sequence();
        let payload = self.shared.encode(sequence, &body);
        // One copy is enough to wait with.
        drop(body);
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(ProposeFailure::TooLarge { bytes: payload.len(), bytes_max: COMMAND_BYTES_MAX });
        }
        let (reply, answer) = oneshot::channel();
        let trace = Trace::begin(payload.len());
        self.inbox().propose(ProposeRequest { sequence, payload, reply, trace }).map_err(|full| match full {
            Full::Full => ProposeFailure::TooManyRequests,
            Full::Closed => ProposeFailure::Stopped,
        })?;
        answer.await.unwrap_or(Err(ProposeFailure::Stopped))
    }

    /// Returns once everything that was committed when it was called is in [`Handle::store`]: a read of the store
    /// after that is linearizable.
    ///
    /// # Errors
    /// [`ReadFailure`] when leadership could not be confirmed, or this member could not catch up, in time.
    pub async fn linearize(&self) -> Result<(), ReadFailure> {
        let (reply, answer) = oneshot::channel();
        self.inbox().read(reply).map_err(|full| match full {
            Full::Full => ReadFailure::TooManyRequests,
            Full::Closed => ReadFailure::Stopped,
        })?;
        answer.await.unwrap_or(Err(ReadFailure::Stopped))
    }

    /// Changes the membership, all of `changes` in one step, and returns the index of the committed configuration.
    /// `expected` is the configuration the caller has seen ([`MembersView::at`]); any other in force refuses the
    /// call. Promotion is [`Change::Promote`]. May be called on any member.
    ///
    /// # Errors
    /// [`ChangeFailure`].
    pub async fn change_membership(
        &self,
        expected: Option<Index>,
        changes: Vec<Change>,
    ) -> Result<Index, ChangeFailure> {
        let (reply, answer) = oneshot::channel();
        let call = CallRequest::ChangeMembership { expected, changes, reply };
        self.inbox().call(call).map_err(|full| match full {
            Full::Full => ChangeFailure::TimedOut,
            Full::Closed => ChangeFailure::Stopped,
        })?;
        answer.await.unwrap_or(Err(ChangeFailure::Stopped))
    }

    /// Hands leadership to `to`, or to the voter that is furthest ahead, and returns who leads now. May be called
    /// on any member.
    ///
    /// # Errors
    /// [`TransferFailure`].
    pub async fn transfer_leader(&self, to: Option<MemberId>) -> Result<MemberId, TransferFailure> {
        let (reply, answer) = oneshot::channel();
        self.inbox().call(CallRequest::TransferLeader { to, reply }).map_err(|full| match full {
            Full::Full => TransferFailure::TimedOut,
            Full::Closed => TransferFailure::Stopped,
        })?;
        answer.await.unwrap_or(Err(TransferFailure::Stopped))
    }

    /// The state machine of this member. Reads are serializable; call [`Handle::linearize`] first for more.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        self.shared.store()
    }

    /// Who this member is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.shared.identity()
    }

    /// Where this member stands. No lock, no allocation: fit for every response's header.
    #[must_use]
    pub fn status(&self) -> StatusView {
        self.shared.status()
    }

    /// Who leads, and a way to wait for that to change. Every handle keeps the sender, so that a stop is not seen here.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership()
    }

    /// The membership in force, with what its members have published.
    #[must_use]
    pub fn members(&self) -> MembersView {
        self.shared.members()
    }

    /// Everything the engine knows about itself and, while it leads, about each follower: computed when asked.
    /// None when the node has stopped.
    pub async fn inspect(&self) -> Option<Inspection> {
        let (reply, answer) = oneshot::channel();
        self.inbox().ask(Question::Inspect(reply)).ok()?;
        answer.await.ok()
    }

    /// Where a snapshot stands in the log whose last entry is this one; none inside when the loop has forgotten, and
    /// a snapshot of a later entry is needed. None when the node has stopped.
    pub async fn snapshot_point(&self, index: Index) -> Option<Option<SnapshotPoint>> {
        let (reply, answer) = oneshot::channel();
        self.inbox().ask(Question::SnapshotPoint(index, reply)).ok()?;
        answer.await.ok()
    }

    /// Asks the loop for what [`Handle::seen`] will show.
    pub async fn look(&self) {
        let seen = self.inspect().await;
        self.shared.set_seen(seen);
    }

    /// What the loop said when it was last asked by [`Handle::look`]; nothing once it has ended.
    #[must_use]
    pub fn seen(&self) -> Option<Inspection> {
        self.shared.seen()
    }

    /// Requests that found the inbox full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.inbox().refused()
    }

    /// Ends the member in good order, with [`Stop::Recovering`](super::Stop::Recovering): a request to recover a lost
    /// quorum has been written down, and its next start carries it out.
    pub fn end_to_recover(&self) {
        self.inbox().complete(Completion::Recover);
    }

    /// The sequence of the next command.
    pub(super) fn next_sequence(&self) -> u64 {
        self.shared.peek_sequence()
    }

    fn inbox(&self) -> &Inbox {
        self.shared.inbox()
    }
}
