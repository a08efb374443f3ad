//! What the transport tells the loop.

use super::call::{Call, CallReply};
use super::forward::{Forwarded, NotTaken};
use super::hello::{BindReply, Refusal};
use crate::bootstrap::NodeInfo;
use raft::{Envelope, LinkId, MemberId, Term};
use tokio::sync::oneshot;

/// Something from a peer, or about the link to it.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// The link to the peer is up.
    LinkUp {
        /// The peer.
        peer: MemberId,
        /// Greater than any before.
        link: LinkId,
    },
    /// It is gone, with everything in flight on it.
    LinkDown {
        /// The peer.
        peer: MemberId,
        /// Which.
        link: LinkId,
    },
    /// The peer refuses this member's link.
    Refused {
        /// The peer.
        peer: MemberId,
        /// Why.
        refusal: Refusal,
    },
    /// The peer has connected: it is there, and this is how to reach it.
    Called {
        /// The peer.
        peer: MemberId,
        /// How it describes itself.
        info: NodeInfo,
    },
    /// A process that joins asks to be the member with these peer URLs. Answered with that member's id once the
    /// configuration that binds it is committed, or with what stands in the way.
    Bind {
        /// How it describes itself, disk included.
        info: NodeInfo,
        /// Where the answer goes.
        reply: oneshot::Sender<BindReply>,
    },
    /// A message of consensus.
    Message(Envelope),
    /// Commands of the peer's clients, for this member as the leader.
    Forwarded {
        /// The peer.
        peer: MemberId,
        /// The term in which it took this member for the leader.
        term: Term,
        /// Them.
        commands: Vec<Forwarded>,
    },
    /// Commands this member forwarded are in no log.
    NotTaken {
        /// The peer that did not take them.
        peer: MemberId,
        /// Which, and why.
        not_taken: NotTaken,
    },
    /// A request about the cluster, for this member as the leader.
    Call {
        /// The peer.
        peer: MemberId,
        /// Repeated in the answer.
        id: u64,
        /// What is asked.
        call: Call,
    },
    /// The answer to a call of this member.
    CallReply {
        /// The number of the call.
        id: u64,
        /// What it said.
        reply: CallReply,
    },
}
