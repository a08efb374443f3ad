//! Raft consensus as a function from input to output.
//!
//! ```text
//!   Input ──▶ Raft::step ──▶ Output        Start reading at `node`, the only door.
//!
//!             role/{follower,candidate,leader}      who decides
//!             stream/                               one per follower: Probe, Replicate, Snapshot
//!             log · membership · quorum · read      what they decide on
//! ```
//!
//! Nothing in here knows a runtime, a socket, a file, a clock or randomness: time is an argument of every
//! step, chance is a seed given at the start, effects are values in [`Output`]. The same inputs give the same
//! outputs, so every history replays.

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
pub use membership::{Membership, MembershipDecodeError};
pub use message::{Ack, Envelope, Message, Reject, SnapshotOffer};
pub use node::Raft;
pub use output::{
    Answer, CloseReason, Event, Install, LogRead, MembershipError, Output, Persist, ProposeError, ReadError,
    StateReason, TransferError,
};
pub use status::{FollowerStatus, Lag, PausedReason, Resets, RoleName, Status, StreamState};
pub use types::{HardState, Index, IoId, LinkId, LogId, MemberId, ReadRound, StreamId, Term, Time};
