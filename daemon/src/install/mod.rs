//! Installing a snapshot: how a member that the leader's log does not reach any more comes back.
//!
//! ```text
//!   leader ── offer (last) ──▶ node loop ──▶ Fetcher ── asks ──▶ sources: object storage, other members, the leader
//!                                              │                   (their Server pins an image, names its chunks,
//!                                              │                    and knows what is staged)
//!                                   install/ ◀─┘ chunks by digest
//!                                     │ all there: restore
//!                                     ▼
//!                              state.redb.install ──▶ node loop ──▶ switch (below) ──▶ Input::Installed
//! ```
//!
//! A snapshot is a [manifest](crate::snapshot::Manifest) and its chunks. Chunks are found by digest, so what two snapshots
//! share is fetched once, and what was fetched outlives links, sources, leaders and this process. Whatever arrives is
//! compared with its digest before it is kept, and again before it is used; the finished state is compared with what
//! the manifest says of it before it is taken.
//!
//! # The switch
//!
//! State file and log change together, though they are in two places. The intent record makes them one:
//!
//! | step | durable effect | a crash after it |
//! | --- | --- | --- |
//! | 1 | `state.redb.install` is complete and synced | old state; the file is removed at the next start |
//! | 2 | `install.intent`: the manifest | the next start goes on with step 3 |
//! | 3 | `state.redb.install` is renamed to `state.redb` | the next start goes on with step 4 |
//! | 4 | the log is reset to follow the last entry, unless it holds that entry | the next start does so again, without effect |
//! | 5 | the intent is removed | new state |
//!
//! * Before step 2 the old state and the old log are untouched; from step 2 on the new ones are what every start ends
//!   with. There is no moment at which a start finds a state that its log does not connect to.
//! * The engine gets no input between step 2 and the end of step 4, and its writes are all durable before: the log
//!   makes the same choice as the engine.
//! * The next file is built only after step 5 is durable, so an intent never meets a file that is not its own.

mod fetch;
mod fetching;
mod pace;
mod progress;
mod serve;
mod source;
mod spool;
mod switch;
pub mod wire;

pub use fetch::Installed;
pub(crate) use fetch::{Fetcher, Ground, Ready};
pub(crate) use fetching::Floor;
pub(crate) use progress::Progress;
pub use progress::{BySource, Phase, ProgressView, SnapshotsView, SourceKind, Totals};
pub(crate) use serve::{Limits, Server};
pub(crate) use switch::reset_to;
pub use switch::{Intent, NEXT_FILE, Switch, SwitchError, drop_next, finish_switch, recover_log, recover_state};
