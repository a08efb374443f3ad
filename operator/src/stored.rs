//! A cluster as the API server holds it, which need not be in a shape that this operator knows: another version may
//! have written it, or the definition may have been loosened by hand.
//!
//! * The watch carries metadata only. One object that does not read would otherwise end the stream for all of them.
//! * Each pass reads the whole object by itself, so what does not read is one cluster's trouble and is told by its name
//!   and field.

use crate::context::Context;
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use kube::core::PartialObjectMeta;
use kube::discovery::ApiResource;
use serde_json::Value;

/// What the watch tells of a cluster: that it is there, and not what it says.
pub type Told = PartialObjectMeta<RaftCluster>;

/// A stored object that does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}; write it in the form of `kubectl explain raftcluster`, or run the operator that knows it")]
pub struct Unreadable {
    /// The field, by its path from the object's root.
    pub field: String,
    /// What it should have been.
    pub why: String,
}

/// The cluster as it is stored now; `None` if it is gone.
///
/// # Errors
/// The API server does not answer, or the object does not read.
pub async fn stored(context: &Context, namespace: &str, name: &str) -> Result<Option<RaftCluster>, OperatorError> {
    let resource = ApiResource::erase::<RaftCluster>(&());
    let Some(object) = context.dynamic(namespace, &resource).get_opt(name).await? else { return Ok(None) };
    Ok(Some(read(serde_json::to_value(object)?)?))
}

/// The object in our own types.
///
/// # Errors
/// A field is missing, or is of another form.
pub fn read(object: Value) -> Result<RaftCluster, Unreadable> {
    serde_path_to_error::deserialize(object)
        .map_err(|error| Unreadable { field: error.path().to_string(), why: error.into_inner().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn unreadable(spec: &Value, status: &Value) -> Unreadable {
        let object = json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": "m" },
            "spec": spec, "status": status,
        });
        read(object).expect_err("it does not read")
    }

    #[test]
    fn what_does_not_read_is_told_by_its_field() {
        let none = json!({});
        let replicas = unreadable(&json!({ "version": "0.1.0", "replicas": "three" }), &none);
        assert_eq!(replicas.field, "spec.replicas");
        assert!(replicas.why.contains("\"three\""), "{replicas}");
        let nested = unreadable(&json!({ "version": "0.1.0", "storage": { "onDelete": "Shred" } }), &none);
        assert_eq!(nested.field, "spec.storage.onDelete");
        assert!(nested.why.contains("`Delete` or `Retain`"), "{nested}");
        let missing = unreadable(&none, &none);
        assert_eq!((missing.field.as_str(), missing.why.as_str()), ("spec", "missing field `version`"));
        let status = unreadable(&json!({ "version": "0.1.0" }), &json!({ "phase": "Dreaming" }));
        assert_eq!(status.field, "status.phase");
    }

    #[test]
    fn what_a_later_version_adds_is_left_aside() {
        let object = json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": "m" },
            "spec": { "version": "0.1.0", "replicas": 5, "flavour": "new" },
        });
        assert_eq!(read(object).expect("it reads").spec.replicas, 5);
    }
}
