//! TLS for clients and members: certificates from files or made by ourselves, read again without a restart.
//!
//! ```text
//!   settings::Tls ──▶ ServerTls ──▶ accept(io)           a listener's side
//!                 └─▶ ClientTls ──▶ connect(host, io)    a member calling a member
//! ```
//!
//! * Every handshake first looks whether a file has changed and takes what is there now. Connections that stand keep
//!   what they began with. A change that cannot be used is told once, and the last good state stays.
//! * The other side is verified against `trusted_ca_file` alone; no system roots.
//! * A handshake takes [`HANDSHAKE_TIMEOUT`] at most.

mod certificate;
mod client;
mod in_use;
mod load;
mod protocol;
mod self_signed;
mod server;
mod signatures;
mod verify;

#[cfg(test)]
#[path = "loopback_tests.rs"]
mod loopback_tests;
#[cfg(test)]
pub(crate) mod test_authority;

pub use certificate::{common_name, not_after};
pub use client::ClientTls;
pub use in_use::{InUse, Shown};
pub(crate) use protocol::suite_names;
pub use server::ServerTls;

use std::path::PathBuf;
use std::time::Duration;

/// How long a handshake may take: a caller that stalls must not hold a socket for ever. Slow networks with large
/// certificate chains need a few round trips, well below this.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Application protocols of a client listener: gRPC, and plain HTTP for health and metrics.
pub const ALPN_CLIENTS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// Application protocols of an HTTP/1 listener.
pub const ALPN_HTTP1: &[&[u8]] = &[b"http/1.1"];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A file holds nothing of the kind it is named for.
    #[error("{}: holds no PEM {wanted}", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A file is not well-formed PEM, or what is in it is refused.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The parts do not go together: a key of another certificate, no cipher suite left.
    #[error("{0}")]
    Unusable(String),
}

/// Makes ring the one provider of cryptography of this process. The first thing every `main` does.
///
/// Some crate that keeps its default features could bring a second provider, and choosing between two panics later.
pub fn install_provider() {
    // A second call finds it installed, which is what was wanted.
    let _installed_already = rustls::crypto::ring::default_provider().install_default();
}
