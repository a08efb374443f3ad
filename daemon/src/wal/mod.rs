//! The write-ahead log: hard state and entries in one stream of batches, each made durable by one sync.
//!
//! ```text
//!   0000000000000007.wal   0000000000000008.wal   spare-… (zeros)   ballast   lock
//!   ┌────────┬───────┬─────┬────────┬───────────────┐
//!   │ header │ batch │ ... │ batch  │ zeros or junk │      a batch: header │ control records │ entry records
//!   └────────┴───────┴─────┴────────┴───────────────┘
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `header` | the layout of a segment's first 4 KiB |
//! | `batch` | the layout of a batch, and why bytes of an earlier life of a file never pass for one |
//! | `control` | the layout of what a batch says besides entries |
//! | `log` | writing: the order of effects everything rests on |
//! | `recover` | reading it all back: what is cut, what is refused |
//! | `discard` | taking away the log of a member that has become another one |
//! | `pool` | files at hand: spares, dropped segments, the ballast |
//! | `writer`, `reader` | the thread that commits groups; reads from disk beside it |
//!
//! What always holds:
//!
//! * What has been reported durable is found again after any crash, in order, or the log refuses to open and says where
//!   it is broken. It never makes up an entry, and never cuts one that was reported.
//! * Entries are never rewritten in place: a truncation is a record, and the entries that replace the old ones follow.
//! * Each segment begins with a checkpoint of the whole log's state, so the segments before it can go.
//! * After a failed write or sync nothing is reported and nothing is tried again. The process ends.
//! * Numbers are little-endian. A reader refuses a version it does not know.

mod batch;
mod control;
mod discard;
mod dump;
mod error;
mod group;
mod header;
mod index;
mod log;
mod options;
mod pool;
mod reader;
mod recover;
mod request;
mod segment;
mod serve;
mod state;
mod writer;

pub use discard::discard;
pub use dump::{Dump, dump};
pub use error::{Identity, OpenError, Problem, ReadError, WalError};
pub use options::{OpenReport, Options, Remembered, TornTail};
pub use reader::WalReader;
pub use request::{Completion, Group, Listener, Room, SubmitError, WalRequest};
pub use serve::{Recovered, Wal};
pub use writer::WalWriter;

#[cfg(test)]
mod tests;
