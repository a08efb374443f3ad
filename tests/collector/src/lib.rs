//! A collector of traces on loopback for tests: it takes OTLP over gRPC, as a real one does, and keeps every span.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::trace::v1::Span;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span, and whose it is.
#[derive(Clone, Debug)]
pub struct Kept {
    /// `service.name` of its resource.
    pub service: String,
    /// `service.instance.id` of its resource.
    pub instance: String,
    /// The span.
    pub span: Span,
}

impl Kept {
    /// An attribute of the span that is a text or a whole number, as a text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }

    /// The trace, as people write it.
    #[must_use]
    pub fn trace(&self) -> String {
        self.span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn attribute(all: &[KeyValue], key: &str) -> Option<String> {
    match all.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A collector that keeps every span. It ends when dropped.
#[derive(Debug)]
pub struct Collector {
    spans: Keep,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

#[derive(Clone, Debug, Default)]
struct Keep(Arc<Mutex<Vec<Kept>>>);

#[tonic::async_trait]
impl TraceService for Keep {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let whose = |key| attribute(&attributes, key).unwrap_or_default();
            let (service, instance) = (whose("service.name"), whose("service.instance.id"));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let kept = spans.map(|span| Kept { service: service.clone(), instance: instance.clone(), span });
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on a free port, on a thread of its own: whoever sends may be a runtime with a single one.
    ///
    /// # Errors
    /// No port is free, or no thread can be made.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (address, spans) = (listener.local_addr()?, Keep::default());
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let server = Server::builder().add_service(TraceServiceServer::new(spans.clone()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self { spans, address, runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Kept> {
        self.spans.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: a test may drop it inside a runtime of its own.
            runtime.shutdown_background();
        }
    }
}
