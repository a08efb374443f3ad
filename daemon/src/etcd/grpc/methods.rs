//! Every method this port serves, and how often it was called and how it ended.
//!
//! The methods come from the descriptors of the services, so a new one is counted without a word here. All series
//! exist from the start: an alert on a rate needs the zero before the first failure.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::Code;

/// The counters of all methods, by path.
#[derive(Clone, Debug)]
pub struct Methods {
    by_path: Arc<HashMap<String, Arc<Method>>>,
}

/// The counters of one method.
#[derive(Debug)]
pub struct Method {
    takes_one_message: bool,
    started: IntCounter,
    handled: [IntCounter; CODES.len()],
}

/// In the order of their numbers, with the names grpc-go gives them in metrics.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The counters could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MethodsError {
    /// A counter of this name is there already.
    #[error("gRPC counters: {0}")]
    Register(#[from] prometheus::Error),
    /// The descriptors in the program are damaged.
    #[error("gRPC descriptors: {0}")]
    Descriptors(#[from] prost::DecodeError),
}

impl Methods {
    /// Counters for every method in `descriptors`, each an encoded `FileDescriptorSet`, in `registry`.
    ///
    /// # Errors
    /// [`MethodsError`].
    pub fn register(descriptors: &[&[u8]], registry: &Registry) -> Result<Self, MethodsError> {
        let labels = ["grpc_type", "grpc_service", "grpc_method"];
        let started = Opts::new("grpc_server_started_total", "RPCs started on the server");
        let started = IntCounterVec::new(started, &labels)?;
        let handled = Opts::new("grpc_server_handled_total", "RPCs completed on the server, by code");
        let handled = IntCounterVec::new(handled, &[&labels[..], &["grpc_code"]].concat())?;
        registry.register(Box::new(started.clone()))?;
        registry.register(Box::new(handled.clone()))?;
        let mut by_path = HashMap::new();
        for set in descriptors {
            for (service, method) in methods(&FileDescriptorSet::decode(*set)?) {
                let labels = [kind(&method), &service, method.name()];
                let count = |code| handled.with_label_values(&[&labels[..], &[code]].concat());
                let takes_one_message = !method.client_streaming();
                let counters = Method {
                    takes_one_message,
                    started: started.with_label_values(&labels),
                    handled: CODES.map(count),
                };
                by_path.insert(format!("/{service}/{}", method.name()), Arc::new(counters));
            }
        }
        Ok(Self { by_path: Arc::new(by_path) })
    }

    /// The counters of the method at `path`; none if there is no such method.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(path)
    }
}

impl Method {
    /// Whether a call of it brings one message, and no stream of them.
    #[must_use]
    pub fn takes_one_message(&self) -> bool {
        self.takes_one_message
    }

    /// A call came in.
    pub fn start(&self) {
        self.started.inc();
    }

    /// It was answered.
    pub fn end(&self, code: Code) {
        self.handled[code as usize].inc();
    }
}

fn methods(set: &FileDescriptorSet) -> Vec<(String, MethodDescriptorProto)> {
    let mut found = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            found.extend(service.method.iter().map(|method| (name.clone(), method.clone())));
        }
    }
    found
}

fn kind(method: &MethodDescriptorProto) -> &'static str {
    match (method.client_streaming(), method.server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::proto::DESCRIPTORS;
    use prometheus::TextEncoder;

    fn registered() -> (Methods, Registry) {
        let registry = Registry::new();
        let methods = Methods::register(&[DESCRIPTORS], &registry).expect("the names are free");
        (methods, registry)
    }

    fn page(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).expect("counters print")
    }

    #[test]
    fn every_series_is_there_before_the_first_call() {
        let (_, registry) = registered();
        let page = page(&registry);
        assert!(page.contains(
            r#"grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 0"#
        ));
        let handled = page.lines().filter(|line| line.starts_with("grpc_server_handled_total{")).count();
        assert_eq!(handled, 42 * CODES.len(), "etcd 3.7 has 42 core methods");
    }

    #[test]
    fn a_code_is_counted_under_its_name() {
        let (methods, registry) = registered();
        let put = methods.get("/etcdserverpb.KV/Put").expect("etcd has Put");
        put.start();
        put.end(Code::Unauthenticated);
        let page = page(&registry);
        assert!(page.contains(
            r#"grpc_server_handled_total{grpc_code="Unauthenticated",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1"#
        ));
        assert!(page.contains(
            r#"grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1"#
        ));
    }

    #[test]
    fn an_unknown_path_has_no_counters() {
        assert!(registered().0.get("/etcdserverpb.KV/Drop").is_none());
    }
}
