//! The ports of clients and of operations: bound early, served once there is a node, closed within a bounded time.

use crate::admin::Admin;
use crate::config::Address;
use crate::config::Settings;
use crate::config::settings;
use crate::etcd::{Bounded, ClientPort, Limits};
use crate::http::Pages;
use crate::listener::{self, App, Keepalive, Options, STREAMS_MAX, Traffic};
use crate::node::Running;
use crate::tls::{ALPN_CLIENTS, ALPN_HTTP1, ServerTls};
use anyhow::Context;
use prometheus::{IntCounter, Registry};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What clients have to finish a request when the member stops. Leadership moves in the same time.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// A ping without an answer is taken for a dead connection after this, where the settings would wait for ever.
const PING_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// A socket, and whether TLS is spoken on it.
struct Socket {
    listener: TcpListener,
    tls: bool,
}

/// Every port of the settings, bound.
pub(super) struct Sockets {
    client: Vec<Socket>,
    pages: Vec<Socket>,
    admin: Vec<Socket>,
    tls: Option<ServerTls>,
    tls_http1: Option<ServerTls>,
}

impl Sockets {
    /// # Errors
    /// An address is taken or not of this machine, or the certificates cannot be used.
    pub(super) fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let listen = &settings.listen;
        let tls =
            |alpn| settings.client_tls.as_ref().map(|tls| ServerTls::new(tls, alpn)).transpose().context("client TLS");
        let mut pages = bind_all("listen-client-http-urls", &listen.client_http)?;
        pages.extend(bind_all("listen-metrics-urls", &listen.metrics)?);
        Ok(Self {
            client: bind_all("listen-client-urls", &listen.client)?,
            pages,
            admin: bind_all("listen-admin-urls", &listen.admin)?,
            tls: tls(ALPN_CLIENTS)?,
            tls_http1: tls(ALPN_HTTP1)?,
        })
    }
}

fn bind_all(flag: &str, addresses: &[Address]) -> anyhow::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for address in addresses {
        let at = address.bind_address().expect("checked settings name addresses to bind");
        let listener = listener::listen(at).with_context(|| format!("--{flag}: cannot listen on {address}"))?;
        sockets.push(Socket { listener, tls: address.tls() });
    }
    Ok(sockets)
}

/// The ports, served.
pub(super) struct Ports {
    stop: CancellationToken,
    serving: TaskTracker,
}

impl Ports {
    /// # Errors
    /// Two counters have one name.
    pub(super) fn open(sockets: Sockets, settings: &Settings, running: &Running) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let traffic = traffic(&registry)?;
        running.register(&registry)?;
        let pages = Pages::new(running.handle().clone(), registry.clone())?;
        let client = ClientPort::new(running.handle().clone(), limits(settings), &registry, pages.clone())?;
        let certificates = running.certificates(sockets.tls.iter().chain(&sockets.tls_http1).cloned().collect());
        let quota_bytes = settings.limits.quota_bytes.unwrap_or_default();
        let node = running.handle().clone();
        let admin = Admin::new(node, quota_bytes, pages.clone(), (certificates, running.desk().clone()));
        let (admin, pages) = (Bounded::new(admin), Bounded::new(pages));
        let ports = Self { stop: CancellationToken::new(), serving: TaskTracker::new() };
        let options = |tls: bool, source: &Option<ServerTls>| options(settings, source.as_ref().filter(|_| tls));
        for socket in sockets.client {
            ports.serve(socket.listener, client.clone(), options(socket.tls, &sockets.tls), &traffic);
        }
        for socket in sockets.pages {
            ports.serve(socket.listener, pages.clone(), options(socket.tls, &sockets.tls_http1), &traffic);
        }
        for socket in sockets.admin {
            ports.serve(socket.listener, admin.clone(), options(socket.tls, &sockets.tls_http1), &traffic);
        }
        ports.serving.close();
        Ok(ports)
    }

    fn serve(&self, socket: TcpListener, app: impl App, options: Options, traffic: &Traffic) {
        self.serving.spawn(listener::serve(socket, app, options, traffic.clone(), self.stop.clone()));
    }

    /// Tells every connection to finish, and waits for it.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.serving.wait().await;
    }
}

fn options(settings: &Settings, tls: Option<&ServerTls>) -> Options {
    Options {
        tls: tls.cloned(),
        keepalive: keepalive(settings.keepalive),
        streams_max: settings.limits.concurrent_streams_max.min(STREAMS_MAX),
        drain_max: DRAIN_MAX,
        ..Options::default()
    }
}

fn keepalive(settings: settings::Keepalive) -> Keepalive {
    Keepalive {
        interval: settings.interval,
        timeout: settings.timeout.unwrap_or(PING_TIMEOUT_MAX),
        ping_interval_min: settings.min_time,
    }
}

fn limits(settings: &Settings) -> Limits {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        request_bytes_max: size(settings.limits.request_bytes_max),
        txn_ops_max: size(settings.limits.txn_ops_max.into()),
        quota_bytes: settings.limits.quota_bytes,
        learners_max: size(settings.limits.learners_max.into()),
        strict_reconfig_check: settings.strict_reconfig_check,
    }
}

fn traffic(registry: &Registry) -> anyhow::Result<Traffic> {
    let counter = |name, help| {
        let counter = IntCounter::new(name, help)?;
        registry.register(Box::new(counter.clone()))?;
        prometheus::Result::Ok(counter)
    };
    Ok(Traffic {
        received: counter(
            "etcd_network_client_grpc_received_bytes_total",
            "The total number of bytes received from grpc clients.",
        )?,
        sent: counter("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.")?,
    })
}
