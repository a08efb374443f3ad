//! What can go wrong in one look or one step.

use crate::crd::TextError;
use crate::member::CallError;
use crate::stored::Unreadable;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The API server refused or did not answer.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// A member refused or did not answer.
    #[error("a member: {0}")]
    Member(#[from] CallError),
    /// The cluster is stored in a shape that this operator does not know.
    #[error("the stored object does not read: {0}")]
    Unreadable(#[from] Unreadable),
    /// The spec holds a text that does not read.
    #[error("the spec: {0}")]
    Spec(#[from] TextError),
    /// A Secret is not what it should be.
    #[error("Secret {name}: {why}")]
    Secret {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// No certificate can be made.
    #[error(transparent)]
    Certificate(#[from] crate::certificate::CertificateError),
    /// What was expected before a step is not so any more.
    #[error("not done: {0}")]
    Precondition(String),
    /// An object does not serialize.
    #[error("an object does not serialize: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The operating system gives no randomness.
    #[error("no randomness: {0}")]
    Randomness(String),
    /// Another operator may be at work.
    #[error("the lease is not held")]
    NotLeading,
}

impl OperatorError {
    /// The word for metrics, events and status.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Kube(_) => "ApiServer",
            Self::Member(_) => "Member",
            Self::Unreadable(_) => "Unreadable",
            Self::Spec(_) => "InvalidSpec",
            Self::Secret { .. } => "InvalidSecret",
            Self::Certificate(_) => "Certificate",
            Self::Precondition(_) => "Precondition",
            Self::Serialize(_) => "Serialize",
            Self::Randomness(_) => "Randomness",
            Self::NotLeading => "NotLeading",
        }
    }

    /// Somebody was there before: look again, nothing is wrong.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Kube(kube::Error::Api(status)) => status.code == 409,
            Self::Member(error) => error.is_outdated(),
            Self::Precondition(_) => true,
            _ => false,
        }
    }
}
