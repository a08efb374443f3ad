//! The etcd v3 contract: protobuf in, commands and reads of the store out. Foreign formats end here.
//!
//! ```text
//!   listener ─▶ port ─┬─▶ grpc ─▶ kv · txn                      the hot methods, framed by hand
//!                     ├─▶ tonic ─▶ cluster · maintenance        the others
//!                     │            watch · lease · auth         refused for now
//!                     └─▶ http                                  health, version, metrics
//!
//!   admission · bounded · budget · calls · header · limits · overlap · status · work      what they share
//! ```

mod admission;
mod auth;
mod bounded;
mod budget;
mod calls;
mod cluster;
pub mod grpc;
mod header;
mod kv;
mod lease;
pub mod limits;
mod maintenance;
mod overlap;
mod port;
pub mod proto;
mod quota;
mod snapshot;
pub mod status;
mod txn;
mod watch;
mod work;

pub use bounded::Bounded;
pub use cluster::peer_urls;
pub use kv::CheckedRange;
pub use limits::Limits;
pub(crate) use maintenance::alarm_name;
pub use port::{ClientPort, ClientPortError};
pub use txn::{CheckedTxn, check};

use crate::node::Handle;
use crate::snapshot::Streams;
use budget::Budget;
use calls::Calls;
use limits::{CALLS_MAX, LONG_READS_MAX, REQUEST_BYTES_IN_FLIGHT_MAX, RESPONSE_BYTES_IN_FLIGHT_MAX};
use quota::Quota;
use status::Refusal;
use work::Work;

/// The version of the etcd API we speak, as clients compare it.
pub const API_VERSION: &str = "3.7.3";

/// Its major and minor, as etcd names the version of a cluster and of its storage.
pub const CLUSTER_VERSION: &str = "3.7.0";

/// What every family of RPCs answers from.
struct Api {
    node: Handle,
    limits: Limits,
    responses: Budget,
    requests: Budget,
    calls: Calls,
    quota: Quota,
    snapshots: Streams,
    reads: Work,
    sweeps: Work,
}

impl Api {
    fn new(node: Handle, limits: Limits) -> Self {
        let responses = Budget::new(RESPONSE_BYTES_IN_FLIGHT_MAX, Refusal::ResponsesTooMany);
        let requests = Budget::new(REQUEST_BYTES_IN_FLIGHT_MAX, Refusal::RequestsTooMany);
        let calls = Calls::new(CALLS_MAX);
        let snapshots = Streams::new(node.clone());
        let (reads, sweeps) = (Work::new(LONG_READS_MAX), Work::new(1));
        Self { node, limits, responses, requests, calls, quota: Quota::default(), snapshots, reads, sweeps }
    }
}
