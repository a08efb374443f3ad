//! Where snapshots go, and who may put them there.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStore {
    /// A store that speaks S3.
    pub s3: Bucket,
    /// Encrypts snapshots before they leave a member, with a key that the store never sees. Absent is as they are.
    /// While the key is missing nothing is staged; nothing is ever staged without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<SnapshotEncryption>,
}

/// How members encrypt snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotEncryption {
    /// The Secret with the keys. Members read a replaced one within minutes, without a restart. It is in no backup:
    /// keep it elsewhere, too.
    pub key_secret_ref: KeysReference,
}

/// A Secret of this namespace with the keys that snapshots are encrypted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Where in the Secret they are, one on a line: 32 bytes in hexadecimal or base64. The first one encrypts, each of
    /// them decrypts.
    #[serde(default = "backup_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub key: String,
}

/// A place in a store that speaks S3. Each text goes into a URL as it is, so its form leaves nothing to escape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.credentialsSecretRef) != self.useServiceAccountIdentity")
    .message("set exactly one of credentialsSecretRef and useServiceAccountIdentity"))]
#[x_kube(validation = Rule::new("!has(self.endpointCASecretRef) || (has(self.endpoint) && self.endpoint.startsWith('https://'))")
    .message("endpointCASecretRef goes with an endpoint that begins with https://"))]
#[x_kube(validation = Rule::new("!has(self.encryptionKey) || (has(self.encryption) && self.encryption == 'aws:kms')")
    .message("encryptionKey goes with encryption aws:kms"))]
pub struct Bucket {
    /// The bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9.-]+$"))]
    pub bucket: String,
    /// The folder that everything of this cluster is in. Clusters may share a bucket, each with a folder of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 256),
        regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)?$")
    )]
    pub prefix: String,
    /// The region. Absent is that of the members' environment, else us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9-]+$"))]
    pub region: Option<String>,
    /// Where a store that is not Amazon's answers, as http://host:port or https://host:port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://[A-Za-z0-9._:/\[\]-]+$"))]
    pub endpoint: Option<String>,
    /// The bucket is part of the path and not of the host's name. Absent is true with an endpoint, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
    /// The Secret with the key that members sign with. They read a replaced one within minutes, without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<CredentialsReference>,
    /// The members' service account, which has the cluster's name, or their nodes are known to the store.
    #[serde(default)]
    pub use_service_account_identity: bool,
    /// The Secret with the certificates that the endpoint's is signed by, besides those of the image.
    #[serde(default, rename = "endpointCASecretRef", skip_serializing_if = "Option::is_none")]
    pub endpoint_ca_secret_ref: Option<CertificatesReference>,
    /// What encryption the store is asked for, which then has the keys. Absent is as the bucket says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The key that the store's key service encrypts with. Absent is the store's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9:/_.-]+$"))]
    pub encryption_key: Option<String>,
}

/// A Secret of this namespace, and under which of its keys the parts of an access key are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key with the access key's id.
    #[serde(default = "access_key_id")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub access_key_id_key: String,
    /// The key with its secret part.
    #[serde(default = "access_secret_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub secret_access_key_key: String,
    /// The key with the token of a session. The Secret need not have it.
    #[serde(default = "session_token")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub session_token_key: String,
}

/// A Secret of this namespace with certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificatesReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key with the certificates, as PEM.
    #[serde(default = "ca_crt")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub key: String,
}

/// What encryption the store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Encryption {
    /// With keys of the store.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of its key service.
    #[serde(rename = "aws:kms")]
    Kms,
}

impl Encryption {
    /// The word of the daemon's setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "aws:kms",
        }
    }
}

fn access_key_id() -> String {
    "ACCESS_KEY_ID".into()
}

fn access_secret_key() -> String {
    "ACCESS_SECRET_KEY".into()
}

fn session_token() -> String {
    "ACCESS_SESSION_TOKEN".into()
}

fn backup_key() -> String {
    "backup.key".into()
}

fn ca_crt() -> String {
    "ca.crt".into()
}
