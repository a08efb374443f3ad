//! A port of a pod as a port of this machine.
//!
//! Each connection is forwarded through the API server to whichever pod has the name at that moment, and enters it on
//! its own loopback: it reaches a member whose network is cut, and needs no route to the cluster.

use super::Kube;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A pod on a node that is gone is not waited for longer; whoever has connected tries again.
const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// More connections than a scenario's clients and watchers ever have open to one port.
const CONNECTIONS_MAX: usize = 64;

/// What is copied at once.
const COPY_BYTES: usize = 64 << 10;

/// A forwarded port; closed when dropped.
#[derive(Debug)]
pub struct Reach {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Reach {
    /// Forwards a free port of loopback to `port` of the pod of this name, whether it exists yet or not.
    ///
    /// # Errors
    /// When no port is free.
    pub fn open(kube: &Kube, namespace: &str, pod: &str, port: u16) -> Result<Self> {
        let listener = kube.runtime().block_on(TcpListener::bind("127.0.0.1:0")).context("a free port")?;
        let address = listener.local_addr()?;
        let target = Target { pods: kube.namespaced(namespace), pod: pod.to_owned(), port };
        let serving = kube.runtime().spawn(serve(listener, Arc::new(target)));
        Ok(Self { address, serving })
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Target {
    pods: Api<Pod>,
    pod: String,
    port: u16,
}

/// The connections end with the task that has their set.
async fn serve(listener: TcpListener, target: Arc<Target>) {
    let mut connections = tokio::task::JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((near, _)) = listener.accept().await else { continue };
        let target = Arc::clone(&target);
        connections.spawn(async move {
            // Whoever has connected sees the end of the connection, and asks again.
            let _ended = forward(near, &target).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(near: TcpStream, target: &Target) -> Result<()> {
    near.set_nodelay(true)?;
    let ports = [target.port];
    let opening = target.pods.portforward(&target.pod, &ports);
    let mut forwarder = tokio::time::timeout(OPEN_WITHIN, opening).await??;
    let far = forwarder.take_stream(target.port).context("the stream of the port")?;
    let failed = forwarder.take_error(target.port).context("the errors of the port")?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = tokio::io::split(far);
    tokio::select! {
        ended = copy(near_in, far_out, None) => ended?,
        ended = copy(far_in, near_out, Some(OPEN_WITHIN)) => ended?,
        Some(_) = failed => {}
    }
    forwarder.abort();
    Ok(())
}

/// Copies until one side ends. A far side that says nothing at first is taken for gone: every protocol of ours has an
/// answer to its first words.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    first_within: Option<Duration>,
) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut within = first_within;
    loop {
        let read = from.read(&mut buffer);
        let bytes = match within.take() {
            Some(within) => tokio::time::timeout(within, read).await??,
            None => read.await?,
        };
        if bytes == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        to.write_all(&buffer[..bytes]).await?;
        to.flush().await?;
    }
}
