//! The driver of the engine: the only loop, and the doors to it.
//!
//! ```text
//!   Handle ─┐                          ┌─▶ transport outboxes      (messages)
//!   peers  ─┼─▶ inbox ─▶ raft.step ─▶ perform ─▶ WAL thread        (writes, one fsync for many)
//!   threads ┘      ▲                   ├─▶ apply thread            (committed entries)
//!                  └── completions ────┴─▶ waiters                 (answers)
//! ```

mod completion;
mod failure;
mod handle;
mod inbox;
mod request;
mod shared;
#[cfg(test)]
pub(crate) mod solo;
mod view;

pub(crate) use completion::{Completion, Outcome};
pub use failure::{ChangeFailure, ProposeFailure, ReadFailure, TransferFailure};
pub use handle::{Applied, COMMAND_BYTES_MAX, Handle};
pub(crate) use inbox::Inbox;
pub use view::{Leadership, MemberView, MembersView, StatusView};
