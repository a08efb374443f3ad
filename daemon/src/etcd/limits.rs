//! The bounds of one request, one response and one connection. Each stands between a broken or hostile client and
//! the memory of the member.

use std::time::Duration;

/// The largest request that is proposed, in bytes of its protobuf encoding: etcd's `--max-request-bytes`.
pub const REQUEST_BYTES_MAX: usize = 1_572_864;

/// What the transport takes beyond [`REQUEST_BYTES_MAX`], so that a request just above the limit gets etcd's own
/// answer and not the transport's.
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// The largest gRPC message that is decoded.
pub const RECEIVE_BYTES_MAX: usize = REQUEST_BYTES_MAX + GRPC_OVERHEAD_BYTES;

/// The largest response. etcd's own bound is 2 GiB, which a few clients at once turn into an out-of-memory kill.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What all responses being built or sent may hold together. A client above it is told to come back.
pub const RESPONSE_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;

/// Operations in one transaction, counted through its nested transactions: etcd's `--max-txn-ops`.
pub const TXN_OPS_MAX: usize = 128;

/// How deep transactions nest. The budget of operations allows 128 levels; nobody writes more than two, and each
/// level is a level of recursion here and on every member that applies it.
pub const TXN_DEPTH_MAX: usize = 8;

/// Committed entries that may wait to be applied before new requests are refused: etcd's own figure.
pub const APPLY_LAG_ENTRIES_MAX: u64 = 5_000;

/// What a client waits for a proposal or a linearizable read, besides two election timeouts: etcd's own figure,
/// long enough for a slow disk and one change of leader.
pub const REQUEST_TIMEOUT_BASE: Duration = Duration::from_secs(5);

/// How long a request waits before the client is told that it timed out.
#[must_use]
pub fn request_timeout(election_timeout: Duration) -> Duration {
    REQUEST_TIMEOUT_BASE + 2 * election_timeout
}
