//! A real S3 server on loopback, with a script of faults in front of it.
//!
//! ```text
//!   the client under test ──▶ faults: answer · hang · cut · flip · slow ──▶ s3s-fs: signatures, conditions, files
//! ```
//!
//! A request that no fault asks for goes through untouched. Each fault says which requests it wants and how many, so a
//! test says exactly what happens and nothing depends on time. The objects are files in a directory that goes away with
//! the server.

mod fault;
mod proxy;

pub use fault::{Effect, Fault, Faults};
pub use http::Method;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use proxy::Proxy;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// The bucket that every server has.
pub const BUCKET: &str = "backups";

/// The only key that the server knows.
pub const ACCESS_KEY: &str = "test-access-key";

/// Its secret.
pub const SECRET_KEY: &str = "test-secret-key";

/// A server. It ends when it is dropped.
#[derive(Debug)]
pub struct ObjectServer {
    address: SocketAddr,
    faults: Faults,
    files: TempDir,
    accepting: AbortHandle,
}

impl ObjectServer {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// If no directory can be made or no port be had.
    pub async fn start() -> io::Result<Self> {
        let files = tempfile::tempdir()?;
        std::fs::create_dir(files.path().join(BUCKET))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, faults) = (listener.local_addr()?, Faults::default());
        let proxy = Proxy::new(service(files.path())?, faults.clone());
        let accepting = tokio::spawn(accept(listener, proxy)).abort_handle();
        Ok(Self { address, faults, files, accepting })
    }

    /// `http://` and the address.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The location that the daemon takes, without the credentials.
    #[must_use]
    pub fn location(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}?endpoint={}&region=us-east-1", self.endpoint())
    }

    /// Writes a credentials file with the server's key.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_credentials(path: &Path) -> io::Result<()> {
        let text = format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
        std::fs::write(path, text)
    }

    /// What is to go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Bytes of the bodies of all answers so far, those that broke off in the middle counted as far as they went.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.faults.sent_bytes()
    }

    /// The file of an object.
    #[must_use]
    pub fn file(&self, key: &str) -> PathBuf {
        self.files.path().join(BUCKET).join(key)
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn service(files: &Path) -> io::Result<S3Service> {
    let files = s3s_fs::FileSystem::new(files).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    Ok(builder.build())
}

/// Serves until it is aborted; the connections end with it.
async fn accept(listener: TcpListener, proxy: Proxy) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let proxy = proxy.clone();
        connections.spawn(async move {
            // How a connection ends is the client's story.
            let _ended = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), proxy).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
