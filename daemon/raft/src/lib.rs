//! Raft consensus as a function from input to output.
//!
//! ```text
//!   Input ──▶ Raft::step ──▶ Output        Start reading at `node`, the only door.
//!
//!             role/{follower,candidate,leader}      who decides; leader/{change,transfer,uncommitted}
//!             stream/                               one per follower: Probe, Replicate, Snapshot
//!             core                                  what outlives a role: term, vote, log, commit
//!             log · membership · quorum · read      what is decided on
//!             writes · applies                      the way to disk, the way into the state machine
//! ```
//!
//! Nothing in here knows a runtime, a socket, a file, a clock or randomness: time is an argument of every
//! step, chance is a seed given at the start, effects are values in [`Output`]. The same inputs give the same
//! outputs, so every history replays.
//!
//! What a driver owes:
//! * [`Persist`] values are written in order, each whole; [`Input::Persisted`] names the last durable one.
//! * [`Output::apply`] is applied in order; [`Input::Applied`] follows, also once for many.
//! * [`Input::LinkUp`] comes with every new connection to a peer and a greater [`LinkId`]: streams start with it.
//! * [`Input::Tick`] comes no later than [`Raft::next_deadline`], which is read again after every step.
//! * [`LogRead`]s for a follower or for this member itself are answered by [`Input::LogRead`].
//!
//! [`seed`] tells where the engine comes from and what became of each behaviour it began with.

mod applies;
mod boot;
mod chance;
mod config;
mod core;
mod entry;
mod input;
mod log;
mod membership;
mod message;
mod node;
mod output;
mod quorum;
mod read;
mod role;
pub mod seed;
mod status;
mod stream;
#[cfg(test)]
mod testdata;
mod types;
mod writes;

pub use boot::{Boot, Now};
pub use config::Config;
pub use entry::{Entry, EntryKind, RECORD_HEADER_BYTES, RecordError};
pub use input::{Change, Input, LogReadFailure, Proposal, Token};
pub use membership::{Membership, MembershipDecodeError, SnapshotPoint};
pub use message::{Ack, Envelope, Message, Reject, SnapshotOffer};
pub use node::Raft;
pub use output::{
    Answer, CloseReason, Event, Install, LogRead, MembershipError, Output, Persist, ProposeError, ReadError,
    StateReason, TransferError,
};
pub use planted;
pub use status::{Brief, FollowerStatus, Lag, PausedReason, Resets, RoleName, Status, StreamState};
pub use types::{HardState, Index, IoId, LinkId, LogId, MemberId, ReadRound, StreamId, Term, Time};
