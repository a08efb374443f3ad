//! Certificates for a scenario's members and clients, and the Secrets that `deploy/tls` names.

use super::Space;
use crate::client::Trust;
use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::collections::BTreeMap;

/// The name of the clients' Service, which the members' certificates are for.
pub const SERVICE: &str = "quorate";

/// An authority of its own for clients and for peers, so that a client's certificate opens no peer port.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> Result<Self> {
        let (mut params, key) = (CertificateParams::new(Vec::new())?, KeyPair::generate()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// A certificate for these names.
    ///
    /// # Errors
    /// When a name is none.
    pub fn issue(&self, names: &[String], uses: &[ExtendedKeyUsagePurpose]) -> Result<Pair> {
        let (mut params, key) = (CertificateParams::new(names.to_vec())?, KeyPair::generate()?);
        params.extended_key_usages = uses.to_vec();
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }

    /// What verifies its certificates.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

/// Makes the Secrets of `deploy/tls` in the namespace; what a client needs then.
///
/// # Errors
/// When the API server refuses.
pub fn provide(space: &Space) -> Result<Trust> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let (clients, peers) = (Authority::new()?, Authority::new()?);
    let members = format!("*.quorate-peer.{}.svc", space.name());
    let service = format!("{SERVICE}.{}.svc", space.name());
    let names = [SERVICE.to_owned(), service, members.clone()];
    secret(space, "quorate-server-tls", clients.pem(), &clients.issue(&names, &[ServerAuth])?)?;
    secret(space, "quorate-peer-tls", peers.pem(), &peers.issue(&[members], &[ServerAuth, ClientAuth])?)?;
    let Pair { certificate, key } = clients.issue(&["client".to_owned()], &[ClientAuth])?;
    secret(space, "quorate-client-tls", clients.pem(), &Pair { certificate: certificate.clone(), key: key.clone() })?;
    Ok(Trust { authority: clients.pem().to_owned(), certificate, key, name: SERVICE.to_owned() })
}

fn secret(space: &Space, name: &str, authority: &str, pair: &Pair) -> Result<()> {
    let data = [("ca.crt", authority), ("tls.crt", &pair.certificate), ("tls.key", &pair.key)];
    let data: BTreeMap<_, _> = data.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        string_data: Some(data),
        ..Secret::default()
    };
    space.kube().call("make a Secret", space.api::<Secret>().create(&PostParams::default(), &secret))?;
    Ok(())
}
