//! What a stock client sees: every etcdctl command that has something to act on, exact error texts, bad input on both
//! ports, TLS, and traces.

mod authority;
mod ctl;
mod hostile;
mod pages;
mod snapshot;
mod tls;
mod traces;

use anyhow::{Result, ensure};
use tests::cluster::Cluster;

/// Runs etcdctl and returns what it printed.
fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.etcdctl(arguments)?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "etcdctl {}: {out}{err}", arguments.join(" "));
    Ok(out.into_owned())
}

/// Runs etcdctl, which must fail, and returns what it complained about.
fn ctl_fails(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.etcdctl(arguments)?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(!output.status.success(), "etcdctl {} succeeded: {out}", arguments.join(" "));
    Ok(format!("{out}{err}"))
}
