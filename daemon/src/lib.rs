//! One member of a Quorate cluster: etcd v3 requests in, a replicated log on disk, snapshots in an object store.
//!
//! ```text
//!   etcd/ (gRPC, HTTP)    admin/, metrics/     transport/ (peers)
//!        └── node::Handle ───┬──┘                 │ frames
//!                     node/  the only loop: inbox → raft.step → perform
//!               ┌────────────┼───────────────┬────────────┐
//!             raft         wal/ thread   apply thread    store (mvcc)
//! ```

pub mod admin;
pub mod bootstrap;
pub mod command;
pub mod config;
pub mod disk;
pub mod etcd;
pub mod http;
pub mod listener;
pub mod metrics;
pub mod node;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod wal;
