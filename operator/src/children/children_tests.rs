//! What a cluster is made of, as whole documents: `golden/plain.yaml` and `golden/tls.yaml`. With `BLESS=1` they are
//! written anew, to be looked at.

use super::*;
use crate::crd::RaftCluster;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use plan::Memory;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;

fn cluster(spec: Value) -> RaftCluster {
    let mut spec = spec;
    spec["version"] = json!("0.4.2");
    let meta = json!({ "name": "m", "namespace": "ns", "uid": "6f1c" });
    let whole = json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": meta, "spec": spec });
    serde_json::from_value(whole).expect("a cluster")
}

fn forming() -> Memory {
    Memory { replicas: Some(3), places: 3, ..Memory::default() }
}

fn formed(places: u32) -> Memory {
    Memory { cluster: Some(0xc), replicas: Some(places), places, ..Memory::default() }
}

fn document<K: kube::Resource<DynamicType = ()> + Serialize>(object: &K) -> String {
    let mut value = serde_json::to_value(object).expect("it serializes");
    value["apiVersion"] = json!(K::api_version(&()));
    value["kind"] = json!(K::kind(&()));
    serde_saphyr::to_string(&value).expect("it prints")
}

fn documents(cluster: &RaftCluster, memory: &Memory) -> String {
    let template = Template::of(cluster, "quorate");
    let mut all = vec![
        document(&service_account(cluster)),
        document(&config_map(cluster, memory)),
        document(&peer_service(cluster)),
        document(&client_service(cluster)),
    ];
    all.extend(disruption_budget(cluster, 3).as_ref().map(document));
    all.extend(network_policy(cluster).as_ref().map(document));
    all.push(document(&stateful_set(cluster, &template)));
    all.join("---\n")
}

fn golden(name: &str, rendered: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/children/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, rendered).expect("a writable tree");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == rendered, "{} is not what is rendered; BLESS=1 writes it anew", path.display());
}

#[test]
fn a_plain_cluster_is_made_of_these() {
    golden("plain.yaml", &documents(&cluster(json!({})), &forming()));
}

#[test]
fn a_cluster_with_everything_is_made_of_these() {
    let spec = json!({
        "replicas": 5,
        "image": { "repository": "registry/quorate", "digest": format!("sha256:{}", "0".repeat(64)), "pullSecrets": ["pull"] },
        "config": { "heartbeatInterval": "50ms", "electionTimeout": "500ms", "quota": "8Gi", "extra": { "max-txn-ops": "256", "name": "x" } },
        "storage": { "size": "20Gi", "storageClassName": "fast" },
        "objectStore": { "s3": {
            "bucket": "backups", "prefix": "prod/m", "region": "eu-1", "endpoint": "https://minio.store:9000",
            "credentialsSecretRef": { "name": "keys", "secretAccessKeyKey": "SECRET" },
            "endpointCASecretRef": { "name": "minio-tls" }, "encryption": "AES256"
        }, "encryption": { "keySecretRef": { "name": "backup-key" } } },
        "resources": { "requests": { "cpu": "1" } },
        "scheduling": { "antiAffinity": "Required", "nodeSelector": { "disk": "ssd" }, "priorityClassName": "high" },
        "tls": { "client": { "secretName": "given" }, "peer": { "selfSigned": {} } },
        "networkPolicy": { "enabled": true },
        "podMetadata": { "labels": { "team": "store", "quorate.io/cluster": "other" }, "annotations": { "note": "yes" } }
    });
    golden("tls.yaml", &documents(&cluster(spec), &formed(3)));
}

fn pod(cluster: &RaftCluster) -> PodSpec {
    let set = stateful_set(cluster, &Template::of(cluster, "quorate"));
    set.spec.and_then(|spec| spec.template.spec).expect("a pod")
}

fn container(cluster: &RaftCluster) -> Container {
    pod(cluster).containers.remove(0)
}

#[test]
fn a_set_is_made_without_a_number_of_pods() {
    let set = stateful_set(&cluster(json!({})), &Template::of(&cluster(json!({})), "quorate"));
    assert_eq!(set.spec.and_then(|spec| spec.replicas), None);
}

#[test]
fn empty_disks_may_form_a_cluster_only_while_none_has_formed() {
    let data = |memory: &Memory, key: &str| {
        let map = config_map(&cluster(json!({ "replicas": 5 })), memory);
        map.data.and_then(|mut data| data.remove(key)).expect("a value")
    };
    assert_eq!(data(&forming(), "initial-cluster-state"), "new");
    assert_eq!(data(&forming(), "initial-cluster").split(',').count(), 3, "the first members and no others");
    assert_eq!(data(&formed(3), "initial-cluster-state"), "existing");
    assert_eq!(data(&formed(3), "initial-cluster").split(',').count(), 5, "who comes later is named before it starts");
}

#[test]
fn the_end_of_forming_and_scaling_change_no_template() {
    let three = pod(&cluster(json!({ "replicas": 3 })));
    assert_eq!(three, pod(&cluster(json!({ "replicas": 5 }))));
}

#[test]
fn pods_are_what_the_restricted_standard_asks_for() {
    let pod = pod(&cluster(json!({})));
    let security = pod.security_context.expect("one");
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.map(|profile| profile.type_).as_deref(), Some("RuntimeDefault"));
    assert_eq!(pod.automount_service_account_token, Some(false));
    let own = pod.containers[0].security_context.clone().expect("one");
    assert_eq!(own.allow_privilege_escalation, Some(false));
    assert_eq!(own.capabilities.and_then(|capabilities| capabilities.drop), Some(vec!["ALL".to_owned()]));
}

fn with_store(s3: &Value) -> RaftCluster {
    let mut bucket = json!({ "bucket": "backups" });
    bucket.as_object_mut().expect("an object").extend(s3.as_object().expect("an object").clone());
    cluster(json!({ "objectStore": { "s3": bucket } }))
}

fn store_argument(cluster: &RaftCluster) -> String {
    let arguments = container(cluster).args.unwrap_or_default();
    arguments.into_iter().find(|argument| argument.starts_with("--backup-store")).expect("a store")
}

#[test]
fn what_a_bucket_says_is_where_members_stage() {
    let own = with_store(&json!({ "useServiceAccountIdentity": true }));
    assert_eq!(store_argument(&own), "--backup-store=s3://backups/");
    assert_eq!(pod(&own).volumes, None, "an identity takes no Secret");
    let kms = json!({
        "useServiceAccountIdentity": true, "prefix": "a/b", "region": "eu-1", "forcePathStyle": false,
        "encryption": "aws:kms", "encryptionKey": "alias/k",
    });
    let all = "--backup-store=s3://backups/a/b?region=eu-1&path-style=false&sse=aws:kms&sse-key=alias/k";
    assert_eq!(store_argument(&with_store(&kms)), all);
}

#[test]
fn a_key_of_an_object_store_reaches_members_as_files_that_may_be_missing_and_in_no_other_way() {
    let cluster = with_store(&json!({ "credentialsSecretRef": { "name": "keys", "accessKeyIdKey": "ID" } }));
    assert_eq!(store_argument(&cluster), "--backup-store=s3://backups/?credentials-dir=/etc/quorate/object-store");
    let pod = pod(&cluster);
    let volume = pod.volumes.expect("one").remove(0);
    let source = volume.secret.expect("a Secret");
    assert_eq!((source.secret_name.as_deref(), source.optional), (Some("keys"), Some(true)));
    assert_eq!(source.default_mode, Some(0o440), "owner and group read, nobody else");
    let items: Vec<_> = source.items.expect("items").into_iter().map(|item| (item.key, item.path)).collect();
    let wanted = [
        ("ID", "access-key-id"),
        ("ACCESS_SECRET_KEY", "secret-access-key"),
        ("ACCESS_SESSION_TOKEN", "session-token"),
    ];
    assert_eq!(items, wanted.map(|(key, path)| (key.to_owned(), path.to_owned())));
    let container = pod.containers[0].clone();
    let mount = container.volume_mounts.expect("mounts").into_iter().find(|mount| mount.name == volume.name);
    assert_eq!(mount.and_then(|mount| mount.read_only), Some(true));
    let from_secrets = container.env.into_iter().flatten().filter_map(|variable| variable.value_from?.secret_key_ref);
    assert_eq!(from_secrets.count(), 0);
    assert!(container.env_from.is_none());
    let [named] = &object_store_secrets(&cluster)[..] else { panic!("one Secret") };
    assert_eq!(
        (named.name.as_str(), &named.required[..]),
        ("keys", &["ID".to_owned(), "ACCESS_SECRET_KEY".into()][..])
    );
}

fn backup_arguments(cluster: &RaftCluster) -> Vec<String> {
    let arguments = container(cluster).args.unwrap_or_default();
    arguments.into_iter().filter(|argument| argument.starts_with("--backup-")).collect()
}

/// The files of Secrets that a pod starts without: the Secret, the key in it, the file.
fn optional_files(cluster: &RaftCluster) -> Vec<[String; 3]> {
    let secrets = pod(cluster).volumes.into_iter().flatten().filter_map(|volume| volume.secret);
    let files = secrets.filter(|source| source.optional == Some(true)).flat_map(|source| {
        let name = source.secret_name.unwrap_or_default();
        source.items.into_iter().flatten().map(move |item| [name.clone(), item.key, item.path])
    });
    files.collect()
}

#[test]
fn whoever_is_told_of_a_store_is_told_to_encrypt_and_starts_without_the_keys() {
    let mut asked = with_store(&json!({ "useServiceAccountIdentity": true }));
    assert_eq!(backup_arguments(&asked), ["--backup-store=s3://backups/"]);
    assert!(optional_files(&asked).is_empty());
    let reference = |fields: Value| serde_json::from_value(json!({ "keySecretRef": fields })).expect("a reference");
    for (fields, key) in [(json!({ "name": "k" }), "backup.key"), (json!({ "name": "k", "key": "other" }), "other")] {
        asked.spec.object_store.as_mut().expect("a store").encryption = Some(reference(fields));
        let both = ["--backup-store=s3://backups/", "--backup-encryption-key-dir=/etc/quorate/backup-encryption"];
        assert_eq!(backup_arguments(&asked), both);
        assert_eq!(optional_files(&asked), [["k", key, "keys"]]);
        let mounts = container(&asked).volume_mounts.unwrap_or_default();
        let mount = mounts.iter().find(|mount| mount.mount_path == "/etc/quorate/backup-encryption").expect("a mount");
        assert_eq!((mount.name.as_str(), mount.read_only), ("backup-encryption", Some(true)));
    }
}

#[test]
fn a_label_that_selects_cannot_be_lost() {
    let cluster = cluster(json!({ "podMetadata": { "labels": { "quorate.io/cluster": "other" } } }));
    let set = stateful_set(&cluster, &Template::of(&cluster, "quorate"));
    let labels = set.spec.and_then(|spec| spec.template.metadata?.labels).expect("labels");
    assert!(selector("m").iter().all(|(key, value)| labels.get(key) == Some(value)), "{labels:?}");
}

#[test]
fn a_digest_goes_before_a_version() {
    let digest = format!("sha256:{}", "a".repeat(64));
    assert_eq!(container(&cluster(json!({}))).image.as_deref(), Some("quorate:0.4.2"));
    let given = cluster(json!({ "image": { "repository": "r/q", "digest": digest } }));
    assert_eq!(container(&given).image, Some(format!("r/q@{digest}")));
}

#[test]
fn the_budget_keeps_a_quorum_of_the_greater_number() {
    let least = |replicas: u32, voters: u32| {
        let budget = disruption_budget(&cluster(json!({ "replicas": replicas })), voters).expect("asked for");
        serde_json::to_value(budget).expect("it serializes")["spec"]["minAvailable"].clone()
    };
    assert_eq!(least(3, 0), json!(2));
    assert_eq!(least(3, 5), json!(3));
    assert_eq!(least(5, 3), json!(3));
    assert!(disruption_budget(&cluster(json!({ "podDisruptionBudget": { "enabled": false } })), 3).is_none());
}
