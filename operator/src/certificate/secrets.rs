//! Which Secrets a cluster needs, and whether those that are there will do.

use super::authorities::{Authorities, rotation_wanted};
use super::authority::{CertificateError, Signed, Use, renewed_before};
use super::digest::of_pem;
use crate::children::{Names, owned};
use crate::crd::{CertificateSource, RaftCluster, TextError};
use admin_api::Side;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use plan::RotationWanted;
use std::collections::BTreeMap;
use std::time::Duration;

/// When the certificate of a Secret ends.
const ANNOTATION_NOT_AFTER: &str = "quorate.io/not-after";
/// For whom it is.
const ANNOTATION_HOSTS: &str = "quorate.io/hosts";
/// The digest of who signed it.
const ANNOTATION_SIGNED_BY: &str = "quorate.io/signed-by";

/// Clients cannot be asked whether they have read their certificates again: whoever copies them has this long, unless
/// the cluster says otherwise.
const OVERLAP_CLIENTS: Duration = Duration::from_secs(24 * 3600);
/// A certificate that would not last longer than this is not made anew for it.
const GAIN_MIN: SignedDuration = SignedDuration::from_hours(24);

/// One side of a cluster whose authority is the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidePlan {
    /// Towards whom.
    pub side: Side,
    /// The Secret of its authorities.
    pub authority: String,
    /// What is asked of them.
    pub wanted: RotationWanted,
    /// What they sign.
    pub leaves: Vec<SecretPlan>,
}

/// A Secret with a signed certificate that a cluster needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlan {
    /// Its name.
    pub name: String,
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

/// The sides of a cluster for which no certificates are given.
///
/// # Errors
/// A text of the spec does not read.
pub fn side_plans(cluster: &RaftCluster) -> Result<Vec<SidePlan>, TextError> {
    let Some(tls) = &cluster.spec.tls else { return Ok(Vec::new()) };
    let names = Names::of(cluster);
    let leaf = |name: String, hosts: Vec<String>, usage: Use| SecretPlan { name, hosts, usage };
    let clients = vec![
        leaf(names.server_tls(), server_hosts(&names), Use::Member),
        leaf(names.client_tls(), Vec::new(), Use::Client),
    ];
    let peers = vec![leaf(names.peer_tls(), member_hosts(&names), Use::Member)];
    let sides = [
        (Side::Client, &tls.client, names.client_authority(), OVERLAP_CLIENTS, clients),
        // Members say themselves what they hold.
        (Side::Peer, &tls.peer, names.peer_authority(), Duration::ZERO, peers),
    ];
    let ours = |source: &CertificateSource| match source.secret_name {
        None => Some(source.self_signed.clone().unwrap_or_default()),
        Some(_) => None,
    };
    let mut plans = Vec::new();
    for (side, source, authority, overlap, leaves) in sides {
        if let Some(asked) = ours(source) {
            plans.push(SidePlan { side, authority, wanted: rotation_wanted(&asked, overlap)?, leaves });
        }
    }
    Ok(plans)
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
    /// Whether members hold it.
    #[must_use]
    pub fn is_for_members(&self) -> bool {
        self.usage == Use::Member
    }

    /// Whether the Secret that is there will do, under the authorities of today.
    #[must_use]
    pub fn judge(&self, there: Option<&Secret>, authorities: &Authorities, now: Timestamp) -> Keep {
        let good = there.is_some_and(|secret| {
            let annotations = secret.metadata.annotations.clone().unwrap_or_default();
            let is = |key: &str, wanted: &str| annotations.get(key).is_some_and(|there| there == wanted);
            let signer = of_pem(authorities.active().certificate()).unwrap_or_default();
            let lasts = not_after(secret).is_some_and(|end| {
                let left = end.duration_since(now);
                let gained = authorities.active().signs_until(now).duration_since(end);
                left > SignedDuration::try_from(renewed_before()).unwrap_or_default() || gained < GAIN_MIN
            });
            is(ANNOTATION_HOSTS, &self.hosts.join(","))
                && is(ANNOTATION_SIGNED_BY, &signer)
                && lasts
                && text(secret, "ca.crt").as_deref() == Some(&authorities.bundle())
                && ["tls.key", "tls.crt"].iter().all(|key| text(secret, key).is_some())
        });
        if good { Keep::AsItIs } else { Keep::MakeAnew }
    }

    /// The Secret, with a new certificate.
    ///
    /// # Errors
    /// No certificate can be made.
    pub fn make(
        &self,
        cluster: &RaftCluster,
        authorities: &Authorities,
        now: Timestamp,
    ) -> Result<Secret, CertificateError> {
        let signer = authorities.active();
        let signed = signer.sign(&Names::of(cluster).cluster, &self.hosts, self.usage, now)?;
        let Signed { certificate, key, not_after } = signed;
        let data = [("tls.crt", certificate), ("tls.key", key), ("ca.crt", authorities.bundle())];
        let mut secret = secret(cluster, &self.name, "kubernetes.io/tls", data);
        let annotations = [
            (ANNOTATION_NOT_AFTER.to_owned(), not_after.to_string()),
            (ANNOTATION_HOSTS.to_owned(), self.hosts.join(",")),
            (ANNOTATION_SIGNED_BY.to_owned(), of_pem(signer.certificate()).unwrap_or_default()),
        ];
        secret.metadata.annotations = Some(annotations.into());
        Ok(secret)
    }
}

/// When the certificate of a Secret ends, as it was written when it was made.
#[must_use]
pub fn not_after(secret: &Secret) -> Option<Timestamp> {
    secret.metadata.annotations.as_ref()?.get(ANNOTATION_NOT_AFTER)?.parse().ok()
}

pub(super) fn secret(
    cluster: &RaftCluster,
    name: &str,
    type_: &str,
    data: impl IntoIterator<Item = (&'static str, String)>,
) -> Secret {
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
    Secret {
        metadata: owned(cluster, name.to_owned()),
        type_: Some(type_.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

pub(super) fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}
