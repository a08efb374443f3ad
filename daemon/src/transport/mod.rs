//! Peers: frames over TCP or TLS. Here drops, delays and reconnects are normal; nowhere else.
//!
//! ```text
//!   Peers ─▶ link (one task a peer) ─▶ control lane ─▶ ┐
//!            outboxes, dial, backoff ─▶ append lane ─▶ ├─ the peer's listener ─▶ its inbox
//!   listener ◀── hello, gate ◀───────────────────────── ┘
//! ```
//!
//! * A connection carries frames one way, from the one who dialed; only pongs come back.
//! * Control and append travel on connections of their own, so a heartbeat never waits behind bulk.
//! * Every connection begins with a hello, which the [`gate`] judges.

pub mod call;
mod connect;
mod event;
pub mod forward;
pub mod frame;
pub mod gate;
pub mod hello;
mod link;
mod listener;
mod outbox;
mod peers;
mod stats;
pub mod wire;
mod wires;

pub(crate) use call::{Call, CallReply};
pub use connect::{ALPN_PEERS, ConnectError};
pub(crate) use connect::{Connection, FIRST_WORDS_TIMEOUT};
pub(crate) use event::PeerEvent;
pub(crate) use forward::{Forwarded, NotTaken, NotTakenReason};
pub(crate) use listener::{Listener, PeerSockets};
pub(crate) use peers::Peers;
pub(crate) use stats::{Directory, ListenerStats, PeerStats};
pub(crate) use wires::{Wires, call};

#[cfg(test)]
mod loopback_tests;

use crate::bootstrap::{Identity, NodeInfo, StorageId};
use crate::tls::ClientTls;
use admin_api::Id;
use gate::Gate;
use hello::{Hello, Lane, PROTOCOL_VERSION};
use raft::{LinkId, MemberId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every link says and goes by.
#[derive(Debug)]
pub(crate) struct Local {
    identity: Identity,
    info: NodeInfo,
    gate: Arc<Gate>,
    tls: Option<ClientTls>,
    links: AtomicU64,
}

impl Local {
    pub(crate) fn new(identity: Identity, info: NodeInfo, gate: Arc<Gate>, tls: Option<ClientTls>) -> Self {
        Self { identity, info, gate, tls, links: AtomicU64::new(0) }
    }

    fn hello(&self, to: MemberId, lane: Lane) -> Hello {
        let known = self.gate.introduction().cluster;
        Hello {
            version: PROTOCOL_VERSION,
            cluster: self.identity.cluster,
            from: Id(self.identity.member.0),
            to: Id(to.0),
            storage: self.identity.storage,
            boot: self.identity.boot,
            membership_at: known.map_or(0, |known| known.membership_at),
            lane,
            info: self.info.clone(),
        }
    }

    /// Whether a process with this disk may be the peer. One that the configuration does not know may.
    fn takes(&self, peer: MemberId, storage: StorageId) -> bool {
        let cluster = self.gate.introduction().cluster;
        cluster.is_none_or(|cluster| cluster.members.get(&Id(peer.0)).is_none_or(|info| info.takes(storage)))
    }

    fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A connection for questions about snapshots. None when the peer's address cannot be used.
pub(crate) async fn open_snapshot_lane(
    local: &Local,
    peer: MemberId,
    info: &NodeInfo,
) -> Result<Option<Connection>, ConnectError> {
    let mut failed = None;
    for address in peers::addresses(peer, info) {
        match link::open_lane(peer, local, &address, Lane::Snapshot).await {
            Ok(connection) => return Ok(Some(connection)),
            Err(link::LinkError::Connect(error)) => failed = Some(error),
            Err(error) => failed = Some(ConnectError::Refused(error.to_string())),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// Chance for jitter; nothing depends on its quality.
fn random_u32() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
