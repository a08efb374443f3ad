//! Traces, against a collector that takes what a real one takes.

use crate::ctl;
use anyhow::{Context, Result, ensure};
use collector::{Collector, Kept, Span};
use std::collections::{BTreeMap, BTreeSet};
use tests::cluster::{Cluster, Flavor, etcdctl};

/// Members that keep so many traces in a million.
fn traced(members: u16, rate: u32, collector: &Collector) -> Result<Cluster> {
    let address = format!("--distributed-tracing-address={}", collector.address());
    let rate = format!("--distributed-tracing-sampling-rate={rate}");
    Cluster::start(Flavor::Quorate, members, &["--enable-distributed-tracing", &address, &rate])
}

/// The spans of each trace, by name.
fn by_trace(spans: &[Kept]) -> BTreeMap<&[u8], BTreeMap<&str, &Span>> {
    let mut traces: BTreeMap<&[u8], BTreeMap<&str, &Span>> = BTreeMap::new();
    for Kept { span, .. } in spans {
        traces.entry(&span.trace_id).or_default().insert(&span.name, span);
    }
    traces
}

#[test]
fn one_put_is_one_trace_from_the_client_s_request_to_its_reply() -> Result<()> {
    let collector = Collector::start()?;
    let mut cluster = traced(3, 1_000_000, &collector)?;
    let leader = cluster.leader()?;
    let put = etcdctl(&cluster.members[leader].client, &["put", "traced", "x"])?;
    ensure!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    cluster.members[leader].terminate()?; // the last spans leave before it ends

    let spans = collector.spans();
    let traces = by_trace(&spans);
    let stages = ["request", "propose", "queue", "replicate", "fsync", "commit", "apply", "reply"];
    let whole = |spans: &&BTreeMap<&str, &Span>| stages.iter().all(|stage| spans.contains_key(stage));
    let names: Vec<BTreeSet<&str>> = traces.values().map(|spans| spans.keys().copied().collect()).collect();
    let put = traces.values().find(whole).with_context(|| format!("no trace has every stage: {names:?}"))?;
    let (request, propose) = (put["request"], put["propose"]);
    ensure!(request.parent_span_id.is_empty(), "the request is where the trace begins");
    ensure!(propose.parent_span_id == request.span_id, "the proposal is part of the request");
    for stage in &stages[2..] {
        let span = put[stage];
        ensure!(span.parent_span_id == propose.span_id, "{stage} is part of the proposal");
        ensure!(request.start_time_unix_nano <= span.start_time_unix_nano, "{stage} begins after the request");
        ensure!(span.end_time_unix_nano <= request.end_time_unix_nano, "{stage} ends before the request");
    }
    let begins = |stage: &&str| put[stage].start_time_unix_nano;
    let order = ["request", "propose", "queue", "replicate", "commit", "apply", "reply"];
    ensure!(order.iter().is_sorted_by_key(begins), "stages follow each other");
    Ok(())
}

/// The span of this name that a member made as part of another one.
fn part<'a>(spans: &'a [Kept], of: &Span, member: &str, name: &str) -> Result<&'a Span> {
    let under = |kept: &&Kept| kept.span.trace_id == of.trace_id && kept.span.parent_span_id == of.span_id;
    let found = spans.iter().filter(under).find(|kept| kept.instance == member && kept.span.name == name);
    found.map(|kept| &kept.span).with_context(|| format!("no {name} of {member} as part of its {}: {spans:?}", of.name))
}

#[test]
fn a_put_through_a_follower_is_one_trace_of_both_members() -> Result<()> {
    let collector = Collector::start()?;
    let mut cluster = traced(3, 1_000_000, &collector)?;
    let leader = cluster.leader()?;
    let follower = (leader + 1) % 3;
    let put = etcdctl(&cluster.members[follower].client, &["put", "traced", "x"])?;
    ensure!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    cluster.members[follower].terminate()?; // the last spans leave before a member ends
    cluster.members[leader].terminate()?;

    let (leader, follower) = (cluster.members[leader].name.as_str(), cluster.members[follower].name.as_str());
    let spans = collector.spans();
    let forward = spans.iter().find(|kept| kept.instance == follower && kept.span.name == "forward");
    let forward = &forward.with_context(|| format!("nothing was forwarded: {spans:?}"))?.span;
    let is = |kept: &&Kept, name: &str| kept.span.trace_id == forward.trace_id && kept.span.name == name;
    let request = &spans.iter().find(|kept| is(kept, "request")).context("no request")?.span;
    let asked = part(&spans, request, follower, "propose")?;
    for stage in ["queue", "forward", "reply"] {
        part(&spans, asked, follower, stage)?;
    }
    let proposed = part(&spans, forward, leader, "propose")?;
    for stage in ["replicate", "fsync", "commit", "apply"] {
        let span = part(&spans, proposed, leader, stage)?;
        ensure!(span.start_time_unix_nano >= forward.start_time_unix_nano, "{stage} begins before it was forwarded");
    }
    Ok(())
}

#[test]
fn a_request_that_is_not_kept_sends_nothing() -> Result<()> {
    let collector = Collector::start()?;
    let mut cluster = traced(1, 0, &collector)?;
    ctl(&cluster, &["put", "untraced", "x"])?;
    cluster.members[0].terminate()?;
    ensure!(collector.spans().is_empty(), "{:?}", collector.spans());
    Ok(())
}
