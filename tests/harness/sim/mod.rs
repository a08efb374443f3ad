//! A whole cluster from one number: the real engine, log, store and codecs on simulated disks, links and clocks, with
//! everything they promise checked as it happens.
//!
//! ```text
//!   campaign ──▶ world ──▶ raft::Raft        many seeds; one run; the engine under test
//!                  ├─ perform                what the engine wants done, as a daemon would
//!                  ├─ network                links
//!                  ├─ disk ── medium         what the log must hold; wal::Wal on a simulated disk
//!                  ├─ machine                mvcc::Store, in memory or in redb on a simulated disk
//!                  ├─ clients trouble        who asks; what goes wrong
//!                  ├─ settle                 the end: a healed majority must live
//!                  └─ checks/                what must hold
//! ```
//!
//! Time is virtual, chance comes from the seed, nothing depends on the machine: the same seed gives the same trace,
//! line by line.

pub mod campaign;
pub mod checks;
pub mod clock;
pub mod disk;
pub mod frames;
pub mod hunt;
pub mod image;
pub mod machine;
pub mod medium;
pub mod member;
pub mod network;
pub mod queue;
pub mod report;
pub mod rng;
pub mod shrink;
pub mod swarm;
pub mod trace;
pub mod world;
pub mod write;

mod clients;
mod perform;
mod settle;
mod trouble;
