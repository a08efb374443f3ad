//! One member of a Quorate cluster: etcd v3 requests in, a replicated log and a store on disk, answers out.
//!
//! ```text
//!   etcd/ (gRPC, HTTP)    admin/, metrics/     transport/ (peers)
//!        └── node::Handle ───┬──┘                 │ frames
//!                     node/  the only loop: inbox → raft.step → perform
//!               ┌────────────┼───────────────┬────────────┐
//!             raft         wal/ thread   apply thread    store (mvcc)
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`command`] | the command line: what to run, and how it ends |
//! | [`config`] | settings from flags, environment and file, checked once |
//! | [`bootstrap`] | how a member formats its disk, and joins or forms a cluster |
//! | [`recovery`] | a new cluster, made of what one member of a lost one holds |
//! | [`node`] | the loop that drives the engine, and the handle everybody asks |
//! | [`transport`] | frames from and to peers |
//! | [`disk`] | the door to the disk: few calls, in an order a crash cannot harm |
//! | [`wal`] | hard state and entries, each batch made durable by one sync |
//! | [`install`] | snapshots on their way to a member that the log does not reach |
//! | [`stage`] | snapshots into object storage, kept for a while, deleted |
//! | [`store`] | the state machine's file, and the thread that flushes it |
//! | [`snapshot`] | the whole store at one log index: taken, checked, stored, restored |
//! | [`etcd`] | the etcd v3 services: protobuf in, commands and reads out |
//! | [`listener`] | one port for gRPC and HTTP, with or without TLS |
//! | [`http`] | health, version and metrics over plain HTTP |
//! | [`admin`] | what operators ask of a member |
//! | [`metrics`] | the member in numbers, computed when they are read |
//! | [`telemetry`] | log lines and traces |
//! | [`tls`] | certificates, read again without a restart |

pub mod admin;
pub mod bootstrap;
pub mod command;
pub mod config;
pub mod disk;
pub mod etcd;
mod hex;
pub mod http;
pub mod install;
pub mod listener;
pub mod metrics;
pub mod node;
pub mod recovery;
mod reload;
pub mod snapshot;
pub mod stage;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod wal;
