//! The engine's network: a namespace of its own, so that its packet filter is not the machine's, and one link to it, so
//! that this machine reaches nodes and pods, and they reach servers here.
//!
//! ```text
//!   this machine  10.247.0.1 ──── 10.247.0.2  namespace `quorate-kind` ──── 10.248.0.0/16 nodes ──── 10.245.0.0/16 pods
//! ```

use crate::kind::command::{command, output, succeeds};
use anyhow::{Context, Result};
use std::path::Path;

/// The namespace.
pub(crate) const NAMESPACE: &str = "quorate-kind";
/// This machine, as pods see it.
pub(crate) const HOST: &str = "10.247.0.1";
const INSIDE: &str = "10.247.0.2";
/// This machine's end of the link; at most 15 characters.
const LINK: &str = "quorate-kind0";
/// Where the engine puts the nodes.
pub(crate) const NODES: &str = "10.248.0.0/16";
/// The engine's own bridge, which no node uses.
pub(crate) const BRIDGE: &str = "10.248.255.1/24";
/// As in `cluster.yaml`.
const PODS: &str = "10.245.0.0/16";

/// Makes the namespace and the link.
///
/// # Errors
/// When `ip` refuses.
pub(crate) fn make() -> Result<()> {
    ip(&["netns", "add", NAMESPACE])?;
    inside(&["ip", "link", "set", "lo", "up"])?;
    // Else the engine would forward nothing but its own.
    inside(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
    ip(&["link", "add", LINK, "type", "veth", "peer", "name", "host", "netns", NAMESPACE])?;
    ip(&["address", "add", &format!("{HOST}/30"), "dev", LINK])?;
    ip(&["link", "set", LINK, "up"])?;
    inside(&["ip", "address", "add", &format!("{INSIDE}/30"), "dev", "host"])?;
    inside(&["ip", "link", "set", "host", "up"])?;
    ip(&["route", "add", NODES, "via", INSIDE])?;
    ip(&["route", "add", PODS, "via", INSIDE])
}

/// Routes a node's pods through it.
///
/// # Errors
/// When `ip` refuses.
pub(crate) fn route(pods: &str, node: &str) -> Result<()> {
    inside(&["ip", "route", "replace", pods, "via", node])
}

/// Takes all of it down; the routes go with the link.
///
/// # Errors
/// When something of it is there and cannot be removed.
pub(crate) fn remove() -> Result<()> {
    if succeeds(&mut command(&["ip", "link", "show", LINK])) {
        ip(&["link", "delete", LINK])?;
    }
    if is_there() {
        ip(&["netns", "delete", NAMESPACE])?;
    }
    Ok(())
}

/// Whether there is anything of ours.
#[must_use]
pub(crate) fn is_there() -> bool {
    Path::new("/run/netns").join(NAMESPACE).exists()
}

fn ip(words: &[&str]) -> Result<()> {
    output(command(&["ip"]).args(words)).map(drop).context("the cluster's network")
}

fn inside(words: &[&str]) -> Result<()> {
    output(command(&["nsenter", &format!("--net=/run/netns/{NAMESPACE}")]).args(words)).map(drop)
}
