//! The one table that turns our refusals into etcd's.
//!
//! Clients find an error by its text and decide about a retry by its code, so both are part of the contract. The
//! table has no wildcard: a new refusal does not compile before it has its line.

use crate::node::{ChangeFailure, ProposeFailure, ReadFailure, TransferFailure};
use raft::{MembershipError, TransferError};
use tonic::{Code, Status};

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:ident $text:literal,)*) => {
        /// Why a request was refused, in the words of the etcd contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// Every refusal, for tests and for documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The gRPC code a client sees.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The text a client sees; it is how clients tell errors apart.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

table! {
    // ---- keys and values
    /// A request without a key.
    EmptyKey = InvalidArgument "etcdserver: key is not provided",
    /// `ignore_value` or `ignore_lease` on a key that is not there; an operation of a transaction that is empty.
    KeyNotFound = InvalidArgument "etcdserver: key not found",
    /// A value together with `ignore_value`.
    ValueProvided = InvalidArgument "etcdserver: value is provided",
    /// A lease together with `ignore_lease`.
    LeaseProvided = InvalidArgument "etcdserver: lease is provided",
    /// A sort order or target nobody knows.
    InvalidSortOption = InvalidArgument "etcdserver: invalid sort option",
    /// More operations than a transaction may have, or transactions nested too deep.
    TooManyOps = InvalidArgument "etcdserver: too many operations in txn request",
    /// A comparison with an unknown target or relation.
    InvalidCompare = InvalidArgument "etcdserver: invalid compare",
    /// Two writes of one transaction touch the same key.
    DuplicateKey = InvalidArgument "etcdserver: duplicate key given in txn request",
    /// The revision's history is gone.
    Compacted = OutOfRange "etcdserver: mvcc: required revision has been compacted",
    /// The revision is still to come.
    FutureRevision = OutOfRange "etcdserver: mvcc: required revision is a future revision",
    /// The space quota is used up.
    NoSpace = ResourceExhausted "etcdserver: mvcc: database space exceeded",
    /// The request is larger than a request may be.
    RequestTooLarge = InvalidArgument "etcdserver: request is too large",
    /// Applying lags behind committing. etcd means `ResourceExhausted`, but answers it with an error of its client
    /// library, which arrives as `Unknown`.
    TooManyRequests = Unknown "etcdserver: too many requests",
    /// The client's version metadata is not text.
    InvalidClientApiVersion = InvalidArgument "etcdserver: invalid client api version",

    // ---- leases
    /// No such lease.
    LeaseNotFound = NotFound "etcdserver: requested lease not found",
    /// The lease is there already.
    LeaseExists = FailedPrecondition "etcdserver: lease already exists",
    /// A time to live beyond what etcd takes.
    LeaseTtlTooLarge = OutOfRange "etcdserver: too large lease TTL",

    // ---- watches
    /// The watch was cancelled.
    WatchCanceled = Cancelled "etcdserver: watch canceled",

    // ---- members
    /// A member with this id is there already.
    MemberExists = FailedPrecondition "etcdserver: member ID already exist",
    /// Another member has one of these peer URLs.
    PeerUrlExists = FailedPrecondition "etcdserver: Peer URLs already exists",
    /// The change would leave too few started members for a quorum. `Unknown` as with [`Self::TooManyRequests`].
    NotEnoughStarted = Unknown "etcdserver: re-configuration failed due to not enough started members",
    /// A peer URL is not a URL.
    MemberBadUrls = InvalidArgument "etcdserver: given member URLs are invalid",
    /// No such member.
    MemberNotFound = NotFound "etcdserver: member not found",
    /// The member to promote is a voter.
    MemberNotLearner = FailedPrecondition "etcdserver: can only promote a learner member",
    /// The learner to promote lags too far.
    LearnerNotReady = FailedPrecondition "etcdserver: can only promote a learner member which is in sync with leader",
    /// The cluster has as many learners as it takes.
    TooManyLearners = FailedPrecondition "etcdserver: too many learner members in cluster",
    /// Not enough members are reachable to change the membership.
    Unhealthy = Unavailable "etcdserver: unhealthy cluster",

    // ---- leadership
    /// No leader is known.
    NoLeader = Unavailable "etcdserver: no leader",
    /// Only the leader serves this.
    NotLeader = FailedPrecondition "etcdserver: not leader",
    /// The leader changed while the request was under way.
    LeaderChanged = Unavailable "etcdserver: leader changed",
    /// The member to take over cannot.
    BadLeaderTransferee = FailedPrecondition "etcdserver: bad leader transferee",
    /// The handover was begun and did not end in time. etcd has no code for it.
    TimeoutLeaderTransfer = Unknown "etcdserver: request timed out, leader transfer took too long",
    /// A learner does not serve this.
    NotSupportedForLearner = FailedPrecondition "etcdserver: rpc not supported for learner",
    /// The cluster cannot serve this method yet.
    NotCapable = FailedPrecondition "etcdserver: not capable",
    /// The member is going down.
    Stopped = Unavailable "etcdserver: server stopped",
    /// No answer in time; the outcome of a write is not known.
    Timeout = Unavailable "etcdserver: request timed out",
    /// As [`Self::Timeout`], when the leader was lost meanwhile.
    TimeoutLeaderFailure = Unavailable "etcdserver: request timed out, possibly due to previous leader failure",
    /// As [`Self::Timeout`], when the link to the leader was lost meanwhile.
    TimeoutConnectionLost = Unavailable "etcdserver: request timed out, possibly due to connection lost",
    /// The read was confirmed, applying did not get there in time.
    TimeoutWaitApplied = Unavailable "etcdserver: request timed out, waiting for the applied index took too long",
    /// The members' data differ.
    Corrupt = DataLoss "etcdserver: corrupt cluster",

    // ---- versions
    /// The cluster's version is not known.
    ClusterVersionUnavailable = FailedPrecondition "etcdserver: cluster version not found during downgrade",
    /// The version to downgrade to is not a version.
    WrongDowngradeVersionFormat = InvalidArgument "etcdserver: wrong downgrade target version format",
    /// The version to downgrade to cannot be reached.
    InvalidDowngradeTargetVersion = InvalidArgument "etcdserver: invalid downgrade target version",
    /// A downgrade is under way.
    DowngradeInProcess = FailedPrecondition "etcdserver: cluster has a downgrade job in progress",
    /// There is no downgrade to cancel.
    NoInflightDowngrade = FailedPrecondition "etcdserver: no inflight downgrade job",

    // ---- access control
    /// `root` is not a user.
    RootUserNotExist = FailedPrecondition "etcdserver: root user does not exist",
    /// `root` lacks its role.
    RootRoleNotExist = FailedPrecondition "etcdserver: root user does not have root role",
    /// The user is there already.
    UserAlreadyExists = FailedPrecondition "etcdserver: user name already exists",
    /// No user name was given.
    UserEmpty = InvalidArgument "etcdserver: user name is empty",
    /// No such user.
    UserNotFound = FailedPrecondition "etcdserver: user name not found",
    /// The role is there already.
    RoleAlreadyExists = FailedPrecondition "etcdserver: role name already exists",
    /// No such role.
    RoleNotFound = FailedPrecondition "etcdserver: role name not found",
    /// No role name was given.
    RoleEmpty = InvalidArgument "etcdserver: role name is empty",
    /// Wrong name or password.
    AuthFailed = InvalidArgument "etcdserver: authentication failed, invalid user ID or password",
    /// A grant without a permission.
    PermissionNotGiven = InvalidArgument "etcdserver: permission not given",
    /// The user may not.
    PermissionDenied = PermissionDenied "etcdserver: permission denied",
    /// The user does not have the role.
    RoleNotGranted = FailedPrecondition "etcdserver: role is not granted to the user",
    /// The role does not have the permission.
    PermissionNotGranted = FailedPrecondition "etcdserver: permission is not granted to the role",
    /// Access control is off.
    AuthNotEnabled = FailedPrecondition "etcdserver: authentication is not enabled",
    /// The token is not valid.
    InvalidAuthToken = Unauthenticated "etcdserver: invalid auth token",
    /// The change would lock everybody out.
    InvalidAuthManagement = InvalidArgument "etcdserver: invalid auth management",
    /// The token was issued before access control changed.
    AuthOldRevision = InvalidArgument "etcdserver: revision of auth store is old",

    // ---- the caller
    /// The caller gave up.
    RequestCanceled = Cancelled "etcdserver: request canceled",
    /// The caller's deadline passed.
    DeadlineExceeded = DeadlineExceeded "etcdserver: context deadline exceeded",

    // ---- ours: etcd has no such bound, so the text is free
    /// The response would be larger than a response may be.
    ResponseTooLarge = ResourceExhausted "etcdserver: response is too large, use limit or keys_only",
    /// The responses under way hold as much memory as they may.
    ResponsesTooMany = ResourceExhausted "etcdserver: too many response bytes in flight",
    /// The requests that have arrived in part hold as much memory as they may.
    RequestsTooMany = ResourceExhausted "etcdserver: too many request bytes in flight",
    /// As many calls are under way as may be.
    CallsTooMany = ResourceExhausted "etcdserver: too many calls in flight",
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.text())
    }
}

impl From<ProposeFailure> for Refusal {
    fn from(failure: ProposeFailure) -> Self {
        match failure {
            ProposeFailure::NoLeader => Self::NoLeader,
            ProposeFailure::TimedOut => Self::Timeout,
            ProposeFailure::TimedOutLeaderChanged => Self::TimeoutLeaderFailure,
            ProposeFailure::LeaderChanged => Self::LeaderChanged,
            ProposeFailure::TooManyRequests => Self::TooManyRequests,
            ProposeFailure::NoSpace => Self::NoSpace,
            ProposeFailure::TooLarge { .. } => Self::RequestTooLarge,
            ProposeFailure::Stopped => Self::Stopped,
        }
    }
}

impl From<ReadFailure> for Refusal {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::NoLeader => Self::NoLeader,
            ReadFailure::TimedOut => Self::Timeout,
            ReadFailure::TooManyRequests => Self::TooManyRequests,
            ReadFailure::Stopped => Self::Stopped,
        }
    }
}

impl From<ChangeFailure> for Refusal {
    fn from(failure: ChangeFailure) -> Self {
        match failure {
            ChangeFailure::Refused(error) => error.into(),
            ChangeFailure::NoLeader => Self::NoLeader,
            ChangeFailure::TimedOut => Self::Timeout,
            ChangeFailure::Stopped => Self::Stopped,
        }
    }
}

impl From<MembershipError> for Refusal {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::NotLeader { .. } => Self::NotLeader,
            // etcd makes changes wait for each other; ours are refused, and a client may try again as when the
            // cluster is not well.
            MembershipError::InProgress { .. }
            | MembershipError::Outdated { .. }
            | MembershipError::TooEarly
            | MembershipError::Transferring => Self::Unhealthy,
            MembershipError::Unknown(_) | MembershipError::Tombstoned(_) => Self::MemberNotFound,
            MembershipError::Exists(_) => Self::MemberExists,
            MembershipError::NotLearner(_) => Self::MemberNotLearner,
            MembershipError::Lagging { .. } => Self::LearnerNotReady,
            MembershipError::NoVoters => Self::NotEnoughStarted,
            MembershipError::Lost => Self::LeaderChanged,
        }
    }
}

impl From<TransferFailure> for Refusal {
    fn from(failure: TransferFailure) -> Self {
        match failure {
            TransferFailure::Refused(error) => error.into(),
            TransferFailure::NoLeader => Self::NoLeader,
            TransferFailure::TimedOut => Self::TimeoutLeaderTransfer,
            TransferFailure::Stopped => Self::Stopped,
        }
    }
}

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NotLeader { .. } => Self::NotLeader,
            TransferError::NotVoter(_) | TransferError::NoTarget => Self::BadLeaderTransferee,
            TransferError::InProgress | TransferError::TimedOut => Self::TimeoutLeaderTransfer,
        }
    }
}

impl From<mvcc::Refusal> for Refusal {
    fn from(refusal: mvcc::Refusal) -> Self {
        match refusal {
            mvcc::Refusal::Compacted { .. } => Self::Compacted,
            mvcc::Refusal::FutureRevision { .. } => Self::FutureRevision,
            mvcc::Refusal::KeyNotFound => Self::KeyNotFound,
            mvcc::Refusal::LeaseNotFound => Self::LeaseNotFound,
            mvcc::Refusal::NoSpace => Self::NoSpace,
            mvcc::Refusal::Corrupt => Self::Corrupt,
        }
    }
}

impl From<mvcc::ReadError> for Refusal {
    fn from(error: mvcc::ReadError) -> Self {
        match error {
            mvcc::ReadError::Refused(refusal) => refusal.into(),
            mvcc::ReadError::NoRoom => Self::ResponsesTooMany,
            // The member is about to end for the same reason; its client should go to another.
            mvcc::ReadError::Fault(fault) => {
                tracing::error!(%fault, "a read failed");
                Self::Stopped
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_text_is_etcds_and_belongs_to_one_refusal() {
        let mut seen = HashSet::new();
        for refusal in Refusal::ALL {
            assert!(refusal.text().starts_with("etcdserver: "), "{refusal:?}");
            assert!(seen.insert(refusal.text()), "{refusal:?} shares its text");
        }
    }

    #[test]
    fn what_etcd_has_no_code_for_arrives_as_unknown() {
        let unknown: Vec<_> = Refusal::ALL.iter().copied().filter(|r| r.code() == Code::Unknown).collect();
        assert_eq!(unknown, [Refusal::TooManyRequests, Refusal::NotEnoughStarted, Refusal::TimeoutLeaderTransfer]);
    }

    #[test]
    fn what_a_client_may_retry_elsewhere_is_unavailable() {
        let unavailable: Vec<_> = Refusal::ALL.iter().copied().filter(|r| r.code() == Code::Unavailable).collect();
        assert_eq!(
            unavailable,
            [
                Refusal::Unhealthy,
                Refusal::NoLeader,
                Refusal::LeaderChanged,
                Refusal::Stopped,
                Refusal::Timeout,
                Refusal::TimeoutLeaderFailure,
                Refusal::TimeoutConnectionLost,
                Refusal::TimeoutWaitApplied,
            ]
        );
    }

    #[test]
    fn a_status_carries_code_and_text() {
        let status = Status::from(Refusal::Compacted);
        assert_eq!(status.code(), Code::OutOfRange);
        assert_eq!(status.message(), "etcdserver: mvcc: required revision has been compacted");
    }
}
