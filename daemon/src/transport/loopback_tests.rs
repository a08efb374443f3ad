//! The peer port on loopback: who is let in, who is not, and what garbage does.

use super::connect::Connection;
use super::frame::{FrameKind, put_frame, take_frame};
use super::gate::Gate;
use super::hello::{Hello, HelloReply, Introduction, KnownCluster, Lane, PROTOCOL_VERSION, Refusal};
use super::link::SILENCE_MAX;
use super::{Directory, FIRST_WORDS_TIMEOUT, Listener, ListenerStats, Local, PeerSockets, Peers};
use crate::bootstrap::{ClusterId, Identity, NodeInfo, StorageId};
use crate::config::Address;
use crate::node::Inbox;
use crate::transport::frame::FRAME_BYTES_MAX;
use admin_api::Id;
use bytes::BytesMut;
use raft::{Entry, EntryKind, Envelope, Index, LogId, MemberId, Message, StreamId, Term};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const CLUSTER: ClusterId = ClusterId(9);

fn storage(member: u64) -> StorageId {
    StorageId::from_bytes([u8::try_from(member).unwrap(); 16])
}

fn identity(member: u64) -> Identity {
    let member_id = MemberId(member);
    Identity { cluster: CLUSTER, member: member_id, storage: storage(member), name: format!("m{member}"), boot: 1 }
}

/// A peer port with nobody behind it.
struct Port {
    member: u64,
    url: String,
    gate: Arc<Gate>,
    inbox: Arc<Inbox>,
    directory: Arc<Directory>,
    stats: Arc<ListenerStats>,
    serving: JoinHandle<()>,
}

impl Port {
    async fn open(member: u64) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{free}");
        let info = NodeInfo {
            name: format!("m{member}"),
            peer_urls: vec![url.clone()],
            storage: Some(storage(member)),
            ..NodeInfo::default()
        };
        let introduction = Introduction {
            version: PROTOCOL_VERSION,
            member: None,
            storage: storage(member),
            info,
            token: "token".into(),
            cluster: None,
        };
        let gate = Arc::new(Gate::new(introduction, 1));
        let (inbox, directory, stats) = (Arc::default(), Arc::default(), Arc::default());
        let sockets = PeerSockets::bind(&[url.parse().unwrap()]).unwrap();
        let listener = Arc::new(Listener {
            gate: Arc::clone(&gate),
            tls: None,
            inbox: Arc::clone(&inbox),
            directory: Arc::clone(&directory),
            stats: Arc::clone(&stats),
            snapshots: Arc::default(),
        });
        let serving = tokio::spawn(listener.run(sockets));
        Self { member, url, gate, inbox, directory, stats, serving }
    }

    fn info(&self) -> NodeInfo {
        self.gate.introduction().info
    }

    /// Makes it a member of a cluster with these.
    fn join(&self, members: &[&Port]) {
        let members = members.iter().map(|port| (Id(port.member), port.info())).collect();
        let known = KnownCluster { id: CLUSTER, membership_at: 1, members, ..KnownCluster::default() };
        self.gate.open(Id(self.member), known);
    }

    fn peers(&self) -> Peers {
        let local = Local::new(identity(self.member), self.info(), Arc::clone(&self.gate), None);
        Peers::new(Arc::new(local), Arc::clone(&self.inbox), Arc::clone(&self.directory))
    }

    fn address(&self) -> Address {
        self.url.parse().unwrap()
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap()
    }

    fn hello(&self, from: u64) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            cluster: CLUSTER,
            from: Id(from),
            to: Id(self.member),
            storage: storage(from),
            boot: 1,
            membership_at: 1,
            lane: Lane::Control,
            info: NodeInfo::default(),
        }
    }

    async fn greet(&self, hello: &Hello) -> HelloReply {
        let mut connection = Connection::dial(&self.address(), None).await.unwrap();
        connection.ask((FrameKind::Hello, hello), FrameKind::HelloReply, FIRST_WORDS_TIMEOUT).await.unwrap()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about within ten seconds");
}

fn heartbeat(from: u64, to: u64) -> Envelope {
    let message = Message::Commit { stream: StreamId(1), commit: Index(7) };
    Envelope { from: MemberId(from), to: MemberId(to), term: Term(1), message }
}

#[tokio::test]
async fn two_members_link_up_and_a_message_arrives() {
    let (one, two) = (Port::open(1).await, Port::open(2).await);
    one.join(&[&one, &two]);
    two.join(&[&one, &two]);
    let mut peers = one.peers();
    peers.follow(&BTreeMap::from([(MemberId(1), one.info()), (MemberId(2), two.info())]));
    eventually(|| one.directory.stats(MemberId(2)).is_up()).await;
    let vote = Message::Vote { last: LogId::new(1, 3), transfer: false };
    let vote = Envelope { from: MemberId(1), to: MemberId(2), term: Term(2), message: vote };
    peers.send(&vote);
    peers.send(&heartbeat(1, 2));
    let received = || two.inbox.messages();
    eventually(|| received().len() == 2).await;
    assert!(received().contains(&vote) && received().contains(&heartbeat(1, 2)));
}

#[tokio::test]
async fn a_link_that_is_lost_comes_back() {
    let (one, two) = (Port::open(1).await, Port::open(2).await);
    one.join(&[&one, &two]);
    two.join(&[&one, &two]);
    let mut peers = one.peers();
    peers.follow(&BTreeMap::from([(MemberId(2), two.info())]));
    let stats = one.directory.stats(MemberId(2));
    eventually(|| stats.is_up()).await;
    two.directory.retain(|_| false);
    eventually(|| stats.disconnects.get() == 1).await;
    eventually(|| stats.is_up()).await;
}

/// Lets every caller in and then reads nothing. The connections end with the task.
async fn deaf(listener: tokio::net::TcpListener, welcome: HelloReply) {
    let mut held = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let mut connection = Connection::new(Box::new(stream));
        connection.next(FRAME_BYTES_MAX).await.expect("sound").expect("a hello");
        connection.say(FrameKind::HelloReply, &welcome).await.expect("the caller listens");
        held.push(connection);
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_costs_a_bounded_queue_and_its_link_at_once() {
    let (one, two) = (Port::open(1).await, Port::open(2).await);
    one.join(&[&one, &two]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let standing_in = tokio::spawn(deaf(listener, HelloReply::Welcome { storage: storage(2), boot: 1 }));
    let mut peers = one.peers();
    peers.follow(&BTreeMap::from([(MemberId(2), NodeInfo { peer_urls: vec![url], ..two.info() })]));
    let stats = one.directory.stats(MemberId(2));
    eventually(|| stats.is_up()).await;

    let entry = Entry::new(LogId::new(1, 1), EntryKind::Command, 0, &vec![7; 1 << 20]);
    let message = Message::Append { stream: StreamId(1), prev: LogId::ZERO, entries: vec![entry], commit: Index(0) };
    let append = Envelope { from: MemberId(1), to: MemberId(2), term: Term(1), message };
    let mut sent = 0;
    while stats.queue_full.get() == 0 {
        peers.send(&append);
        sent += 1;
        assert!(sent < 200, "some 64 MiB wait, and no more");
        tokio::task::yield_now().await; // the lane writes until the socket is full
    }
    tokio::time::timeout(SILENCE_MAX / 2, eventually(|| stats.disconnects.get() == 1))
        .await
        .expect("nobody waits for its silence to be long enough");
    standing_in.abort();
}

#[tokio::test]
async fn a_wrong_hello_is_answered_with_the_reason() {
    let (one, two) = (Port::open(1).await, Port::open(2).await);
    assert_eq!(one.greet(&one.hello(2)).await, HelloReply::Refused { refusal: Refusal::NotReady });
    one.join(&[&one, &two]);
    assert!(matches!(one.greet(&one.hello(2)).await, HelloReply::Welcome { .. }));
    let cases = [
        (Hello { cluster: ClusterId(8), ..one.hello(2) }, Refusal::OtherCluster),
        (Hello { storage: storage(3), ..one.hello(2) }, Refusal::DiskReplaced),
        (Hello { to: Id(3), ..one.hello(2) }, Refusal::NotMe),
        (one.hello(5), Refusal::UnknownMember),
    ];
    for (hello, refusal) in cases {
        assert_eq!(one.greet(&hello).await, HelloReply::Refused { refusal });
    }
    assert_eq!(one.stats.refused.get(), 5);
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_is_counted() {
    let one = Port::open(1).await;
    let frame = |kind, head: &[u8]| {
        let mut out = BytesMut::new();
        put_frame(&mut out, kind, 0, |out| out.extend_from_slice(head));
        out
    };
    let garbage = [
        BytesMut::from(&b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n"[..]),
        BytesMut::from(&[0xff; 64][..]),
        frame(FrameKind::Hello, b"no json"),
        frame(FrameKind::Message, b"before any hello"),
    ];
    for (nth, bytes) in garbage.iter().enumerate() {
        let mut socket = one.raw().await;
        socket.write_all(bytes).await.unwrap();
        // Closed, or reset because bytes were left unread.
        assert!(matches!(socket.read_u8().await, Err(error) if error.kind() != std::io::ErrorKind::TimedOut));
        eventually(|| one.stats.garbage.get() == nth as u64 + 1).await;
    }
    let mut socket = one.raw().await;
    socket.write_all(&frame(FrameKind::Introduce, b"{}")).await.unwrap();
    let mut answer = BytesMut::new();
    while socket.read_buf(&mut answer).await.unwrap() > 0 {}
    let answer = take_frame(&mut answer, FRAME_BYTES_MAX).unwrap().expect("others are still served");
    assert_eq!(answer.kind, FrameKind::Introduction);
}

#[tokio::test]
async fn a_message_in_the_name_of_another_member_ends_the_connection() {
    let (one, two) = (Port::open(1).await, Port::open(2).await);
    one.join(&[&one, &two]);
    let mut connection = Connection::dial(&one.address(), None).await.unwrap();
    let hello = one.hello(2);
    let reply: HelloReply =
        connection.ask((FrameKind::Hello, &hello), FrameKind::HelloReply, FIRST_WORDS_TIMEOUT).await.unwrap();
    assert!(matches!(reply, HelloReply::Welcome { .. }));
    let mut out = BytesMut::new();
    put_frame(&mut out, FrameKind::Message, 0, |out| super::wire::put_message(out, &heartbeat(3, 1)));
    connection.stream.write_all(&out).await.unwrap();
    eventually(|| one.stats.garbage.get() == 1).await;
    assert!(one.inbox.messages().is_empty());
}
