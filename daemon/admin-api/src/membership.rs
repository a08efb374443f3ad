//! Who is a member, and the requests that change it or its leader.

use crate::Id;
use serde::{Deserialize, Serialize};

/// One member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    pub id: Id,
    /// Its name; empty until it has joined.
    pub name: String,
    /// It votes, in the configuration in force.
    pub voter: bool,
    /// Where its peers reach it.
    #[serde(default)]
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    #[serde(default)]
    pub client_urls: Vec<String>,
}

/// The reply to `GET /v1/members` and to a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// The cluster.
    pub cluster_id: Id,
    /// Where this configuration stands in the log.
    pub config_index: u64,
    /// It is committed.
    pub committed: bool,
    /// Two configurations are in force at once: a change is half done.
    #[serde(default)]
    pub joint: bool,
    /// The members, by id.
    pub members: Vec<Member>,
}

/// `POST /v1/members`: all these changes, in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeMembers {
    /// The configuration the caller has seen; the call is refused when another is in force.
    pub expected_config_index: u64,
    /// What to change.
    pub changes: Vec<Change>,
}

/// One change of membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Change {
    /// Add a member that follows and does not vote. The id is the caller's, so that a repeated call changes nothing.
    AddLearner {
        /// Its id.
        id: Id,
        /// Its name.
        name: String,
        /// Where its peers will reach it.
        peer_urls: Vec<String>,
    },
    /// Make a learner a voter, if it has caught up.
    Promote {
        /// Which.
        id: Id,
    },
    /// Take a member out for good: its id is never accepted again.
    Remove {
        /// Which.
        id: Id,
    },
}

/// `POST /v1/transfer-leader`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferLeader {
    /// To this voter, or to the one that is furthest ahead.
    #[serde(default)]
    pub to: Option<Id>,
}

/// The reply to a transfer that came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderTransferred {
    /// Who leads now.
    pub leader: Id,
    /// In which term.
    pub term: u64,
}

/// Why a call failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// For people.
    pub message: String,
    /// Whom to ask instead, when this member does not lead.
    #[serde(default)]
    pub leader: Option<Id>,
    /// The configuration in force, when another was expected.
    #[serde(default)]
    pub config_index: Option<u64>,
}
