//! Links without sockets: somebody takes frames out by hand and hands them in at the other end. How long that takes, and
//! whether they arrive, is theirs to say. For a simulator; what queues, bounds and encodes frames is the same.

use super::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, take_frame};
use super::hello::{HelloReply, Lane, Refusal};
use super::link::Link;
use super::listener::event_of;
use super::outbox::Outbox;
use super::peers::Carrier;
use super::{Local, PeerEvent};
use crate::config::Address;
use crate::node::Inbox;
use bytes::{Bytes, BytesMut};
use raft::{LinkId, MemberId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// The links of one member.
#[derive(Clone)]
pub(crate) struct Wires {
    inbox: Arc<Inbox>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    wires: BTreeMap<MemberId, Wire>,
    changes: Vec<(MemberId, bool)>,
}

struct Wire {
    link: Arc<Link>,
    up: Option<LinkId>,
}

/// Ends a link when the loop lets go of it.
struct Held {
    wires: Wires,
    peer: MemberId,
}

impl Carrier for Wires {
    fn carry(&self, link: &Arc<Link>, _: watch::Receiver<Vec<Address>>) -> Box<dyn Send> {
        let (mut inner, peer) = (self.lock(), link.peer);
        inner.wires.insert(peer, Wire { link: Arc::clone(link), up: None });
        inner.changes.push((peer, true));
        Box::new(Held { wires: self.clone(), peer })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.wires.down(self.peer);
        let mut inner = self.wires.lock();
        inner.wires.remove(&self.peer);
        inner.changes.push((self.peer, false));
    }
}

impl Wires {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, inner: Arc::default() }
    }

    /// The peers that are linked to (true) or not any more (false) since this was asked last, in the order of events.
    pub(crate) fn changes(&self) -> Vec<(MemberId, bool)> {
        std::mem::take(&mut self.lock().changes)
    }

    /// The link to this peer, if there is to be one, stands from now on.
    pub(crate) fn up(&self, peer: MemberId, id: LinkId) {
        self.down(peer);
        let mut inner = self.lock();
        let Some(wire) = inner.wires.get_mut(&peer) else { return };
        wire.up = Some(id);
        wire.link.control.open();
        wire.link.append.open();
        wire.link.stats.set_up(true);
        drop(inner);
        self.inbox.peer_now(PeerEvent::LinkUp { peer, link: id });
    }

    /// Whether there is to be a link to this peer.
    pub(crate) fn has(&self, peer: MemberId) -> bool {
        self.lock().wires.contains_key(&peer)
    }

    /// Whether it stands.
    pub(crate) fn standing(&self, peer: MemberId) -> Option<LinkId> {
        self.lock().wires.get(&peer).and_then(|wire| wire.up)
    }

    /// It does not stand any more, with everything that was queued.
    pub(crate) fn down(&self, peer: MemberId) {
        let mut inner = self.lock();
        let Some(wire) = inner.wires.get_mut(&peer) else { return };
        let Some(link) = wire.up.take() else { return };
        wire.link.stats.set_up(false);
        wire.link.control.close();
        wire.link.append.close();
        drop(inner);
        self.inbox.peer_now(PeerEvent::LinkDown { peer, link });
    }

    /// Takes everything that is to be sent, each frame by itself.
    pub(crate) fn departing(&self, mut each: impl FnMut(MemberId, Lane, Bytes)) {
        for (peer, wire) in &self.lock().wires {
            for (lane, outbox) in [(Lane::Control, &wire.link.control), (Lane::Append, &wire.link.append)] {
                frames_of(outbox, |frame| each(*peer, lane, frame));
            }
        }
    }

    /// A frame has arrived from a peer.
    pub(crate) fn arrived(&self, peer: MemberId, frame: Bytes) -> Result<(), String> {
        let mut bytes = BytesMut::from(frame);
        let frame = take_frame(&mut bytes, FRAME_BYTES_MAX).map_err(|error| error.to_string())?;
        let frame = frame.filter(|_| bytes.is_empty()).ok_or("a frame is cut short or followed by more")?;
        self.inbox.peer_now(event_of(peer, frame).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the links")
    }
}

/// What comes of `caller`'s hello to the member `called`, as on a socket; both hear of it.
pub(crate) fn call((caller, from): (&Local, &Inbox), (called, to): (&Local, &Inbox)) -> Result<(), Option<Refusal>> {
    let (caller_id, peer) = (caller.identity.member, called.identity.member);
    let hello = caller.hello(peer, Lane::Control);
    match called.gate.judge(&hello) {
        HelloReply::Welcome { storage, .. } => {
            to.peer_now(PeerEvent::Called { peer: caller_id, info: hello.info });
            if caller.takes(peer, storage) { Ok(()) } else { Err(None) }
        }
        HelloReply::Refused { refusal } => {
            from.peer_now(PeerEvent::Refused { peer, refusal });
            Err(Some(refusal))
        }
    }
}

fn frames_of(outbox: &Outbox, mut each: impl FnMut(Bytes)) {
    let Some(pieces) = outbox.try_take() else { return };
    let mut stream = pieces.into_stream();
    while !stream.is_empty() {
        let len: [u8; 4] = stream[..4].try_into().expect("every frame begins with its length");
        each(stream.split_to(FRAME_HEADER_BYTES + u32::from_le_bytes(len) as usize));
    }
}
