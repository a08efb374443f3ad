//! Which Secrets a cluster needs, and whether those that are there will do.

use super::authority::{Authority, CertificateError, Signed, Use, renewed_before};
use crate::children::{Names, owned};
use crate::crd::RaftCluster;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use std::collections::BTreeMap;

/// When the certificate of a Secret ends.
const ANNOTATION_NOT_AFTER: &str = "quorate.io/not-after";
/// For whom it is.
const ANNOTATION_HOSTS: &str = "quorate.io/hosts";

/// A Secret with a signed certificate that a cluster needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlan {
    /// Its name.
    pub name: String,
    /// The Secret of the authority that signs it.
    pub authority: String,
    /// For whom.
    pub hosts: Vec<String>,
    /// Who shows it.
    pub usage: Use,
}

/// What is to be done about a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It will do.
    AsItIs,
    /// It is missing, nearly over, or for others.
    MakeAnew,
}

/// What a cluster needs that is not given.
#[must_use]
pub fn secret_plans(cluster: &RaftCluster) -> Vec<SecretPlan> {
    let Some(tls) = &cluster.spec.tls else { return Vec::new() };
    let names = Names::of(cluster);
    let mut plans = Vec::new();
    if tls.client.secret_name.is_none() {
        let authority = names.client_authority();
        let server = SecretPlan {
            name: names.server_tls(),
            authority: authority.clone(),
            hosts: server_hosts(&names),
            usage: Use::Member,
        };
        let client = SecretPlan { name: names.client_tls(), authority, hosts: Vec::new(), usage: Use::Client };
        plans.extend([server, client]);
    }
    if tls.peer.secret_name.is_none() {
        let authority = names.peer_authority();
        plans.push(SecretPlan { name: names.peer_tls(), authority, hosts: member_hosts(&names), usage: Use::Member });
    }
    plans
}

fn member_hosts(names: &Names) -> Vec<String> {
    let (peer, namespace) = (names.peer_service(), &names.namespace);
    vec![format!("*.{peer}.{namespace}.svc"), format!("*.{peer}.{namespace}.svc.cluster.local")]
}

fn server_hosts(names: &Names) -> Vec<String> {
    let (client, namespace) = (names.client_service(), &names.namespace);
    let mut hosts = member_hosts(names);
    hosts.extend([
        client.clone(),
        format!("{client}.{namespace}"),
        format!("{client}.{namespace}.svc"),
        format!("{client}.{namespace}.svc.cluster.local"),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ]);
    hosts
}

impl SecretPlan {
    /// Whether the Secret that is there will do, under the authority of today.
    #[must_use]
    pub fn judge(&self, there: Option<&Secret>, authority: &Authority, now: Timestamp) -> Keep {
        let good = there.is_some_and(|secret| {
            let annotations = secret.metadata.annotations.clone().unwrap_or_default();
            let hosts = annotations.get(ANNOTATION_HOSTS).is_some_and(|hosts| *hosts == self.hosts.join(","));
            let end = annotations.get(ANNOTATION_NOT_AFTER).and_then(|text| text.parse::<Timestamp>().ok());
            let lasts = end.is_some_and(|end| {
                end.duration_since(now) > jiff::SignedDuration::try_from(renewed_before()).unwrap_or_default()
            });
            let signed = text(secret, "ca.crt").as_deref() == Some(authority.certificate());
            hosts && lasts && signed && text(secret, "tls.key").is_some() && text(secret, "tls.crt").is_some()
        });
        if good { Keep::AsItIs } else { Keep::MakeAnew }
    }

    /// The Secret, with a new certificate.
    ///
    /// # Errors
    /// No certificate can be made.
    pub fn make(&self, cluster: &RaftCluster, authority: &Authority) -> Result<Secret, CertificateError> {
        let signed = authority.sign(&Names::of(cluster).cluster, &self.hosts, self.usage)?;
        let Signed { certificate, key, not_after } = signed;
        let data = [("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority.certificate().to_owned())];
        let mut secret = secret(cluster, &self.name, "kubernetes.io/tls", data);
        let annotations = [
            (ANNOTATION_NOT_AFTER.to_owned(), not_after.to_string()),
            (ANNOTATION_HOSTS.to_owned(), self.hosts.join(",")),
        ];
        secret.metadata.annotations = Some(annotations.into());
        Ok(secret)
    }
}

impl Authority {
    /// From its Secret; `None` if that holds none.
    #[must_use]
    pub fn from_secret(name: &str, secret: &Secret) -> Option<Self> {
        Self::read(name, &text(secret, "tls.crt")?, &text(secret, "tls.key")?).ok()
    }

    /// As a Secret.
    #[must_use]
    pub fn to_secret(&self, cluster: &RaftCluster, name: &str) -> Secret {
        let data = [("tls.crt", self.certificate().to_owned()), ("tls.key", self.key())];
        secret(cluster, name, "kubernetes.io/tls", data)
    }
}

fn secret<const N: usize>(cluster: &RaftCluster, name: &str, type_: &str, data: [(&str, String); N]) -> Secret {
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
    Secret {
        metadata: owned(cluster, name.to_owned()),
        type_: Some(type_.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}
