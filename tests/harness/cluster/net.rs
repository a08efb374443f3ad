//! Hosts of our own: a network namespace for each member and one for the clients, joined by a bridge that lives in the
//! clients' namespace. Nothing of the machine's own network is touched, and links can be cut one way.
//!
//! ```text
//!   clients' namespace: 10.99.0.254 ── bridge ──┬── m1: 10.99.0.1
//!                                               ├── m2: 10.99.0.2
//!                                               └── ...
//! ```
//!
//! A thread that calls [`Net::enter`], and every thread and process it starts from then on, is a client's host.

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Namespaces, taken down when dropped.
#[derive(Debug)]
pub struct Net {
    prefix: String,
    hosts: u16,
    /// Packets dropped by rules that are gone.
    dropped: AtomicU64,
}

impl Net {
    /// Whether this process may make namespaces; if not, tests that need them say so and are skipped.
    #[must_use]
    pub fn possible() -> bool {
        let tools = ["ip", "nft", "nsenter"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
        rustix::process::geteuid().is_root() && tools
    }

    /// Makes the namespaces for `hosts` members.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn make(hosts: u16) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("qt{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let net = Self { prefix, hosts, dropped: AtomicU64::new(0) };
        let hub = net.hub();
        run(&["ip", "netns", "add", &hub])?;
        inside(&hub, &["ip", "link", "set", "lo", "up"])?;
        inside(&hub, &["ip", "link", "add", "hub", "type", "bridge"])?;
        inside(&hub, &["ip", "addr", "add", "10.99.0.254/24", "dev", "hub"])?;
        inside(&hub, &["ip", "link", "set", "hub", "up"])?;
        (1..=hosts).try_for_each(|host| net.add(host))?;
        Ok(net)
    }

    fn add(&self, host: u16) -> Result<()> {
        let (hub, name, address, wire) =
            (self.hub(), self.namespace(host), format!("{}/24", Self::address(host)), format!("w{host}"));
        run(&["ip", "netns", "add", &name])?;
        inside(&hub, &["ip", "link", "add", &wire, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        inside(&hub, &["ip", "link", "set", &wire, "master", "hub", "up"])?;
        inside(&name, &["ip", "link", "set", "lo", "up"])?;
        inside(&name, &["ip", "addr", "add", &address, "dev", "eth0"])?;
        inside(&name, &["ip", "link", "set", "eth0", "up"])?;
        inside(&name, &["nft", "add table ip cut; add chain ip cut in { type filter hook input priority 0; }"])
    }

    /// Moves the calling thread to the clients' host.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(&self) -> Result<()> {
        let namespace = File::open(format!("/run/netns/{}", self.hub()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .context("enter the clients' namespace")
    }

    /// The address of a member's host, counted from 1.
    #[must_use]
    pub fn address(host: u16) -> String {
        format!("10.99.0.{host}")
    }

    /// The name of a member's namespace, counted from 1.
    #[must_use]
    pub fn namespace(&self, host: u16) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    /// Drops every packet that `from` sends to `to`; the other way stays open.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn cut(&self, from: u16, to: u16) -> Result<()> {
        inside(
            &self.namespace(to),
            &["nft", &format!("add rule ip cut in ip saddr {} counter drop", Self::address(from))],
        )
    }

    /// Drops every packet between the member and all other members, both ways; clients still reach it.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn isolate(&self, host: u16) -> Result<()> {
        let others = (1..=self.hosts).filter(|other| *other != host);
        others.clone().try_for_each(|other| self.cut(other, host))?;
        others.into_iter().try_for_each(|other| self.cut(host, other))
    }

    /// Opens every link again.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn heal(&self) -> Result<()> {
        self.dropped.store(self.dropped()?, Ordering::Relaxed);
        (1..=self.hosts).try_for_each(|host| inside(&self.namespace(host), &["nft", "flush chain ip cut in"]))
    }

    /// Packets dropped so far: the proof that a cut was felt.
    ///
    /// # Errors
    /// When `nft` cannot tell.
    pub fn dropped(&self) -> Result<u64> {
        let mut dropped = self.dropped.load(Ordering::Relaxed);
        for host in 1..=self.hosts {
            let namespace = format!("--net=/run/netns/{}", self.namespace(host));
            let output =
                Command::new("nsenter").args([&namespace, "nft", "list", "chain", "ip", "cut", "in"]).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let counts = text.split("packets ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            dropped += counts.sum::<u64>();
        }
        Ok(dropped)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let members = (1..=self.hosts).map(|host| self.namespace(host));
        for name in members.chain([self.hub()]) {
            if let Err(error) = run(&["ip", "netns", "del", &name]) {
                eprintln!("could not take down {name}: {error}");
            }
        }
    }
}

/// `nsenter` and not `ip netns exec`: the latter remounts `/sys` for what it runs.
fn inside(namespace: &str, command: &[&str]) -> Result<()> {
    let namespace = format!("--net=/run/netns/{namespace}");
    run(&[&["nsenter", &namespace], command].concat())
}

fn run(command: &[&str]) -> Result<()> {
    let output =
        Command::new(command[0]).args(&command[1..]).output().with_context(|| format!("run {}", command[0]))?;
    ensure!(output.status.success(), "{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
