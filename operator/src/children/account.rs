//! The members' account: it may do nothing, and no token of it is mounted.

use super::labels::{Names, owned};
use crate::crd::RaftCluster;
use k8s_openapi::api::core::v1::ServiceAccount;

/// The members' account.
#[must_use]
pub fn service_account(cluster: &RaftCluster) -> ServiceAccount {
    ServiceAccount {
        metadata: owned(cluster, Names::of(cluster).cluster),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
