//! Whether members get what a cluster's object store takes. Of credentials and certificates it is looked whether they are
//! there: the store knows better what they are worth. Keys that encrypt are read for their form, which is ours.

use crate::children::{Form, NamedSecret, Names, object_store_secrets, stages_in_the_clear};
use crate::context::Context;
use crate::crd::RaftCluster;
use crate::error::OperatorError;
use k8s_openapi::api::core::v1::{Pod, Secret};
use plan::Ordinal;
use std::collections::BTreeMap;

/// What a cluster's object store lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// A Secret is not there.
    Secret(NamedSecret),
    /// A Secret is there, without these keys, or with nothing under them.
    Keys(NamedSecret, Vec<String>),
    /// What a Secret has under this key is nothing to encrypt with, and why not.
    Form(NamedSecret, String, String),
    /// Members do not know yet that they are to encrypt.
    Restart,
}

impl Lacking {
    /// The word for conditions and events.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Secret(_) => "SecretMissing",
            Self::Keys(..) => "KeyMissing",
            Self::Form(..) => "KeyInvalid",
            Self::Restart => "RestartPending",
        }
    }

    /// What is missing, and what would do.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Secret(named) => without(named, "is not there"),
            Self::Keys(named, keys) => without(named, &format!("lacks {}", keys.join(" and "))),
            Self::Form(NamedSecret { field, name, .. }, key, why) => {
                format!("Secret {name} of {field}: {key} {why}; members that have never had others stage nothing")
            }
            Self::Restart => "members that were started before objectStore.encryption was asked for stage without it \
                              until they are restarted"
                .into(),
        }
    }
}

fn without(named: &NamedSecret, problem: &str) -> String {
    let NamedSecret { field, name, required, .. } = named;
    let required = required.join(" and ");
    format!("Secret {name} of {field} {problem}; it has to hold {required}, or the keys that {field} names")
}

/// What the object store of a cluster lacks, if it has one: the first thing, and before all others that what should be
/// encrypted is not.
pub(super) async fn lacking(
    context: &Context,
    cluster: &RaftCluster,
    names: &Names,
    pods: &BTreeMap<Ordinal, Pod>,
) -> Result<Option<Lacking>, OperatorError> {
    if takes_restart(cluster, pods) {
        return Ok(Some(Lacking::Restart));
    }
    let api = context.api::<Secret>(&names.namespace);
    for named in object_store_secrets(cluster) {
        let there = api.get_opt(&named.name).await?;
        if let Some(lacking) = judge(named, there.as_ref()) {
            return Ok(Some(lacking));
        }
    }
    Ok(None)
}

fn takes_restart(cluster: &RaftCluster, pods: &BTreeMap<Ordinal, Pod>) -> bool {
    let encrypts = cluster.spec.object_store.as_ref().is_some_and(|store| store.encryption.is_some());
    encrypts && pods.values().any(stages_in_the_clear)
}

fn judge(named: NamedSecret, there: Option<&Secret>) -> Option<Lacking> {
    let Some(secret) = there else { return Some(Lacking::Secret(named)) };
    let under = |key: &String| secret.data.as_ref()?.get(key).map(|value| value.0.as_slice());
    let has = |key: &String| under(key).is_some_and(|value| !value.trim_ascii().is_empty());
    let missing: Vec<String> = named.required.iter().filter(|key| !has(key)).cloned().collect();
    if !missing.is_empty() {
        return Some(Lacking::Keys(named, missing));
    }
    let refused = |key: &String| Some((key.clone(), refusal(named.form, under(key)?)?));
    let (key, why) = named.required.iter().find_map(refused)?;
    Some(Lacking::Form(named, key, why))
}

/// Why a value is not of its form. Nothing of it is repeated.
fn refusal(form: Form, value: &[u8]) -> Option<String> {
    match (form, str::from_utf8(value)) {
        (Form::Any, _) => None,
        (Form::BackupKeys, Err(_)) => Some("is no text".into()),
        (Form::BackupKeys, Ok(text)) => backup_keys::secrets(text).err().map(|problem| problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{Template, stateful_set};
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    fn named() -> NamedSecret {
        NamedSecret {
            field: "objectStore.s3.credentialsSecretRef",
            name: "keys".into(),
            required: vec!["ACCESS_KEY_ID".into(), "ACCESS_SECRET_KEY".into()],
            form: Form::Any,
        }
    }

    fn cluster(encryption: bool) -> RaftCluster {
        let mut store = json!({ "s3": { "bucket": "backups", "useServiceAccountIdentity": true } });
        if encryption {
            store["encryption"] = json!({ "keySecretRef": { "name": "backup-key" } });
        }
        let object = json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": "m" },
            "spec": { "version": "0.1.0", "objectStore": store },
        });
        crate::stored::read(object).expect("it reads")
    }

    /// As a controller makes it from a cluster's template.
    fn pod(cluster: &RaftCluster) -> Pod {
        let set = stateful_set(cluster, &Template::of(cluster, "quorate"));
        Pod { spec: set.spec.and_then(|spec| spec.template.spec), ..Pod::default() }
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

    #[test]
    fn keys_that_nothing_can_be_encrypted_with_are_told_by_their_line_and_not_repeated() {
        let [named] = &object_store_secrets(&cluster(true))[..] else { panic!("one Secret") };
        let holding = |text: &[u8]| Secret {
            data: Some([("backup.key".to_owned(), ByteString(text.to_vec()))].into()),
            ..Secret::default()
        };
        let judged = |text: &[u8]| judge(named.clone(), Some(&holding(text)));
        for (text, says) in [
            (&b"passphrase\n"[..], "backup.key line 1 is no key"),
            (b"# for November\n", "backup.key holds no key"),
            (b"\xff\xfe", "backup.key is no text"),
        ] {
            let bad = judged(text).expect("no keys");
            let words = bad.words();
            assert_eq!(bad.reason(), "KeyInvalid");
            assert!(words.starts_with("Secret backup-key of objectStore.encryption.keySecretRef: "), "{words}");
            assert!(words.contains(says) && !words.contains("phrase"), "{words}");
        }
        assert_eq!(judged(b" \n").map(|lacking| lacking.reason()), Some("KeyMissing"));
        assert_eq!(judged(&[&b"5a".repeat(32)[..], b"\n", &b"a5".repeat(32)].concat()), None, "two keys");
    }

    #[test]
    fn members_that_stage_in_the_clear_are_seen_as_long_as_one_is_left() {
        let (before, after) = (pod(&cluster(false)), pod(&cluster(true)));
        let all = |pods: [&Pod; 2]| (0..).zip(pods.map(Clone::clone)).collect::<BTreeMap<_, _>>();
        assert!(takes_restart(&cluster(true), &all([&before, &after])));
        assert!(!takes_restart(&cluster(true), &all([&after, &after])));
        assert!(!takes_restart(&cluster(false), &all([&before, &before])), "nobody asked");
        let without_store = Pod { spec: Some(PodSpec::default()), ..Pod::default() };
        assert!(!takes_restart(&cluster(true), &all([&without_store, &after])), "it stages nowhere");
        assert_eq!(Lacking::Restart.reason(), "RestartPending");
        assert!(Lacking::Restart.words().contains("stage without it until they are restarted"));
    }
}
