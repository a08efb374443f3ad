//! Traces, against a collector that takes what a real one takes.

use crate::ctl;
use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tests::cluster::{Cluster, Flavor, etcdctl};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span, and whose it is.
#[derive(Clone, Debug)]
struct Kept {
    member: String,
    span: Span,
}

/// A collector on loopback that keeps every span. It ends when dropped.
struct Collector {
    spans: Arc<Mutex<Vec<Kept>>>,
    address: SocketAddr,
    _runtime: Runtime,
}

#[derive(Clone, Default)]
struct Keep(Arc<Mutex<Vec<Kept>>>);

/// The name of the member that these spans are from.
fn member(resource: &ResourceSpans) -> Option<String> {
    let attributes = &resource.resource.as_ref()?.attributes;
    let id = attributes.iter().find(|attribute| attribute.key == "service.instance.id")?;
    match id.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => Some(name.clone()),
        _ => None,
    }
}

#[tonic::async_trait]
impl TraceService for Keep {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let member = member(&resource).unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let kept = spans.map(|span| Kept { member: member.clone(), span });
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let (address, keep) = (listener.local_addr()?, Keep::default());
        let server = Server::builder().add_service(TraceServiceServer::new(keep.clone()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self { spans: keep.0, address, _runtime: runtime })
    }

    fn spans(&self) -> Vec<Kept> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Members that keep so many traces in a million.
fn traced(members: u16, rate: u32, collector: &Collector) -> Result<Cluster> {
    let address = format!("--distributed-tracing-address={}", collector.address);
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
    let found = spans.iter().filter(under).find(|kept| kept.member == member && kept.span.name == name);
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
    let forward = spans.iter().find(|kept| kept.member == follower && kept.span.name == "forward");
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
