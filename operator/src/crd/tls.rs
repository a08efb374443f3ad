//! Certificates.

use super::DurationText;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Certificates, asked of whoever connects, on both sides. The admin endpoint has the clients' ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Between clients and members.
    #[serde(default)]
    pub client: CertificateSource,
    /// Between members.
    #[serde(default)]
    pub peer: CertificateSource,
}

/// Where certificates come from: exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selfSigned) != has(self.secretName)")
    .message("set exactly one of selfSigned and secretName"))]
pub struct CertificateSource {
    /// The operator makes an authority for this cluster, and certificates signed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSigned>,
    /// A Secret of this namespace with tls.crt, tls.key and ca.crt, as cert-manager makes them. The certificate must
    /// be good for servers and for clients: the operator shows it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
}

impl Default for CertificateSource {
    fn default() -> Self {
        Self { self_signed: Some(SelfSigned::default()), secret_name: None }
    }
}

/// The operator's own authority. It is changed by itself a year and a half before it ends; members take part without a
/// restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.overlap) || duration(self.overlap) <= duration('720h')")
    .message("overlap may be 720h at most: a change has to end before the authority does"))]
pub struct SelfSigned {
    /// Another number than before asks for another authority now. The number that is served stands in the status.
    #[serde(default)]
    pub generation: u32,
    /// How long each step of a change stands after the last member has taken it, for those who cannot be asked: whoever
    /// copied a certificate or an authority has to read it again within this. Absent is 24h towards clients and none
    /// between members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<DurationText>,
}
