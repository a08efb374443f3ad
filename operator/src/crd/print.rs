//! The definition as YAML that people feed to kubectl.

use super::RaftCluster;
use kube::CustomResourceExt;

/// The definition does not print.
#[derive(Debug, thiserror::Error)]
#[error("the definition does not print: {0}")]
pub struct CrdError(String);

/// The definitions that are installed: those that something acts on.
///
/// # Errors
/// They hold something that YAML cannot.
pub fn crd_yaml() -> Result<String, CrdError> {
    let crd = serde_json::to_value(RaftCluster::crd()).map_err(|error| CrdError(error.to_string()))?;
    serde_saphyr::to_string(&crd).map_err(|error| CrdError(error.to_string()))
}
