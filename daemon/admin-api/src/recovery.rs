//! Recovery of a lost quorum: the request, and what it came to.

use crate::Id;
use serde::{Deserialize, Serialize};

/// `POST /v1/recover-quorum`: make this member the only voter of a new cluster, with what it holds and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoverQuorum {
    /// A word of the caller's. The same one again is the same request, which is carried out once.
    pub request: String,
    /// The cluster that has lost its quorum.
    pub expected_cluster_id: Id,
    /// The member that is meant.
    pub expected_member_id: Id,
    /// Must be true: what the others had and this one had not is lost.
    pub accept_data_loss: bool,
}

/// The reply: the request is written down, and the process ends so that its next start carries it out; or it was
/// carried out before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryTaken {
    /// As it was called.
    pub request: String,
    /// It was carried out before: nothing ends because of this call.
    pub done: bool,
}

/// What a member's cluster was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuorumRecovered {
    /// The request; absent if it was the flag `--force-new-cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The cluster that had lost its quorum.
    pub former_cluster_id: Id,
    /// Who this member was in it.
    pub former_member_id: Id,
    /// The last entry of its log, all of which was taken.
    pub index: u64,
}
