//! Whether the Secrets that a cluster's object store takes are there. Their contents are not looked at, only their keys.

use crate::children::{NamedSecret, Names, object_store_secrets};
use crate::context::Context;
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use k8s_openapi::api::core::v1::Secret;

/// What a cluster's object store lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// A Secret is not there.
    Secret(NamedSecret),
    /// A Secret is there, without these keys, or with nothing under them.
    Keys(NamedSecret, Vec<String>),
}

impl Lacking {
    /// The word for conditions and events.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Secret(_) => "SecretMissing",
            Self::Keys(..) => "KeyMissing",
        }
    }

    /// What is missing, and what would do.
    #[must_use]
    pub fn words(&self) -> String {
        let (named, problem) = match self {
            Self::Secret(named) => (named, "is not there".to_owned()),
            Self::Keys(named, keys) => (named, format!("lacks {}", keys.join(" and "))),
        };
        let NamedSecret { field, name, required } = named;
        let required = required.join(" and ");
        format!("Secret {name} of {field} {problem}; it has to hold {required}, or the keys that {field} names")
    }
}

/// What the object store of a cluster lacks, if it has one: the first thing.
pub(super) async fn lacking(
    context: &Context,
    cluster: &RaftCluster,
    names: &Names,
) -> Result<Option<Lacking>, OperatorError> {
    let api = context.api::<Secret>(&names.namespace);
    for named in object_store_secrets(cluster) {
        let there = api.get_opt(&named.name).await?;
        if let Some(lacking) = judge(named, there.as_ref()) {
            return Ok(Some(lacking));
        }
    }
    Ok(None)
}

fn judge(named: NamedSecret, there: Option<&Secret>) -> Option<Lacking> {
    let Some(secret) = there else { return Some(Lacking::Secret(named)) };
    let has = |key: &String| {
        secret.data.as_ref().and_then(|data| data.get(key)).is_some_and(|value| !value.0.trim_ascii().is_empty())
    };
    let missing: Vec<String> = named.required.iter().filter(|key| !has(key)).cloned().collect();
    if missing.is_empty() { None } else { Some(Lacking::Keys(named, missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named() -> NamedSecret {
        NamedSecret {
            field: "objectStore.s3.credentialsSecretRef",
            name: "keys".into(),
            required: vec!["ACCESS_KEY_ID".into(), "ACCESS_SECRET_KEY".into()],
        }
    }

    fn secret(keys: &[(&str, &str)]) -> Secret {
        let data = keys.iter().map(|(key, base64)| ((*key).to_owned(), json!(base64))).collect();
        serde_json::from_value(json!({ "data": serde_json::Value::Object(data) })).expect("a Secret")
    }

    #[test]
    fn what_is_missing_is_named_with_what_would_do() {
        let missing = judge(named(), None).expect("it is not there");
        assert_eq!(missing.reason(), "SecretMissing");
        assert_eq!(
            missing.words(),
            "Secret keys of objectStore.s3.credentialsSecretRef is not there; it has to hold ACCESS_KEY_ID and \
             ACCESS_SECRET_KEY, or the keys that objectStore.s3.credentialsSecretRef names"
        );
        // "Cg==" is the end of a line and nothing else.
        let half = judge(named(), Some(&secret(&[("ACCESS_KEY_ID", "YQ=="), ("ACCESS_SECRET_KEY", "Cg==")])));
        let half = half.expect("half a key");
        assert_eq!(half.reason(), "KeyMissing");
        assert!(half.words().contains("lacks ACCESS_SECRET_KEY;"), "{}", half.words());
        let both = [("ACCESS_KEY_ID", "YQ=="), ("ACCESS_SECRET_KEY", "Yg=="), ("OTHER", "")];
        assert_eq!(judge(named(), Some(&secret(&both))), None);
    }
}
