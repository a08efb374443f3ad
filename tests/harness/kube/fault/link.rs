//! What is done to the traffic of one pod, where it passes its node. What the node itself sends to the pod, the
//! kubelet's probes, goes on.

use super::Node;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;

/// The tables that stand for a fault, one of each kind on a node.
const CUT_TABLE: &str = "quorate_link_cut";
const SLOW_TABLE: &str = "quorate_link_slow";

/// Which packets of a pod are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those it sends.
    Out,
    /// Those sent to it.
    In,
}

/// A fault of a link; undone by [`Self::heal`], and when dropped.
#[derive(Debug)]
pub struct Cut {
    node: Node,
    table: &'static str,
}

impl Cut {
    /// Loses every packet of a pod in one direction.
    ///
    /// # Errors
    /// When the pod has no address or its node's packet filter refuses.
    pub fn one_way(pod: &Pod, direction: Direction) -> Result<Self> {
        let side = match direction {
            Direction::Out => "saddr",
            Direction::In => "daddr",
        };
        Self::make(pod, CUT_TABLE, |address| format!("ip {side} {address} counter drop"))
    }

    /// Lets no more than so much pass in each direction; what is above is lost, and sent again by whoever sent it.
    ///
    /// # Errors
    /// When the pod has no address or its node's packet filter refuses.
    pub fn slow(pod: &Pod, kilobytes_per_second: u32) -> Result<Self> {
        let limit = format!("limit rate over {kilobytes_per_second} kbytes/second burst 16 kbytes counter drop");
        Self::make(pod, SLOW_TABLE, |address| format!("ip saddr {address} {limit}\nip daddr {address} {limit}"))
    }

    fn make(pod: &Pod, table: &'static str, rules: impl FnOnce(&str) -> String) -> Result<Self> {
        let node = Node::of(pod)?;
        let address =
            pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("a pod with an address")?;
        let rules = rules(address);
        node.filter(&format!(
            "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\nchain through {{\ntype filter hook forward priority -300;\n{rules}\n}}\n}}"
        ))?;
        Ok(Self { node, table })
    }

    /// Packets it has taken so far.
    ///
    /// # Errors
    /// When its node's packet filter does not tell.
    pub fn lost_packets(&self) -> Result<u64> {
        let rules = self.node.run(&["nft", "list", "table", "inet", self.table])?;
        let counts =
            rules.split("counter packets ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// Undoes it.
    ///
    /// # Errors
    /// When its node's packet filter refuses.
    pub fn heal(self) -> Result<()> {
        self.undo()
    }

    fn undo(&self) -> Result<()> {
        let table = self.table;
        self.node.filter(&format!("table inet {table}\ndelete table inet {table}"))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            eprintln!("a fault is left on {}: {error:#}", self.node.name());
        }
    }
}
