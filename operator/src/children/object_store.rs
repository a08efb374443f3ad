//! The object store of a cluster, as its members get it: a place on their command line, keys and certificates as files.
//!
//! * No part of a key is ever in an argument, an environment or a template: the template names the Secret.
//! * The files may be missing: a cluster forms and serves without them, and takes snapshots once they are there. What is
//!   missing the status says.
//! * Where encryption is asked for, whoever is told of the store is told in the same breath where the keys will be. Such
//!   a member waits with its snapshots and never stages without, so nothing has to be known of the Secret to make a
//!   template: it may come, change and go without one being made anew.

use super::pod::SECRET_MODE;
use crate::crd::{Bucket, ObjectStore, RaftCluster};
use k8s_openapi::api::core::v1::{KeyToPath, Pod, SecretVolumeSource, Volume, VolumeMount};

const CREDENTIALS: &str = "object-store";
const CA: &str = "object-store-ca";
const CA_FILE: &str = "ca.crt";
const KEYS: &str = "backup-encryption";
/// As the daemon looks for it in its folder.
const KEYS_FILE: &str = "keys";

const FLAG_STORE: &str = "--backup-store=";
const FLAG_KEYS: &str = "--backup-encryption-key-dir=";

/// Where a volume is in the container.
fn folder(volume: &str) -> String {
    format!("/etc/quorate/{volume}")
}

/// A Secret that a cluster names: what it has to hold, in which form, and for which field of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret {
    /// The field that names it.
    pub field: &'static str,
    /// Its name.
    pub name: String,
    /// The keys that it has to hold.
    pub required: Vec<String>,
    /// What it holds under them.
    pub form: Form,
}

/// What a Secret holds under its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whatever the store makes of it.
    Any,
    /// Keys that snapshots are encrypted with, as the daemon reads them.
    BackupKeys,
}

/// The Secrets that the object store of a cluster takes.
#[must_use]
pub fn object_store_secrets(cluster: &RaftCluster) -> Vec<NamedSecret> {
    let Some(ObjectStore { s3, encryption }) = &cluster.spec.object_store else { return Vec::new() };
    let key = s3.credentials_secret_ref.as_ref().map(|named| NamedSecret {
        field: "objectStore.s3.credentialsSecretRef",
        name: named.name.clone(),
        required: vec![named.access_key_id_key.clone(), named.secret_access_key_key.clone()],
        form: Form::Any,
    });
    let ca = s3.endpoint_ca_secret_ref.as_ref().map(|named| NamedSecret {
        field: "objectStore.s3.endpointCASecretRef",
        name: named.name.clone(),
        required: vec![named.key.clone()],
        form: Form::Any,
    });
    let encryption = encryption.as_ref().map(|encryption| NamedSecret {
        field: "objectStore.encryption.keySecretRef",
        name: encryption.key_secret_ref.name.clone(),
        required: vec![encryption.key_secret_ref.key.clone()],
        form: Form::BackupKeys,
    });
    key.into_iter().chain(ca).chain(encryption).collect()
}

/// The settings of the members, if there is a store.
pub(super) fn arguments(cluster: &RaftCluster) -> Vec<String> {
    let Some(ObjectStore { s3, encryption }) = &cluster.spec.object_store else { return Vec::new() };
    let store = format!("{FLAG_STORE}{}", location(s3));
    let keys = encryption.as_ref().map(|_| format!("{FLAG_KEYS}{}", folder(KEYS)));
    [store].into_iter().chain(keys).collect()
}

/// Whether a pod was told of a store and of no keys: it was made before encryption was asked for.
#[must_use]
pub fn stages_in_the_clear(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let arguments: Vec<&String> = containers.flat_map(|container| container.args.iter().flatten()).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument.starts_with(flag));
    has(FLAG_STORE) && !has("--backup-encryption-key-")
}

fn location(bucket: &Bucket) -> String {
    let text = |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key}={value}"));
    let pairs = [
        text("endpoint", &bucket.endpoint),
        text("region", &bucket.region),
        bucket.force_path_style.map(|path_style| format!("path-style={path_style}")),
        bucket.credentials_secret_ref.as_ref().map(|_| format!("credentials-dir={}", folder(CREDENTIALS))),
        bucket.endpoint_ca_secret_ref.as_ref().map(|_| format!("ca-file={}/{CA_FILE}", folder(CA))),
        bucket.encryption.map(|encryption| format!("sse={}", encryption.name())),
        text("sse-key", &bucket.encryption_key),
    ];
    let pairs: Vec<String> = pairs.into_iter().flatten().collect();
    let place = format!("s3://{}/{}", bucket.bucket, bucket.prefix);
    if pairs.is_empty() { place } else { format!("{place}?{}", pairs.join("&")) }
}

pub(super) fn mounts(cluster: &RaftCluster) -> impl Iterator<Item = VolumeMount> {
    volumes(cluster).map(|volume| VolumeMount {
        mount_path: folder(&volume.name),
        name: volume.name,
        read_only: Some(true),
        ..VolumeMount::default()
    })
}

pub(super) fn volumes(cluster: &RaftCluster) -> impl Iterator<Item = Volume> {
    let store = cluster.spec.object_store.as_ref();
    let s3 = store.map(|store| &store.s3);
    let key = s3.and_then(|s3| s3.credentials_secret_ref.as_ref()).map(|named| {
        let files = [
            (&named.access_key_id_key, "access-key-id"),
            (&named.secret_access_key_key, "secret-access-key"),
            (&named.session_token_key, "session-token"),
        ];
        volume(CREDENTIALS, &named.name, &files)
    });
    let ca = s3.and_then(|s3| s3.endpoint_ca_secret_ref.as_ref());
    let ca = ca.map(|named| volume(CA, &named.name, &[(&named.key, CA_FILE)]));
    let encryption = store.and_then(|store| store.encryption.as_ref()).map(|encryption| &encryption.key_secret_ref);
    let encryption = encryption.map(|named| volume(KEYS, &named.name, &[(&named.key, KEYS_FILE)]));
    key.into_iter().chain(ca).chain(encryption)
}

/// Optional, as the kubelet has it: a pod whose Secret is missing would not start, and a member that serves without
/// snapshots is better than none. The files come when the Secret does.
fn volume(name: &str, secret: &str, files: &[(&String, &str)]) -> Volume {
    let item = |(key, path): &(&String, &str)| KeyToPath { key: (*key).clone(), path: (*path).into(), mode: None };
    let source = SecretVolumeSource {
        secret_name: Some(secret.into()),
        items: Some(files.iter().map(item).collect()),
        default_mode: Some(SECRET_MODE),
        optional: Some(true),
    };
    Volume { name: name.into(), secret: Some(source), ..Volume::default() }
}
