//! The loop's side of the links: one for every other member, kept in step with the membership.

use super::Local;
use super::call::{Call, CallReply, put_call, put_reply};
use super::forward::{FORWARD_HEADER_BYTES, Forwarded, NotTaken, put_forward, put_not_taken, traces};
use super::frame::FrameKind;
use super::link::{self, Link};
use super::outbox::Queued;
use super::stats::Directory;
use crate::bootstrap::NodeInfo;
use crate::config::Address;
use crate::node::Inbox;
use admin_api::Id;
use bytes::BytesMut;
use raft::{Envelope, MemberId, Message, Term};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

/// The links. Dropping them ends whatever carries their frames.
pub(crate) struct Peers {
    me: MemberId,
    directory: Arc<Directory>,
    carrier: Box<dyn Carrier>,
    peers: BTreeMap<MemberId, Peer>,
}

/// Whoever takes a link's frames to its peer, and tells the loop when the link stands: the door to the network.
pub(crate) trait Carrier: Send {
    /// Begins, and goes on until what this returns is dropped.
    fn carry(&self, link: &Arc<Link>, addresses: watch::Receiver<Vec<Address>>) -> Box<dyn Send>;
}

struct Peer {
    link: Arc<Link>,
    addresses: watch::Sender<Vec<Address>>,
    _carried: Box<dyn Send>,
}

/// Connections, kept up by a task for each link.
struct Tasks {
    local: Arc<Local>,
    inbox: Arc<Inbox>,
}

impl Carrier for Tasks {
    fn carry(&self, link: &Arc<Link>, addresses: watch::Receiver<Vec<Address>>) -> Box<dyn Send> {
        let run = link::run(Arc::clone(link), Arc::clone(&self.local), addresses, Arc::clone(&self.inbox));
        Box::new(AbortOnDrop(tokio::spawn(run)))
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Peers {
    pub(crate) fn new(local: Arc<Local>, inbox: Arc<Inbox>, directory: Arc<Directory>) -> Self {
        let me = local.identity.member;
        Self::carried_by(Box::new(Tasks { local, inbox }), me, directory)
    }

    /// The links of `me`, over another network than sockets.
    pub(crate) fn carried_by(carrier: Box<dyn Carrier>, me: MemberId, directory: Arc<Directory>) -> Self {
        Self { me, directory, carrier, peers: BTreeMap::new() }
    }

    /// Links to exactly these, at these addresses. Links to others end.
    pub(crate) fn follow(&mut self, members: &BTreeMap<MemberId, NodeInfo>) {
        let others = |id: &MemberId| *id != self.me;
        self.peers.retain(|id, _| members.contains_key(id));
        self.directory.retain(|id| members.contains_key(&id));
        for (id, info) in members.iter().filter(|(id, _)| others(id)) {
            let addresses = addresses(*id, info);
            match self.peers.get(id) {
                Some(peer) => {
                    peer.addresses.send_if_modified(|known| {
                        let changed = *known != addresses;
                        *known = addresses;
                        changed
                    });
                }
                None => {
                    let peer = self.start(*id, addresses);
                    self.peers.insert(*id, peer);
                }
            }
        }
    }

    /// Whether there is a link to it, up or not.
    pub(crate) fn knows(&self, id: MemberId) -> bool {
        self.peers.contains_key(&id)
    }

    /// The peer has called, so it is worth calling now.
    pub(crate) fn retry(&self, id: MemberId) {
        if let Some(peer) = self.peers.get(&id).filter(|peer| !peer.link.stats.is_up()) {
            peer.link.retry.notify_one();
        }
    }

    /// Sends a message, or drops it: consensus sends again. An append that does not fit resets the link, because
    /// what follows it would not fit the follower's log either.
    pub(crate) fn send(&self, envelope: &Envelope) {
        let Some(peer) = self.peers.get(&envelope.to) else { return };
        // News of a commit follows the entries it speaks of.
        let bulk =
            matches!(envelope.message, Message::Append { .. } | Message::Commit { .. } | Message::Snapshot { .. });
        let outbox = if bulk { &peer.link.append } else { &peer.link.control };
        let queued = outbox.message(envelope);
        peer.link.stats.note(queued);
        if queued == Queued::Full && bulk {
            outbox.overflow();
        }
    }

    /// Passes commands to the leader of this term. False when none of them left.
    pub(crate) fn forward(&self, to: MemberId, term: Term, commands: &[Forwarded]) -> bool {
        let bytes = commands.iter().map(|forwarded| FORWARD_HEADER_BYTES + forwarded.command.len()).sum();
        let (traces, write) = (traces(commands), |out: &mut BytesMut| put_forward(out, term, commands));
        self.queue(to, |link| link.append.frame_before(FrameKind::Forward, bytes, write, &traces))
    }

    /// Tells a peer which of its commands are in no log.
    pub(crate) fn not_taken(&self, to: MemberId, not_taken: &NotTaken) -> bool {
        let bytes = 8 * not_taken.sequences.len() + 9;
        let write = |out: &mut BytesMut| put_not_taken(out, not_taken);
        self.queue(to, |link| link.control.frame(FrameKind::ForwardRefused, bytes, write))
    }

    /// Asks the leader something about the cluster. False when it did not leave.
    pub(crate) fn call(&self, to: MemberId, id: u64, call: &Call) -> bool {
        self.queue(to, |link| link.control.frame(FrameKind::Call, 0, |out| put_call(out, id, call)))
    }

    /// Answers a call.
    pub(crate) fn reply(&self, to: MemberId, id: u64, reply: &CallReply) -> bool {
        self.queue(to, |link| link.control.frame(FrameKind::CallReply, 0, |out| put_reply(out, id, reply)))
    }

    fn queue(&self, to: MemberId, queue: impl FnOnce(&Link) -> Queued) -> bool {
        let Some(peer) = self.peers.get(&to) else { return false };
        let queued = queue(&peer.link);
        peer.link.stats.note(queued);
        queued == Queued::Yes
    }

    fn start(&self, id: MemberId, addresses: Vec<Address>) -> Peer {
        let link = Arc::new(Link::new(id, self.directory.stats(id), self.directory.round_trip(id)));
        let (addresses, watched) = watch::channel(addresses);
        let carried = self.carrier.carry(&link, watched);
        Peer { link, addresses, _carried: carried }
    }
}

/// A URL that does not parse cannot be dialed; the others still can.
pub(super) fn addresses(id: MemberId, info: &NodeInfo) -> Vec<Address> {
    let parse = |url: &String| match url.parse() {
        Ok(address) => Some(address),
        Err(error) => {
            warn!(peer = %Id(id.0), url, %error, "the peer's URL cannot be used");
            None
        }
    };
    info.peer_urls.iter().filter_map(parse).collect()
}
