//! A whole cluster from one number: the real engine on simulated disks, links and clocks, with everything it promises
//! checked as it happens.
//!
//! ```text
//!   campaign ──▶ world ──▶ raft::Raft        many seeds; one run; the engine under test
//!                  ├─ perform                what the engine wants done, as a daemon would
//!                  ├─ network disk machine   links; the write-ahead log; the state machine
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
pub mod image;
pub mod machine;
pub mod member;
pub mod network;
pub mod queue;
pub mod report;
pub mod rng;
pub mod swarm;
pub mod trace;
pub mod world;

mod clients;
mod perform;
mod settle;
mod trouble;
