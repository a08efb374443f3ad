//! Why a call is refused: one table from the node's reasons to HTTP.

use super::respond;
use crate::etcd::grpc::Body;
use crate::node::{ChangeFailure, ProposeFailure, ReadFailure, TransferFailure};
use crate::snapshot::TakeError;
use admin_api::{Id, Problem};
use http::{Response, StatusCode};
use raft::{MemberId, MembershipError, TransferError};
use std::time::Duration;

/// A refusal on its way out.
#[derive(Debug)]
pub struct Refusal {
    code: StatusCode,
    problem: Problem,
}

impl Refusal {
    fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, problem: Problem { message: message.into(), ..Problem::default() } }
    }

    pub(super) fn not_understood(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn slow(time_max: Duration) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, format!("the request has not arrived in {time_max:?}"))
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
    }

    pub(super) fn browser() -> Self {
        Self::new(StatusCode::FORBIDDEN, "a page in a browser may not ask for changes: the request has an Origin")
    }

    pub(super) fn foreign_host() -> Self {
        let message = "the request comes from this machine under the name of another: ask localhost, or an address";
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn no_such_member(member: MemberId) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{} is not a member", Id(member.0)))
    }

    pub(super) fn no_backups() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "no member stages snapshots: set --backup-store")
    }

    /// Whoever asks means somebody else, or this member as it was before.
    pub(super) fn other_member(cluster: Id, member: Id) -> Self {
        Self::new(StatusCode::CONFLICT, format!("this is member {member} of cluster {cluster}"))
    }

    /// Nothing is lost while somebody leads.
    pub(super) fn has_leader(leader: Id) -> Self {
        let message = format!("member {leader} leads: a quorum that is there is not recovered");
        let mut refusal = Self::new(StatusCode::PRECONDITION_FAILED, message);
        refusal.problem.leader = Some(leader);
        refusal
    }

    pub(super) fn broken(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(super) fn stopped() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the member is stopping")
    }

    pub(super) fn not_leader(leader: Option<MemberId>) -> Self {
        let mut refusal = Self::new(StatusCode::MISDIRECTED_REQUEST, "ask the leader");
        refusal.problem.leader = leader.map(|id| Id(id.0));
        refusal
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let page = serde_json::to_vec(&self.problem).expect("text and numbers always serialize");
        respond(self.code, page)
    }
}

impl From<TakeError> for Refusal {
    fn from(error: TakeError) -> Self {
        let code = match error {
            TakeError::Busy => StatusCode::TOO_MANY_REQUESTS,
            TakeError::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
            TakeError::Stopped | TakeError::Unsettled => StatusCode::SERVICE_UNAVAILABLE,
            TakeError::Storage(_) | TakeError::Thread(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReadFailure> for Refusal {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::NoLeader | ReadFailure::TimedOut | ReadFailure::TooManyRequests | ReadFailure::Stopped => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string())
            }
        }
    }
}

impl From<ProposeFailure> for Refusal {
    /// Asking for a snapshot twice is no harm, so an unknown outcome is one to try again.
    fn from(failure: ProposeFailure) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string())
    }
}

impl From<ChangeFailure> for Refusal {
    fn from(failure: ChangeFailure) -> Self {
        match failure {
            ChangeFailure::Refused(error) => error.into(),
            ChangeFailure::NoLeader | ChangeFailure::TimedOut | ChangeFailure::Stopped => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string())
            }
        }
    }
}

impl From<MembershipError> for Refusal {
    fn from(error: MembershipError) -> Self {
        let text = error.to_string();
        match error {
            MembershipError::NotLeader { leader } => Self::not_leader(leader),
            MembershipError::Outdated { actual, .. } => {
                let mut refusal = Self::new(StatusCode::CONFLICT, text);
                refusal.problem.config_index = Some(actual.0);
                refusal
            }
            MembershipError::InProgress { at } => {
                let mut refusal = Self::new(StatusCode::CONFLICT, text);
                refusal.problem.config_index = Some(at.0);
                refusal
            }
            MembershipError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, text),
            MembershipError::Exists(_)
            | MembershipError::Tombstoned(_)
            | MembershipError::NotLearner(_)
            | MembershipError::Lagging { .. }
            | MembershipError::NoVoters => Self::new(StatusCode::PRECONDITION_FAILED, text),
            MembershipError::Transferring | MembershipError::TooEarly | MembershipError::Lost => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

impl From<TransferFailure> for Refusal {
    fn from(failure: TransferFailure) -> Self {
        match failure {
            TransferFailure::Refused(TransferError::NotLeader { leader }) => Self::not_leader(leader),
            TransferFailure::Refused(TransferError::NotVoter(_) | TransferError::NoTarget) => {
                Self::new(StatusCode::PRECONDITION_FAILED, failure.to_string())
            }
            TransferFailure::Refused(TransferError::InProgress) => Self::new(StatusCode::CONFLICT, failure.to_string()),
            TransferFailure::Refused(TransferError::TimedOut)
            | TransferFailure::NoLeader
            | TransferFailure::TimedOut
            | TransferFailure::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()),
        }
    }
}
