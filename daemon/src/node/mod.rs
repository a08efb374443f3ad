//! The driver of the engine: the only loop, and the doors to it.
//!
//! ```text
//!   Handle ─┐                          ┌─▶ transport outboxes      (messages)
//!   peers  ─┼─▶ inbox ─▶ raft.step ─▶ perform ─▶ WAL thread        (writes, one sync for many)
//!   threads ┘      ▲                   ├─▶ apply thread            (committed entries)
//!                  └── completions ────┴─▶ waiters                 (answers)
//! ```
//!
//! Start reading at `turn`, which is the loop, and `perform`, which is what the engine's outputs become.

mod applier;
mod bind;
mod calls;
mod clock;
mod compactor;
mod completion;
mod doors;
pub mod driven;
mod ending;
mod failure;
mod follow;
mod foreign;
mod full;
mod handle;
mod inbox;
mod inspect;
mod log;
mod open_log;
mod perform;
mod promote;
mod quota;
mod reads;
mod request;
mod retention;
mod shared;
#[cfg(test)]
pub(crate) mod solo;
mod spans;
mod start;
mod switch;
mod trace;
mod turn;
mod view;
mod waiters;

pub use applier::apply_entries;
pub use completion::Outcome;
pub use ending::{StartError, Stop};
pub use failure::{ChangeFailure, ProposeFailure, ReadFailure, TransferFailure};
pub use full::FullDisks;
pub use handle::{Applied, COMMAND_BYTES_MAX, Handle};
pub(crate) use inbox::Inbox;
pub use inspect::Inspection;
#[cfg(test)]
pub(crate) use open_log::open_log;
pub(crate) use open_log::{log_directory, log_options};
pub use start::{Parts, Running, start};
pub use trace::TRACE_TARGET;
use turn::Node;
pub use view::{Leadership, MemberView, MembersView, StatusView};

#[cfg(test)]
mod cluster_tests;
