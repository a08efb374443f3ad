//! What a member shows and whom it believes from now on, for those who have to know before they change certificates.
//!
//! It is told by what handshakes use, and not by the files: a change that could not be used does not show here.

use super::load::Identity;
use super::{ClientTls, ServerTls, TlsProblem, load, not_after};
use crate::snapshot::Digest;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Certificates of one end, each by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The certificate it shows.
    pub certificate: Digest,
    /// When that ends, if it says so.
    pub not_after: Option<SystemTime>,
    /// Whom it believes, in order; nobody where no certificate is asked for.
    pub trusted: Vec<Digest>,
}

/// What handshakes speak, and the certificates in it.
pub(super) struct Made<C> {
    pub(super) config: Arc<C>,
    /// None where none is shown.
    pub(super) shown: Option<Shown>,
}

impl Shown {
    /// Of an identity, and the authorities in a file.
    pub(super) fn of(identity: &Identity, ca_file: Option<&Path>) -> Result<Option<Self>, TlsProblem> {
        let Some(certificate) = identity.chain.first() else { return Ok(None) };
        let trusted = ca_file.map(load::certificates).transpose()?.unwrap_or_default();
        let mut trusted: Vec<Digest> = trusted.iter().map(|authority| Digest::of(authority)).collect();
        trusted.sort_unstable();
        trusted.dedup();
        Ok(Some(Self { certificate: Digest::of(certificate), not_after: not_after(certificate), trusted }))
    }
}

/// All ends of a member. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    clients: Vec<ServerTls>,
    peers: (Option<ServerTls>, Option<ClientTls>),
}

impl InUse {
    /// Of the ports that clients reach, and of both ends between members.
    #[must_use]
    pub fn new(clients: Vec<ServerTls>, peers: (Option<ServerTls>, Option<ClientTls>)) -> Self {
        Self { clients, peers }
    }

    /// Towards clients; more than one when their ports differ.
    #[must_use]
    pub fn towards_clients(&self) -> Vec<Shown> {
        different(self.clients.iter().filter_map(ServerTls::shown))
    }

    /// Towards members; more than one when the two ends differ.
    #[must_use]
    pub fn towards_peers(&self) -> Vec<Shown> {
        let (listens, calls) = &self.peers;
        let listens = listens.as_ref().and_then(ServerTls::shown);
        different(listens.into_iter().chain(calls.as_ref().and_then(ClientTls::shown)))
    }
}

fn different(all: impl Iterator<Item = Shown>) -> Vec<Shown> {
    let mut found = Vec::new();
    for shown in all {
        if !found.contains(&shown) {
            found.push(shown);
        }
    }
    found
}
