//! What the operator costs while nothing is to be done.

use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};
use tests::kube::installed::calls;
use tests::kube::operator::{Managed, Operator};

/// Calls are counted over this.
const MINUTE: Duration = Duration::from_secs(60);
/// A lease of two calls every two seconds, and two looks of eleven calls at one cluster; half as much again for
/// watches that begin anew, and for a look more.
const CALLS_A_MINUTE_MAX: u64 = 125;
/// What the chart asks for.
const RESIDENT_KIBIBYTES_MAX: u64 = 64 << 10;

/// Counts for a minute what it asks of the API server while it has one cluster that is settled. Nothing may be written
/// but the lease.
pub(super) fn measure(managed: &Managed, operator: &Operator) -> Result<()> {
    let version = || Ok::<_, anyhow::Error>(managed.object()?["metadata"]["resourceVersion"].clone());
    let (begun, before, stored) = (Instant::now(), calls(&operator.metrics()?), version()?);
    // What is measured is a time in which nothing happens: there is no condition to wait for.
    thread::sleep(MINUTE.saturating_sub(begun.elapsed()));
    let after = calls(&operator.metrics()?);
    let made: Vec<(String, u64)> = after
        .into_iter()
        .map(|(call, count)| (call.clone(), count - before.get(&call).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let total: u64 = made.iter().map(|(_, count)| count).sum();
    let lease: u64 = made.iter().filter(|(call, _)| call.contains("resource=\"leases\"")).map(|(_, count)| count).sum();
    let resident = operator.resident_kibibytes().context("its memory")?;
    eprintln!("the operator at rest: {total} calls a minute, {lease} of them for its lease; {resident} KiB resident");
    let write = |call: &&(String, u64)| !["get", "list", "watch"].iter().any(|verb| is(&call.0, verb));
    let writes: Vec<_> = made.iter().filter(write).filter(|(call, _)| !call.contains("resource=\"leases\"")).collect();
    ensure!(writes.is_empty(), "it writes at rest: {writes:?}");
    ensure!(version()? == stored, "the cluster was written at rest");
    ensure!(total <= CALLS_A_MINUTE_MAX, "{total} calls a minute: {made:?}");
    ensure!(resident <= RESIDENT_KIBIBYTES_MAX, "{resident} KiB");
    Ok(())
}

fn is(call: &str, verb: &str) -> bool {
    call.contains(&format!("verb=\"{verb}\""))
}
