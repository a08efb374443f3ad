//! What every kind of test stands on: real processes on loopback, histories of what clients saw and the judge of
//! them, the peers we are measured against, and the simulator.
//!
//! ```text
//!   cluster/   members as processes: start, kill, pause, cut off, fill; ports and folders of their own
//!   fuzz/      every decoder under bytes it did not expect
//!   history/   what each client asked and was told; the checker in revision order
//!   crash      one member ended at a chosen system call, again and again, and what it still knows
//!   rot        one member's files spoilt while it does not run, again and again, and what it says afterwards
//!   client     a stock client of one member; workload: many of them, and what they saw
//!   peer       etcd and its load generator, built from their Go modules into a cache
//!   release/   what users run: static programs and their images, made without Docker
//!   kube/      a Kubernetes cluster: scenarios' namespaces, waits, reach, faults (feature `kubernetes`)
//!   sim/       the engine in one thread, from one seed
//!   kind/      Kubernetes: a cluster of five nodes, up and down; servers beside it
//!   image      container images without Docker
//! ```

pub mod client;
pub mod cluster;
pub mod crash;
pub mod fuzz;
pub mod go;
pub mod history;
pub mod image;
pub mod kind;
#[cfg(feature = "kubernetes")]
pub mod kube;
pub mod monitoring;
pub mod peer;
pub mod release;
pub mod rot;
pub mod sim;
pub mod tar;
pub mod workload;

pub use verify::{packages, tree};
