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
//!
//! What things cost, in CPU for each (`tests/bin/store_bench.rs`: 100,000 keys of 38 bytes, values of 256 bytes, two
//! quiet cores of an EPYC; the put includes making the command, and its share of the flush):
//!
//! | operation | microseconds |
//! | --- | --- |
//! | put of a hot key; of any of 100,000 | 4.5; 9 to 10 |
//! | point read, row not cached | 6.9 |
//! | range of 100 keys; without their values | 412; 56 |
//! | count of half the keys | 22 |
//! | hash, for each row | 0.5 |
//! | sweep, for each row | 9 |
//! | opening, for each key | 0.2 |

mod file;
mod keeper;
mod redb;

pub use keeper::{Keeper, KeeperEvents, Pace};
pub(crate) use redb::is_opening;
pub use redb::{Options, RedbBackend};

/// The file in the member's directory.
pub const STATE_FILE: &str = "state.redb";
