//! A member with its port on loopback, and what tests ask of them.

use super::*;
use crate::config::{Mode, Wanted, load};
use crate::disk::SimDisk;
use crate::listener::{self, Options, Traffic};
use crate::node::{self, Parts, Running};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mvcc::{MemoryBackend, Store};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Long enough for a busy machine; every wait below ends much earlier.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Served {
    pub(super) node: Handle,
    /// The member goes down and its log away with these.
    _member: Option<(Running, TempDir)>,
    address: SocketAddr,
    pub(super) registry: Registry,
    stop: CancellationToken,
    pub(super) channel: Channel,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A member that is its whole cluster, and its port.
pub(super) async fn served(limits: Limits) -> Served {
    let directory = TempDir::new().expect("a directory");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let peer = format!("http://{}", socket.local_addr().expect("it is bound"));
    drop(socket);
    let flags = [
        "--name=solo".into(),
        format!("--data-dir={}", directory.path().display()),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=solo={peer}"),
        "--listen-client-urls=http://127.0.0.1:1".into(),
        "--advertise-client-urls=http://127.0.0.1:1".into(),
        "--heartbeat-interval=30".into(),
        "--election-timeout=300".into(),
    ];
    let Ok(Wanted::Run(checked)) = load(Mode::Etcd, &flags, std::iter::empty(), &|_| false) else {
        panic!("the flags are good");
    };
    let store = Arc::new(Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail"));
    let disk = Arc::new(SimDisk::new());
    let parts = Parts { settings: checked.settings, store, disk, patience: Arc::default(), intent: None };
    let member = node::start(parts).await.expect("it starts");
    let node = member.handle().clone();
    eventually(|| node.status().is_leader() && !node.store().members().is_empty()).await;
    serve(node, limits, Some((member, directory))).await
}

/// A member that says of itself what the test wants.
pub(super) async fn served_alone() -> (Served, Solo) {
    let solo = Solo::start();
    (serve(solo.handle(), Limits::default(), None).await, solo)
}

async fn serve(node: Handle, limits: Limits, member: Option<(Running, TempDir)>) -> Served {
    let registry = Registry::new();
    let pages = Pages::new(node.clone(), registry.clone()).expect("the names are free");
    let port = ClientPort::new(node.clone(), limits, &registry, pages).expect("the names are free");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound");
    let traffic = Traffic::register(&registry).expect("the names are free");
    let stop = CancellationToken::new();
    tokio::spawn(listener::serve(socket, port, Options::default(), traffic, stop.clone()));
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URL").connect().await.expect("served");
    Served { node, _member: member, address, registry, stop, channel }
}

async fn eventually(look: impl Fn() -> bool) {
    let since = Instant::now();
    while !look() {
        assert!(since.elapsed() < PATIENCE, "it did not come about in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Served {
    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub(super) fn member(&self) -> u64 {
        self.node.identity().member.0
    }

    pub(super) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub(super) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(super) async fn put(&self, key: &'static str, value: &'static str) -> pb::PutResponse {
        self.kv().put(put(key, value)).await.expect("nothing is wrong with it").into_inner()
    }

    pub(super) async fn get(&self, key: &'static str) -> pb::RangeResponse {
        self.kv().range(range(key, "")).await.expect("nothing is wrong with it").into_inner()
    }

    pub(super) async fn page(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.expect("served");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1");
        tokio::spawn(connection);
        let request = http::Request::get(path).body(Full::<Bytes>::default()).expect("a request");
        let response = sender.send_request(request).await.expect("answered");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }

    /// A call with a message of the test's own making; the code and text of the answer.
    pub(super) async fn raw(&self, path: &str, message: Bytes) -> (Code, String) {
        let stream = TcpStream::connect(self.address).await.expect("served");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = http::Request::post(format!("http://{}{path}", self.address))
            .header(CONTENT_TYPE, "application/grpc")
            .body(Full::new(message))
            .expect("a request");
        let response = sender.send_request(request).await.expect("answered");
        let status = match Status::from_header_map(response.headers()) {
            Some(status) => status,
            None => {
                let whole = response.into_body().collect().await.expect("whole");
                Status::from_header_map(whole.trailers().expect("gRPC ends with trailers")).expect("a status")
            }
        };
        (status.code(), status.message().into())
    }
}

pub(super) fn put(key: &'static str, value: &'static str) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

pub(super) fn range(key: &'static str, end: &'static str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.into(), range_end: end.into(), ..Default::default() }
}

pub(super) fn refused<T: std::fmt::Debug>(result: Result<tonic::Response<T>, Status>) -> (Code, String) {
    let status = result.expect_err("it must be refused");
    (status.code(), status.message().into())
}

pub(super) fn as_seen(refusal: Refusal) -> (Code, String) {
    (refusal.code(), refusal.text().into())
}
