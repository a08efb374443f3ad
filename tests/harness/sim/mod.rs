//! A whole cluster from one number: the daemon's own loop, engine, log, store and codecs on simulated disks, links and
//! clocks, with everything they promise checked as it happens.
//!
//! ```text
//!   campaign ──▶ world ──▶ node::driven      many seeds; one run; the daemon's loop, turn by turn
//!                  ├─ perform applying installs   what comes out of its doors: its threads' work, the checks
//!                  ├─ links ── network       who is connected; what becomes of messages
//!                  ├─ disk ── medium         what the log must hold; wal::Wal on a simulated disk
//!                  ├─ machine                mvcc::Store, in memory or in redb on a simulated disk
//!                  ├─ clients trouble        who asks; what goes wrong
//!                  ├─ lies lost joins        disks that say what is not; disks that are gone; new ones
//!                  ├─ settle                 the end: a healed majority must live
//!                  └─ checks/                what must hold
//! ```
//!
//! Time is virtual, chance comes from the seed, nothing depends on the machine: the same seed gives the same trace,
//! line by line.
//!
//! Not run here, because it is made of sockets, threads or tasks: the links' connections, the threads of log, store and
//! keeper, the task that fetches snapshots (what it fetches and what becomes of it is the real thing), and everything a
//! client sees before a [`Handle`](quorate::node::Handle).

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

mod applying;
mod clients;
mod installs;
mod joins;
mod lies;
mod links;
mod lost;
mod perform;
mod settle;
mod trouble;
mod words;
