//! Recovery of a lost quorum: what one member holds becomes a cluster of its own, in which it is the only voter.
//!
//! ```text
//!   --force-new-cluster ──────────────────────┐
//!   POST /v1/recover-quorum ─▶ the identity   │   carry out, below ─▶ an ordinary start, as another member of
//!     file, then the process ends ─▶ restart ─┘                       another cluster, with keyspace and revisions
//! ```
//!
//! Everything in this member's log is taken, whether it is known to be committed or not: a write that was acknowledged
//! may stand in the log of the one member that is left without that member having heard that it was. So a write that
//! was never acknowledged may appear; its client had to reckon with that in any case.
//!
//! The cluster has another id, and so have the member and its disk: whoever is left of the former cluster, were it all
//! the others, is turned away at every door, and its data are never mixed with these.
//!
//! # The steps
//!
//! | step | durable effect | a crash after it |
//! | --- | --- | --- |
//! | 1 | the log is read, and what the store lacks of it decoded: nothing is written | the former member |
//! | 2 | the identity says that it becomes another one, and which | every start goes on from here |
//! | 3 | the store has applied the whole log | the next start applies the rest |
//! | 4 | the store has forgotten what was the former cluster's: who its members were, their alarms, its backups | again, without effect |
//! | 5 | the identity is the new member's, and says where its log begins | the next start begins that log |
//! | 6 | the former log is gone, the new one begins, as for any first member | the next start goes on with it |
//!
//! * Before step 2 the former member is untouched, whatever is wrong with its log or its store. After it there is no
//!   way back: the store takes what the former cluster may never have committed.
//! * Log and store are read as an ordinary start reads them, an install that was begun included.
//! * Steps 1 to 5 are [`carry_out`], before the member starts. Step 6 is that start's.

mod carry_out;
mod desk;

#[cfg(test)]
mod recovery_tests;

pub(crate) use carry_out::wal_identity;
pub use carry_out::{Log, carry_out};
pub use desk::{Desk, REQUEST_BYTES_MAX};
