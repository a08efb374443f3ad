//! The object store of a cluster, as its members get it: a place on their command line, keys and certificates as files.
//!
//! * No part of a key is ever in an argument, an environment or a template: the template names the Secret.
//! * The files may be missing: a cluster forms and serves without them, and takes snapshots once they are there. What is
//!   missing the status says.

use super::pod::SECRET_MODE;
use crate::crd::{Bucket, ObjectStore, RaftCluster};
use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume, VolumeMount};

const KEY: &str = "/etc/quorate/object-store";
const KEY_VOLUME: &str = "object-store";
const CA: &str = "/etc/quorate/object-store-ca";
const CA_VOLUME: &str = "object-store-ca";
const CA_FILE: &str = "ca.crt";

/// A Secret that a cluster names: what it has to hold, what it may hold, and for which field of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret {
    /// The field that names it.
    pub field: &'static str,
    /// Its name.
    pub name: String,
    /// The keys that it has to hold.
    pub required: Vec<String>,
}

/// The Secrets that the object store of a cluster takes.
#[must_use]
pub fn object_store_secrets(cluster: &RaftCluster) -> Vec<NamedSecret> {
    let Some(ObjectStore { s3 }) = &cluster.spec.object_store else { return Vec::new() };
    let key = s3.credentials_secret_ref.as_ref().map(|named| NamedSecret {
        field: "objectStore.s3.credentialsSecretRef",
        name: named.name.clone(),
        required: vec![named.access_key_id_key.clone(), named.secret_access_key_key.clone()],
    });
    let ca = s3.endpoint_ca_secret_ref.as_ref().map(|named| NamedSecret {
        field: "objectStore.s3.endpointCASecretRef",
        name: named.name.clone(),
        required: vec![named.key.clone()],
    });
    key.into_iter().chain(ca).collect()
}

/// The setting of the members, if there is a store.
pub(super) fn argument(cluster: &RaftCluster) -> Option<String> {
    cluster.spec.object_store.as_ref().map(|store| format!("--backup-store={}", location(&store.s3)))
}

fn location(bucket: &Bucket) -> String {
    let text = |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key}={value}"));
    let pairs = [
        text("endpoint", &bucket.endpoint),
        text("region", &bucket.region),
        bucket.force_path_style.map(|path_style| format!("path-style={path_style}")),
        bucket.credentials_secret_ref.as_ref().map(|_| format!("credentials-dir={KEY}")),
        bucket.endpoint_ca_secret_ref.as_ref().map(|_| format!("ca-file={CA}/{CA_FILE}")),
        bucket.encryption.map(|encryption| format!("sse={}", encryption.name())),
        text("sse-key", &bucket.encryption_key),
    ];
    let pairs: Vec<String> = pairs.into_iter().flatten().collect();
    let place = format!("s3://{}/{}", bucket.bucket, bucket.prefix);
    if pairs.is_empty() { place } else { format!("{place}?{}", pairs.join("&")) }
}

pub(super) fn mounts(cluster: &RaftCluster) -> impl Iterator<Item = VolumeMount> {
    volumes(cluster).map(|volume| VolumeMount {
        mount_path: if volume.name == KEY_VOLUME { KEY } else { CA }.into(),
        name: volume.name,
        read_only: Some(true),
        ..VolumeMount::default()
    })
}

pub(super) fn volumes(cluster: &RaftCluster) -> impl Iterator<Item = Volume> {
    let s3 = cluster.spec.object_store.as_ref().map(|store| &store.s3);
    let key = s3.and_then(|s3| s3.credentials_secret_ref.as_ref()).map(|named| {
        let files = [
            (&named.access_key_id_key, "access-key-id"),
            (&named.secret_access_key_key, "secret-access-key"),
            (&named.session_token_key, "session-token"),
        ];
        volume(KEY_VOLUME, &named.name, &files)
    });
    let ca = s3.and_then(|s3| s3.endpoint_ca_secret_ref.as_ref());
    let ca = ca.map(|named| volume(CA_VOLUME, &named.name, &[(&named.key, CA_FILE)]));
    key.into_iter().chain(ca)
}

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
