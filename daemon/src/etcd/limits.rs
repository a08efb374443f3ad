//! The bounds of one request, one response and one connection. Each stands between a broken or hostile client and
//! the memory of the member.

/// The largest request that is proposed, in bytes of its protobuf encoding: etcd's `--max-request-bytes`.
pub const REQUEST_BYTES_MAX: usize = 1_572_864;

/// What the transport takes beyond [`REQUEST_BYTES_MAX`], so that a request just above the limit gets etcd's own
/// answer and not the transport's.
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// The largest response. etcd's own bound is 2 GiB, which a few clients at once turn into an out-of-memory kill.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What all responses that are being read, built or sent may hold together. A client above it is told to come back.
pub const RESPONSE_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;

/// What requests may hold together, from their first byte until they are answered: a client that sends half of one and
/// stops, or many while nobody leads, is not to take the memory of the others. A connection alone has a third of it.
pub const REQUEST_BYTES_IN_FLIGHT_MAX: usize = 128 * 1024 * 1024;

/// Calls under way at once, on all connections together. Each holds some kilobytes, and what is not counted of its request
/// and its response.
pub const CALLS_MAX: usize = 32_768;

/// Calls under way at once on the ports of one kind for operations: probes, scrapes and operators are a few.
pub const PAGES_MAX: usize = 256;

/// What their pages may hold together: a hundred scrapes that nobody reads.
pub const PAGES_BYTES_IN_FLIGHT_MAX: usize = 16 * 1024 * 1024;

/// Reads of many keys that are carried out at once; more of them wait. Enough that a few that go through everything do
/// not hold up the others, and few enough that all of them together leave the member time for its own work.
pub const LONG_READS_MAX: usize = 16;

/// Operations in one transaction, counted through its nested transactions: etcd's `--max-txn-ops`.
pub const TXN_OPS_MAX: usize = 128;

/// How deep transactions nest. The budget of operations allows 128 levels; nobody writes more than two, and each
/// level is a level of recursion here and on every member that applies it.
pub const TXN_DEPTH_MAX: usize = 8;

/// Committed entries that may wait to be applied before new requests are refused: etcd's own figure.
pub const APPLY_LAG_ENTRIES_MAX: u64 = 5_000;

/// The bounds an operator may set, and what the requests are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One request, in bytes.
    pub request_bytes_max: usize,
    /// Operations in one transaction, counted through its nested ones.
    pub txn_ops_max: usize,
    /// What the state may take on disk, in bytes; none is no quota.
    pub quota_bytes: Option<u64>,
    /// Learners in the cluster.
    pub learners_max: usize,
    /// Refuse changes of membership that would cost the quorum.
    pub strict_reconfig_check: bool,
}

/// etcd's own quota.
pub const QUOTA_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// etcd's own figure.
pub const LEARNERS_MAX: usize = 1;

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: REQUEST_BYTES_MAX,
            txn_ops_max: TXN_OPS_MAX,
            quota_bytes: Some(QUOTA_BYTES),
            learners_max: LEARNERS_MAX,
            strict_reconfig_check: true,
        }
    }
}

impl Limits {
    /// The largest gRPC message that is decoded.
    #[must_use]
    pub fn receive_bytes_max(&self) -> usize {
        self.request_bytes_max.saturating_add(GRPC_OVERHEAD_BYTES)
    }
}
