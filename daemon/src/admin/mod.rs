//! The admin endpoint: what operators and the command line ask of a member, in the words of `admin-api`.
//!
//! ```text
//!   /v1/status  /v1/members  /v1/backups    what this member knows
//!   /v1/replication  /v1/safe-to-stop       what only a leader that hears its quorum can tell
//!   /v1/snapshot                            the store as this member has applied it, as one file
//!   POST /v1/backups                        a snapshot into object storage, now
//!   POST /v1/members  /v1/transfer-leader   what changes the cluster; passed on to the leader
//!   POST /v1/recover-quorum                 makes a new cluster of this member, where there is no leader; ends it
//!   everything else                         health, version and metrics, as on the client port
//! ```
//!
//! A page in a browser changes nothing here, and reads nothing under a name of its own (`host`).
//! What the caller has not seen it cannot change: every change names the configuration it expects.

mod backups;
mod change;
mod host;
mod problem;
mod recover;
mod safe;
mod snapshot;
mod view;

#[cfg(test)]
mod admin_tests;

pub use change::changes;
pub use problem::Refusal;

use crate::etcd::grpc::Body;
use crate::http::Pages;
use crate::listener::{App, Peer};
use crate::node::{Handle, Inspection};
use crate::recovery::Desk;
use crate::snapshot::Streams;
use crate::tls::InUse;
use admin_api::{
    ChangeMembers, Id, LeaderTransferred, MemberStatus, PATH_BACKUPS, PATH_MEMBERS, PATH_RECOVER_QUORUM,
    PATH_REPLICATION, PATH_SAFE_TO_STOP, PATH_SNAPSHOT, PATH_STATUS, PATH_TRANSFER_LEADER, TransferLeader,
};
use http::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::Incoming;
use raft::{MemberId, RoleName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a request: a change of a large cluster is a few kilobytes.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// How long a request may take to arrive.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// The endpoint of one member. A cheap clone.
#[derive(Clone)]
pub struct Admin(Arc<Shared>);

struct Shared {
    node: Handle,
    quota_bytes: u64,
    pages: Pages,
    snapshots: Streams,
    certificates: InUse,
    desk: Desk,
}

impl Admin {
    /// Answers for the member behind `node`, and other pages from `pages`. `quota_bytes` is 0 for none.
    #[must_use]
    pub fn new(node: Handle, quota_bytes: u64, pages: Pages, (certificates, desk): (InUse, Desk)) -> Self {
        let snapshots = Streams::new(node.clone());
        Self(Arc::new(Shared { node, quota_bytes, pages, snapshots, certificates, desk }))
    }

    /// Answers one request that comes from there.
    pub async fn answer<B>(&self, request: Request<B>, from: IpAddr) -> Response<Body>
    where
        B: hyper::body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let shared = &self.0;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = match (&method, path.as_str()) {
            _ if !host::means_this_member(&request, from) => Err(Refusal::foreign_host()),
            // Browsers say where a page is from that asks for a change, and let any page ask: not one of ours.
            (&Method::POST, _) if request.headers().contains_key(ORIGIN) => Err(Refusal::browser()),
            (&Method::GET, PATH_STATUS) => shared.status().await.and_then(|status| json(&status)),
            (&Method::GET, PATH_MEMBERS) => json(&shared.members()),
            (&Method::GET, PATH_REPLICATION) => {
                shared.leading().await.and_then(|seen| json(&view::replication(&seen, &shared.node.members())))
            }
            (&Method::GET, PATH_SAFE_TO_STOP) => shared.safe_to_stop(request.uri().query().unwrap_or_default()).await,
            (&Method::GET, PATH_BACKUPS) => json(&backups::list(&shared.node)),
            (&Method::POST, PATH_BACKUPS) => backups::want(&shared.node).await.and_then(|wanted| json(&wanted)),
            (&Method::GET, PATH_SNAPSHOT) => shared.snapshot().await,
            (&Method::POST, PATH_MEMBERS) => shared.change(request).await,
            (&Method::POST, PATH_TRANSFER_LEADER) => shared.transfer(request).await,
            (&Method::POST, PATH_RECOVER_QUORUM) => shared.recover(request).await,
            (
                _,
                PATH_STATUS | PATH_MEMBERS | PATH_REPLICATION | PATH_SAFE_TO_STOP | PATH_SNAPSHOT | PATH_BACKUPS
                | PATH_TRANSFER_LEADER | PATH_RECOVER_QUORUM,
            ) => Err(Refusal::method()),
            _ => return shared.pages.answer(&request).await,
        };
        answered.unwrap_or_else(Refusal::into_response)
    }
}

impl App for Admin {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        self.answer(request, peer.address.ip()).await
    }
}

impl Shared {
    async fn status(&self) -> Result<MemberStatus, Refusal> {
        let seen = self.node.inspect().await.ok_or_else(Refusal::stopped)?;
        let certificates = view::certificates(&self.certificates);
        let recovered = self.desk.recovered().map(view::recovered);
        Ok(MemberStatus { certificates, recovered, ..view::status(&self.node, &seen, self.quota_bytes) })
    }

    fn members(&self) -> admin_api::Members {
        view::members(&self.node.members())
    }

    /// What a leader sees that is certain to lead still: a quorum has said so after the question came.
    async fn leading(&self) -> Result<Inspection, Refusal> {
        if !self.node.status().is_leader() {
            return Err(Refusal::not_leader(self.node.status().leader));
        }
        self.node.linearize().await?;
        let seen = self.node.inspect().await.ok_or_else(Refusal::stopped)?;
        match seen.raft.role {
            RoleName::Leader => Ok(seen),
            _ => Err(Refusal::not_leader(seen.raft.leader)),
        }
    }

    /// Of this member, or of the one that `member=ID` names. Only the leader can tell.
    async fn safe_to_stop(&self, query: &str) -> Result<Response<Body>, Refusal> {
        let named = query.split('&').find_map(|pair| pair.strip_prefix("member="));
        let member = match named.map(str::parse::<Id>) {
            None => self.node.identity().member,
            Some(Ok(id)) => MemberId(id.0),
            Some(Err(_)) => return Err(Refusal::not_understood("member is not a hexadecimal id")),
        };
        let members = self.node.members();
        if members.get(member).is_none() {
            return Err(Refusal::no_such_member(member));
        }
        let seen = self.leading().await?;
        json(&safe::safe_to_stop(member, &seen.raft, &members))
    }

    async fn change<B>(&self, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let ChangeMembers { expected_config_index, changes } = read(request).await?;
        let changes = change::changes(changes, &self.node.members())?;
        self.node.change_membership(Some(raft::Index(expected_config_index)), changes).await?;
        json(&self.members())
    }

    async fn recover<B>(&self, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let asked = read(request).await?;
        json(&recover::recover(&self.node, &self.desk, asked).await?)
    }

    async fn transfer<B>(&self, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let TransferLeader { to } = read(request).await?;
        let leader = self.node.transfer_leader(to.map(|id| MemberId(id.0))).await?;
        json(&LeaderTransferred { leader: Id(leader.0), term: self.node.status().term.0 })
    }
}

async fn read<T, B>(request: Request<B>) -> Result<T, Refusal>
where
    T: DeserializeOwned,
    B: hyper::body::Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let receiving = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
    let body = tokio::time::timeout(REQUEST_TIME_MAX, receiving).await.map_err(|_| Refusal::slow(REQUEST_TIME_MAX))?;
    let bytes = body.map_err(|error| Refusal::not_understood(error.to_string()))?.to_bytes();
    understood(&bytes)
}

/// What the body of a request asks for.
///
/// # Errors
/// [`Refusal`] if it asks for nothing of the kind.
pub fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // A body may be left out where every field has a default.
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| Refusal::not_understood(error.to_string()))
}

fn json<T: Serialize>(what: &T) -> Result<Response<Body>, Refusal> {
    let page = serde_json::to_vec(what).map_err(|error| Refusal::broken(error.to_string()))?;
    Ok(respond(StatusCode::OK, page))
}

fn respond(code: StatusCode, page: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::page(page.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
