//! The state machine's storage on this member's disk: [`mvcc::Store`] over one redb file, and the thread that keeps
//! flushing it.
//!
//! ```text
//!   apply thread ──▶ Store ── buffers ──▶ Keeper's thread ── one commit ──▶ RedbBackend ──▶ disk::File
//!        ▲                                     │
//!        └──────── waits when full ◀───────────┘
//! ```
//!
//! redb is a copy-on-write B-tree with one writer: reads are cheap, small commits are not. So commits are large and
//! rare; what a crash takes away since the last one, the log replays.

mod file;
mod keeper;
mod redb;

pub use keeper::{Keeper, KeeperEvents, Pace};
pub use redb::{Options, RedbBackend};

/// The file in the member's directory.
pub const STATE_FILE: &str = "state.redb";
