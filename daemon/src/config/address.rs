//! Where to listen or whom to call, in etcd's URL form: `http://host:port`, `https://host:port`, `unix://path`,
//! `unixs://path`.
//!
//! A path, a query or user names have no meaning here and are refused, so two spellings of one address are equal.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// A listen or advertise URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// `https`.
        tls: bool,
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix domain socket.
    Unix {
        /// `unixs`.
        tls: bool,
        /// Its file.
        path: PathBuf,
    },
}

impl Address {
    /// Whether TLS is spoken there.
    #[must_use]
    pub fn tls(&self) -> bool {
        match self {
            Self::Tcp { tls, .. } | Self::Unix { tls, .. } => *tls,
        }
    }

    /// The URL's scheme.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp { tls: false, .. } => "http",
            Self::Tcp { tls: true, .. } => "https",
            Self::Unix { tls: false, .. } => "unix",
            Self::Unix { tls: true, .. } => "unixs",
        }
    }

    /// The host's name or IP address; none for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::Unix { .. } => None,
        }
    }

    /// `host:port` as a connect or bind call takes it, with brackets around IPv6; none for a Unix socket.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        match self {
            Self::Tcp { host, port, .. } => Some(authority(host, *port)),
            Self::Unix { .. } => None,
        }
    }

    /// The socket addresses to bind. `localhost` is IPv4's loopback, as every client tries that one too.
    ///
    /// None when the host is a name (a listener needs an IP address) or the address is a Unix socket.
    #[must_use]
    pub fn bind_address(&self) -> Option<SocketAddr> {
        let Self::Tcp { host, port, .. } = self else { return None };
        let ip: IpAddr = if host == "localhost" { [127, 0, 0, 1].into() } else { host.parse().ok()? };
        Some(SocketAddr::new(ip, *port))
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme();
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{scheme}://{}", authority(host, *port)),
            Self::Unix { path, .. } => write!(f, "{scheme}://{}", path.display()),
        }
    }
}

/// Why a text is no [`Address`]. Prints what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("must start with http://, https://, unix:// or unixs://")]
    Scheme,
    /// Nothing before the port.
    #[error("has no host: write http://HOST:PORT")]
    NoHost,
    /// No port, or one outside 1-65535 (0 lets the system choose and cannot be advertised).
    #[error("has no port between 1 and 65535: write http://HOST:PORT")]
    Port,
    /// A path, query, fragment or user name.
    #[error("must not contain a path, a query or a user name: write http://HOST:PORT")]
    Extra,
    /// A host that is neither a DNS name nor an IP address.
    #[error("has a host that is neither a name nor an IP address")]
    Host,
    /// A socket without a file.
    #[error("has no path: write unix:///PATH")]
    NoPath,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        match scheme {
            "http" => tcp(false, rest),
            "https" => tcp(true, rest),
            "unix" => unix(false, rest),
            "unixs" => unix(true, rest),
            _ => Err(AddressError::Scheme),
        }
    }
}

fn tcp(tls: bool, rest: &str) -> Result<Address, AddressError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@']) {
        return Err(AddressError::Extra);
    }
    let (host, port) = rest.rsplit_once(':').ok_or(AddressError::Port)?;
    let port = match port.parse() {
        Ok(0) | Err(_) => return Err(AddressError::Port),
        Ok(port) if port_is_plain(rest) => port,
        Ok(_) => return Err(AddressError::Port),
    };
    Ok(Address::Tcp { tls, host: checked_host(host)?, port })
}

/// `u16::from_str` takes a leading plus; a URL does not.
fn port_is_plain(rest: &str) -> bool {
    !rest.contains('+')
}

fn checked_host(host: &str) -> Result<String, AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(AddressError::Host)?;
        return inner.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| AddressError::Host);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.chars().all(is_name) { Ok(host.to_ascii_lowercase()) } else { Err(AddressError::Host) }
}

fn unix(tls: bool, rest: &str) -> Result<Address, AddressError> {
    if rest.is_empty() {
        return Err(AddressError::NoPath);
    }
    Ok(Address::Unix { tls, path: PathBuf::from(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_schemes_read_and_print_alike() {
        for text in
            ["http://10.0.0.1:2379", "https://a-b.c:1", "http://[::1]:2380", "unix:///run/q.sock", "unixs://q:2379"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("http://LocalHost:1/".parse::<Address>().unwrap().to_string(), "http://localhost:1");
    }

    #[test]
    fn a_bad_address_says_what_is_allowed() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(refused("localhost:2379"), AddressError::Scheme);
        assert_eq!(refused("ftp://a:1"), AddressError::Scheme);
        assert_eq!(refused("http://:2379"), AddressError::NoHost);
        for text in ["http://a", "http://a:0", "http://a:65536", "http://a:x", "http://a:+1", "http://a:-1", "http://"]
        {
            assert_eq!(refused(text), AddressError::Port, "{text}");
        }
        for text in ["http://a:1/x", "http://u@a:1", "http://a:1?x"] {
            assert_eq!(refused(text), AddressError::Extra, "{text}");
        }
        for text in ["http://a b:1", "http://[::1:1", "http://::1:1", "http://é:1"] {
            assert_eq!(refused(text), AddressError::Host, "{text}");
        }
        assert_eq!(refused("unix://"), AddressError::NoPath);
    }

    #[test]
    fn a_listener_binds_ip_addresses_and_localhost_only() {
        let bind = |text: &str| text.parse::<Address>().unwrap().bind_address().map(|at| at.to_string());
        assert_eq!(bind("http://localhost:2379").unwrap(), "127.0.0.1:2379");
        assert_eq!(bind("http://[::]:2379").unwrap(), "[::]:2379");
        assert_eq!(bind("http://example.com:2379"), None);
        assert_eq!(bind("unix:///x"), None);
    }
}
