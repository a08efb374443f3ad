//! The definitions: their rules, their size, and what the committed file says.

use super::*;
use kube::CustomResourceExt;
use kube_cel::Validator;
use serde_json::{Value, json};
use std::path::Path;

/// Clients that apply keep the whole object in an annotation, which holds 256 KiB; ours leaves room.
const CRD_BYTES_MAX: usize = 100_000;

pub(super) fn schema<K: CustomResourceExt>() -> Value {
    let crd = serde_json::to_value(K::crd()).expect("it serializes");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn cluster(spec: &Value) -> Value {
    named("m", spec)
}

fn named(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": name }, "spec": spec })
}

/// What the API server's rules say of an object, or of a change from an older one.
pub(super) fn said<K: CustomResourceExt>(object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema::<K>(), object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(|error| error.message.clone()).collect(),
    }
}

fn accepted(spec: &Value) {
    assert_eq!(said::<RaftCluster>(&cluster(spec), None), Vec::<String>::new(), "{spec}");
}

fn refused(spec: &Value, with: &str) {
    let said = said::<RaftCluster>(&cluster(spec), None);
    assert!(said.iter().any(|message| message.contains(with)), "{spec} was not refused with {with:?}: {said:?}");
}

fn may_become(old: &Value, new: &Value) {
    assert_eq!(said::<RaftCluster>(&cluster(new), Some(&cluster(old))), Vec::<String>::new(), "{old} to {new}");
}

fn may_not_become(old: &Value, new: &Value, with: &str) {
    let said = said::<RaftCluster>(&cluster(new), Some(&cluster(old)));
    assert!(said.iter().any(|message| message.contains(with)), "{old} to {new} was not refused: {said:?}");
}

#[test]
fn the_least_that_can_be_asked_for_is_a_version() {
    accepted(&json!({ "version": "0.1.0" }));
    let parsed: RaftCluster = serde_json::from_value(cluster(&json!({ "version": "0.1.0" }))).expect("it reads");
    assert_eq!(parsed.spec.replicas, 3);
    assert_eq!(parsed.spec.storage, Storage::default());
    assert_eq!(parsed.spec.catch_up, CatchUp::default());
}

#[test]
fn an_even_number_of_voters_has_to_be_meant() {
    for replicas in [1, 3, 5, 7, 9] {
        accepted(&json!({ "version": "0.1.0", "replicas": replicas }));
    }
    refused(&json!({ "version": "0.1.0", "replicas": 4 }), "even number of voters");
    accepted(&json!({ "version": "0.1.0", "replicas": 4, "allowEvenReplicas": true }));
}

#[test]
fn a_name_that_makes_no_host_name_is_refused() {
    let spec = json!({ "version": "0.1.0" });
    assert_eq!(said::<RaftCluster>(&named(&"m".repeat(40), &spec), None), Vec::<String>::new());
    assert!(said::<RaftCluster>(&named(&"m".repeat(41), &spec), None)[0].contains("at most 40 characters"));
    assert!(said::<RaftCluster>(&named("a.b", &spec), None)[0].contains("no dots"));
}

#[test]
fn a_version_goes_up_by_one_minor_number_at_most() {
    let version = |text: &str| json!({ "version": text });
    may_become(&version("0.4.2"), &version("0.4.9"));
    may_become(&version("0.4.2"), &version("0.5.0"));
    may_become(&version("0.5.0"), &version("0.4.2"));
    may_not_become(&version("0.4.2"), &version("0.6.0"), "at most one minor number");
    may_not_become(&version("0.4.2"), &version("1.4.2"), "never to another major one");
}

#[test]
fn volumes_grow_and_do_not_shrink() {
    let size = |text: &str| json!({ "version": "0.1.0", "storage": { "size": text } });
    may_become(&size("10Gi"), &size("20Gi"));
    may_become(&size("1024Mi"), &size("1Gi"));
    may_not_become(&size("10Gi"), &size("9999Mi"), "cannot shrink");
}

#[test]
fn the_storage_class_stays() {
    let class =
        |name: Option<&str>| json!({ "version": "0.1.0", "storage": { "size": "1Gi", "storageClassName": name } });
    let none = json!({ "version": "0.1.0", "storage": { "size": "1Gi" } });
    may_become(&class(Some("fast")), &class(Some("fast")));
    may_not_become(&class(Some("fast")), &class(Some("slow")), "storage class cannot be changed");
    may_not_become(&class(Some("fast")), &none, "storage class cannot be changed");
    may_not_become(&none, &class(Some("fast")), "storage class cannot be changed");
}

#[test]
fn an_election_takes_at_least_five_heartbeats() {
    let times = |heartbeat: &str, election: &str| json!({ "version": "0.1.0", "config": { "heartbeatInterval": heartbeat, "electionTimeout": election } });
    accepted(&times("100ms", "500ms"));
    accepted(&times("200ms", "1s"));
    refused(&times("300ms", "1s"), "at least five times");
    refused(&json!({ "version": "0.1.0", "config": { "heartbeatInterval": "1s" } }), "at least five times");
}

#[test]
fn certificates_come_from_one_place_and_stay() {
    let tls = |client: &Value| json!({ "version": "0.1.0", "tls": { "client": client } });
    accepted(&tls(&json!({ "selfSigned": {} })));
    accepted(&tls(&json!({ "secretName": "m-tls" })));
    refused(&tls(&json!({ "selfSigned": {}, "secretName": "m-tls" })), "exactly one");
    refused(&tls(&json!({})), "exactly one");
    accepted(&tls(&json!({ "selfSigned": { "generation": 2, "overlap": "720h" } })));
    refused(&tls(&json!({ "selfSigned": { "overlap": "720h1m" } })), "720h at most");
    let plain = json!({ "version": "0.1.0" });
    may_not_become(&plain, &tls(&json!({ "selfSigned": {} })), "only when the cluster is made");
    may_not_become(&tls(&json!({ "selfSigned": {} })), &plain, "only when the cluster is made");
    may_become(&tls(&json!({ "selfSigned": {} })), &tls(&json!({ "secretName": "m-tls" })));
}

#[test]
fn an_object_store_is_named_in_one_place_with_one_way_in_and_in_a_form_that_a_url_takes() {
    let store = |more: Value| {
        let mut bucket = json!({ "bucket": "backups", "useServiceAccountIdentity": true });
        bucket.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "version": "0.1.0", "objectStore": { "s3": bucket } })
    };
    let keys = json!({ "useServiceAccountIdentity": false, "credentialsSecretRef": { "name": "keys" } });
    accepted(&store(keys));
    accepted(&store(json!({})));
    refused(&store(json!({ "useServiceAccountIdentity": false })), "exactly one");
    refused(&store(json!({ "credentialsSecretRef": { "name": "keys" } })), "exactly one");
    let ca = json!({ "name": "ca" });
    accepted(&store(json!({ "endpoint": "https://minio:9000", "endpointCASecretRef": ca })));
    refused(&store(json!({ "endpoint": "http://minio:9000", "endpointCASecretRef": ca })), "begins with https://");
    refused(&store(json!({ "endpointCASecretRef": ca })), "begins with https://");
    accepted(&store(json!({ "encryption": "aws:kms", "encryptionKey": "alias/backups" })));
    refused(&store(json!({ "encryption": "AES256", "encryptionKey": "k" })), "aws:kms");
    let mut twice = store(json!({}));
    twice["config"] = json!({ "extra": { "backup-interval": "10m" } });
    accepted(&twice);
    twice["config"] = json!({ "extra": { "backup-store": "s3://other" } });
    refused(&twice, "only one of objectStore and backup-store");
    let mut keys = store(json!({}));
    keys["objectStore"]["encryption"] = json!({ "keySecretRef": { "name": "k" } });
    accepted(&keys);
    for flag in ["backup-encryption-key-file", "backup-encryption-key-dir"] {
        keys["config"] = json!({ "extra": { flag: "/keys" } });
        refused(&keys, "only one of objectStore.encryption and");
    }
    keys["objectStore"].as_object_mut().expect("an object").remove("encryption");
    accepted(&keys);

    // The API server's schema keeps what would have to be escaped out of the URL, and what would be expanded.
    let bucket = &schema::<RaftCluster>()["properties"]["spec"]["properties"]["objectStore"]["properties"]["s3"];
    for field in ["bucket", "prefix", "region", "endpoint", "encryptionKey"] {
        let pattern = bucket["properties"][field]["pattern"].as_str().unwrap_or_else(|| panic!("{field}: no pattern"));
        for bad in ["$(POD_NAME)", "a&b=c", "a%2Fb", "a b", "https://user:key@host", "a?b", "a#b"] {
            assert!(!matches(pattern, bad), "{field} takes {bad:?}");
        }
    }
    for (field, good) in [("endpoint", "https://[::1]:9000"), ("prefix", "a/b.c"), ("encryptionKey", "alias/k:1")] {
        let pattern = bucket["properties"][field]["pattern"].as_str().expect("a pattern");
        assert!(matches(pattern, good), "{field} does not take {good:?}");
    }
}

/// Whether a text is of a field's form, by the rules' own expressions.
fn matches(pattern: &str, text: &str) -> bool {
    let rule = json!([{ "rule": format!("self.matches(r'{pattern}')"), "message": "another form" }]);
    let text_schema = json!({ "type": "string", "x-kubernetes-validations": rule });
    let schema = json!({ "type": "object", "properties": { "text": text_schema } });
    Validator::new().validate(&schema, &json!({ "text": text }), None).is_ok()
}

#[test]
fn a_backup_is_taken_once_and_knows_its_credentials() {
    let backup = |spec: &Value| json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftBackup", "metadata": { "name": "b" }, "spec": spec });
    let s3 = |more: &Value| {
        let mut bucket = json!({ "bucket": "backups" });
        bucket.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        backup(&json!({ "cluster": { "name": "m" }, "objectStore": { "s3": bucket } }))
    };
    let secret = s3(&json!({ "credentialsSecretRef": { "name": "s" } }));
    assert_eq!(said::<RaftBackup>(&secret, None), Vec::<String>::new());
    assert_eq!(said::<RaftBackup>(&s3(&json!({ "useServiceAccountIdentity": true })), None), Vec::<String>::new());
    assert!(said::<RaftBackup>(&s3(&json!({})), None)[0].contains("exactly one"));
    let other = backup(&json!({ "cluster": { "name": "n" } }));
    assert!(said::<RaftBackup>(&other, Some(&secret)).iter().any(|message| message.contains("taken once")));
}

#[test]
fn every_field_is_documented() {
    fn look(schema: &Value, path: &str, without: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, field) in properties {
            let path = format!("{path}.{name}");
            if field.get("description").is_none() && path != ".metadata" {
                without.push(path.clone());
            }
            look(field, &path, without);
            if let Some(items) = field.get("items") {
                look(items, &path, without);
            }
        }
    }
    let mut without = Vec::new();
    for schema in [schema::<RaftCluster>(), schema::<RaftBackup>(), schema::<RaftScheduledBackup>()] {
        look(&schema["properties"]["spec"], ".spec", &mut without);
        look(&schema["properties"]["status"], ".status", &mut without);
    }
    assert_eq!(without, Vec::<String>::new());
}

#[test]
fn no_status_field_is_required() {
    let schema = schema::<RaftCluster>();
    assert_eq!(schema["properties"]["status"].get("required"), None);
}

#[test]
fn the_definition_scales_and_prints_what_people_look_for() {
    let crd = serde_json::to_value(RaftCluster::crd()).expect("it serializes");
    assert_eq!(crd["spec"]["names"]["shortNames"], json!(["rc"]));
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["subresources"]["scale"]["labelSelectorPath"], ".status.selector");
    let columns: Vec<&str> = version["additionalPrinterColumns"]
        .as_array()
        .expect("columns")
        .iter()
        .filter_map(|column| column["name"].as_str())
        .collect();
    assert_eq!(columns[..7], ["Replicas", "Ready", "Leader", "Version", "Replication", "Phase", "Age"]);
}

#[test]
fn the_committed_definition_is_the_one_of_these_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/quorate-operator/files/crds.yaml");
    let printed = crd_yaml().expect("it prints");
    assert!(printed.len() < CRD_BYTES_MAX, "{} bytes", printed.len());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &printed).expect("a writable tree");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == printed,
        "charts/quorate-operator/files/crds.yaml is not what `quorate-operator crd` prints: write it there"
    );
}

#[test]
fn settings_that_the_operator_makes_itself_are_left_out() {
    let config = Config {
        extra: [("max-txn-ops", "256"), ("listen-client-urls", "http://0.0.0.0:1"), ("name", "x"), ("bad key", "x")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..Config::default()
    };
    assert_eq!(config.passed_on().collect::<Vec<_>>(), [("max-txn-ops", "256")]);
    assert_eq!(config.left_out().collect::<Vec<_>>(), ["bad key", "listen-client-urls", "name"]);
}

#[test]
fn whoever_asks_to_recover_a_lost_quorum_accepts_what_that_costs_and_gives_it_a_word() {
    let asking = |recovery: &Value| json!({ "version": "0.1.0", "quorumRecovery": recovery });
    accepted(&asking(&json!({ "request": "2026-11-29.a", "acceptDataLoss": true })));
    accepted(&asking(&json!({ "request": "monday", "acceptDataLoss": true, "survivor": "m-2" })));
    refused(&asking(&json!({ "request": "monday", "acceptDataLoss": false })), "acceptDataLoss must be true");
    let schema = schema::<RaftCluster>();
    let recovery = &schema["properties"]["spec"]["properties"]["quorumRecovery"];
    let required: Vec<&str> = recovery["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(required, ["acceptDataLoss", "request"], "{recovery}");
    assert_eq!(recovery["properties"]["request"]["maxLength"], 63, "{recovery}");
}
